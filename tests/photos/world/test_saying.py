"""What can be said of mixtures, after mixtures that the encoder really gave."""

import numpy as np
import pytest

from fromage_lite.photos.world.classes import CLASSES
from fromage_lite.photos.world.saying import certain_kind, saying

NUMBER = {row.name: i for i, row in enumerate(CLASSES)}


def mixture(**shares):
    """Shares by name, `_` for a space; what is left is spread evenly."""
    p = np.zeros(1000)
    for name, share in shares.items():
        p[NUMBER[name.replace("_", " ")]] = share
    return p + (1 - p.sum()) / 1000


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"espresso": 0.95}, "espresso"),
        ({"tiger_cat": 0.39, "egyptian_cat": 0.36, "tabby": 0.17}, "some kind of cat"),
        ({"tiger_cat": 0.45, "egyptian_cat": 0.4}, "a tiger cat or an egyptian cat"),
        ({"moped": 0.54, "motor_scooter": 0.24}, "some kind of motorcycle, maybe a moped"),
        ({"minivan": 0.4, "jeep": 0.2, "taxi": 0.2}, "some kind of car"),
        ({"daisy": 0.52, "bee": 0.2}, "maybe a daisy"),
        ({"pizza": 0.3, "burrito": 0.2, "strawberry": 0.3}, "some kind of food"),
        ({"palace": 0.3, "bell_tower": 0.17}, "i can't tell what this shows"),
        ({"maze": 0.41, "sundial": 0.14}, "i can't tell what this shows"),
    ],
)
def test_what_is_said(shares, said):
    assert saying(mixture(**shares)).text() == said


def test_the_nearest_certain_kind():
    assert certain_kind(mixture(beagle=0.3, pug=0.3, collie=0.2)) == "dog"
    assert certain_kind(mixture(beagle=0.3, tabby=0.3, zebra=0.2)) == "mammal"
    assert certain_kind(mixture(beagle=0.3, tabby=0.3, espresso=0.3)) is None


def test_a_name_below_a_third_is_never_said():
    rng = np.random.default_rng(1)
    for p in rng.dirichlet(np.full(1000, 0.002), 300):
        assert all(p[i] >= 0.35 for i in saying(p).names)
        assert p.max() < 0.5 or saying(p).names[0] == p.argmax()
