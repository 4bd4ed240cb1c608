"""Pictures for the texts: mixtures of classes as the encoder would see them."""

from __future__ import annotations

import random

import numpy as np

from fromage_lite.photos.text.document import Mixture
from fromage_lite.photos.world.classes import CLASSES, KINDS
from fromage_lite.photos.world.simulator import simulate

_CERTAIN = 0.65


def _generator(rng: random.Random) -> np.random.Generator:
    return np.random.default_rng(rng.getrandbits(64))


def plain(number: int) -> Mixture:
    """A picture that shows one class and nothing else."""
    mixture = np.zeros(len(CLASSES), dtype=np.float32)
    mixture[number] = 1
    return mixture


def anything(rng: random.Random) -> Mixture:
    """Any picture: mostly as confused as the encoder is, now and then plain."""
    if rng.random() < 0.12:
        return plain(rng.randrange(len(CLASSES)))
    return simulate(_generator(rng))


def of_class(number: int, rng: random.Random) -> Mixture:
    """A picture of a class, in which it is likelier than all others together."""
    for _ in range(10):
        mixture = simulate(_generator(rng), number)
        if mixture[number] >= 0.5:
            return mixture
    return plain(number)


def certain(rng: random.Random) -> Mixture:
    """A picture of one class that is seen for certain."""
    number = rng.randrange(len(CLASSES))
    for _ in range(10):
        mixture = simulate(_generator(rng), number)
        if mixture.max() >= _CERTAIN:
            return mixture
    return plain(number)


def pair(rng: random.Random) -> tuple[Mixture, Mixture]:
    """Two pictures; often of related things, and seldom of nothing known."""
    first = certain(rng) if rng.random() < 0.7 else anything(rng)
    draw = rng.random()
    if draw < 0.3:
        kinds = CLASSES[int(first.argmax())].kinds
        second = of_class(rng.choice(KINDS[rng.choice(kinds)]), rng)
    else:
        second = certain(rng) if draw < 0.8 else anything(rng)
    return (first, second) if rng.random() < 0.5 else (second, first)
