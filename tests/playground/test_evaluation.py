"""Metrics against brute force, and the parsers that scores depend on."""

from __future__ import annotations

import numpy as np
import pytest

from fromage_lite.evaluate.metrics import mean, recall_at_k, same_group
from fromage_lite.playground.evaluation.figures import same_answer
from fromage_lite.playground.evaluation.named import names_exactly, setting_named, things_named
from fromage_lite.playground.evaluation.probe import exact_sets, fit_linear_probe
from fromage_lite.playground.world.scene import Group, Scene


@pytest.mark.parametrize("k", [1, 3, 10])
def test_recall_equals_counting(k):
    rng = np.random.default_rng(0)
    similarities = rng.normal(size=(40, 25))
    relevant = rng.random((40, 25)) < 0.1
    counted = 0
    for row, right in zip(similarities, relevant, strict=True):
        ranked = sorted(range(25), key=lambda i: -row[i])[:k]
        counted += any(right[i] for i in ranked)
    assert recall_at_k(similarities, k, relevant) == pytest.approx(counted / 40)


def test_equal_descriptions_count_as_right():
    similarities = np.array([[0.1, 0.9, 0.0], [0.9, 0.1, 0.0], [0.0, 0.0, 1.0]])
    assert recall_at_k(similarities, 1) == pytest.approx(1 / 3)
    assert recall_at_k(similarities, 1, same_group(["a", "a", "b"])) == 1.0


def test_the_mean_of_nothing_is_no_score():
    assert np.isnan(mean([]))
    assert mean([True, False]) == 0.5


def test_names_in_texts():
    assert things_named("two kitties, a red bus and strawberries in the woods.") == {"cat", "bus", "strawberry"}
    assert setting_named("two cats in the woods.") == "forest"
    assert setting_named("a cat in the snow at night.") is None
    assert setting_named("a cat.") is None


def test_a_caption_must_name_every_thing_and_invent_none():
    scene = Scene((Group("cat", 2), Group("car", 1, "big", "red")), "night")
    assert names_exactly("two cats and a red car at night.", scene)
    assert names_exactly("two cats and a red car.", scene)
    assert not names_exactly("two cats at night.", scene)
    assert not names_exactly("two cats, a car and a dog at night.", scene)


def test_answers_are_compared_by_their_words():
    assert same_answer(" Two Cats ", "two cats.")
    assert not same_answer("two cats", "two dogs.")


def test_a_linear_probe_reads_what_is_linear_and_nothing_else():
    rng = np.random.default_rng(1)
    targets = (rng.random((3000, 5)) < 0.3).astype(np.float32)
    features = targets @ rng.normal(size=(5, 32)) + 0.05 * rng.normal(size=(3000, 32))
    probe = fit_linear_probe(features[:2000], targets[:2000])
    assert exact_sets(probe, features[2000:], targets[2000:]).mean() > 0.99
    noise = fit_linear_probe(rng.normal(size=(2000, 32)), targets[:2000], epochs=5)
    assert exact_sets(noise, rng.normal(size=(1000, 32)), targets[2000:]).mean() < 0.4
