"""How long a run is, in words."""

from __future__ import annotations

import dataclasses

import pytest

from fromage_lite.training.length import RunLength, duration
from fromage_lite.training.recipe import load_recipe

PAPER = load_recipe("paper")  # 20,000 steps of 180 captions, 100 of them warm-up


def test_a_small_table_is_gone_through_far_too_often_and_what_fits_is_named():
    length = RunLength(PAPER, 7200)
    assert "20,000 steps of 180 captions" in length.in_passes() and "500 times" in length.in_passes()
    assert "--steps 400 would fit them (10 times)" in length.in_passes()
    # 20,000 x 6.84 s = 38 hours; 400 x 6.84 s = 45.6 minutes
    said = length.in_time(6.84)
    assert "6.8 s" in said and "about 38 hours" in said and "--steps 400 would take about 46 minutes" in said


def test_a_tiny_table_gets_three_warm_ups_at_least():
    assert RunLength(PAPER, 24).fitting == 300


def test_nothing_else_is_suggested_where_the_recipe_fits_or_the_run_ends_early():
    large = RunLength(PAPER, 3_600_000)
    assert large.fitting is None and "about once" in large.in_passes() and "--steps" not in large.in_passes()
    early = RunLength(PAPER, 7200, max_steps=50)
    assert early.fitting is None and "50 steps" in early.in_time(1.0) and "--steps" not in early.in_time(1.0)
    assert RunLength(dataclasses.replace(PAPER, steps=500), 7200).fitting is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (100, "100 s"), (300, "5 minutes"), (7000, "117 minutes"), (9000, "2 hours"), (260_000, "3 days")],
)
def test_durations(seconds, words):
    assert duration(seconds) == f"about {words}"
