"""Simulated mixtures are as the encoder's are of real photographs."""

import numpy as np
import pytest

from fromage_lite.photos.encoder import ENCODER, head_rows
from fromage_lite.photos.world.classes import CLASSES, KINDS, meaning
from fromage_lite.photos.world.simulator import MODES, Simulator
from fromage_lite.vision import VisionEncoder

CLASS_NUMBERS = np.arange(1000)


@pytest.fixture(scope="module")
def simulator():
    return Simulator(head_rows(VisionEncoder.load(ENCODER)))


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def ranks(mixtures):
    ordered = -np.sort(-mixtures, axis=1)
    return ordered[:, 0].mean(), ordered[:, 1].mean(), ordered[:, 20:].sum(1).mean()


@pytest.mark.parametrize("mode", MODES)
def test_mixtures_are_probabilities(simulator, rng, mode):
    mixtures = getattr(simulator, mode)(rng, CLASS_NUMBERS)
    assert mixtures.shape == (1000, 1000) and mixtures.dtype == np.float32
    assert mixtures.min() >= 0 and np.allclose(mixtures.sum(1), 1, atol=1e-5)


def test_photographs_of_known_things_are_as_clear_as_real_ones(simulator, rng):
    """Of real photographs the first, the second and those beyond the 20th have 0.80, 0.07 and 0.07."""
    assert ranks(simulator.seen(rng, CLASS_NUMBERS)) == pytest.approx((0.80, 0.07, 0.07), abs=0.06)


def test_pictures_of_nothing_known_are_as_flat_as_real_ones(simulator, rng):
    """Of real pictures of nothing known they have 0.25, 0.12 and 0.34."""
    assert ranks(simulator.flat(rng, CLASS_NUMBERS)) == pytest.approx((0.25, 0.12, 0.34), abs=0.06)


def test_a_cat_is_confused_with_a_cat(simulator, rng):
    """The photograph of a cat gives three breeds 0.92 together: so do many simulated ones."""
    cats = np.full(500, 282)
    mixtures = simulator.seen(rng, cats)
    others = np.delete(mixtures, 282, axis=1)
    likeliest = [[i for i in range(1000) if i != 282][k] for k in others.argmax(1)]
    assert np.mean([i in KINDS["mammal"] for i in likeliest]) > 0.8
    assert np.mean([i in meaning("cat") for i in likeliest]) > 0.35


def test_unsure_within_a_kind(simulator, rng):
    dogs = rng.choice(KINDS["dog"], 300)
    mixtures = simulator.kind(rng, dogs)
    assert mixtures.max(1).mean() < 0.5
    assert np.median(mixtures[:, KINDS["mammal"]].sum(1)) > 0.7


def test_modes_are_drawn_by_weight(simulator, rng):
    clear = simulator.simulate(rng, CLASS_NUMBERS, {"seen": 1.0})
    unknown = simulator.simulate(rng, CLASS_NUMBERS, {"seen": 0.0, "flat": 1.0})
    assert np.median(clear.max(1)) > 0.7 and np.median(unknown.max(1)) < 0.35
    assert (clear.argmax(1) == CLASS_NUMBERS).mean() > 0.6


def test_the_same_generator_draws_the_same(simulator):
    drawn = [simulator.simulate(np.random.default_rng(3), CLASS_NUMBERS[:50]) for _ in range(2)]
    assert np.array_equal(*drawn)
    assert len(CLASSES) == drawn[0].shape[1]
