"""Pictures for the texts: mixtures of classes as the encoder sees them, drawn by the simulator."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping

import numpy as np

from fromage_lite.photos.text.document import Mixture
from fromage_lite.photos.world.classes import CLASSES, KINDS
from fromage_lite.photos.world.simulator import Simulator

_MODES = {"seen": 0.32, "between": 0.28, "kind": 0.24, "flat": 0.16}
_PLAIN_SHARE = 0.08
_CERTAIN = 0.65
_TRIES = 6


@functools.cache
def simulator() -> Simulator:
    """The simulator of the shipped encoder's head."""
    from fromage_lite.photos.encoder import ENCODER, head_rows
    from fromage_lite.vision import VisionEncoder

    return Simulator(head_rows(VisionEncoder.load(ENCODER)))


def _generator(rng: random.Random) -> np.random.Generator:
    return np.random.default_rng(rng.getrandbits(64))


def plain(number: int) -> Mixture:
    """A picture that shows one class and nothing else."""
    mixture = np.zeros(len(CLASSES), dtype=np.float32)
    mixture[number] = 1
    return mixture


def anything(rng: random.Random, modes: Mapping[str, float] = _MODES) -> Mixture:
    """Any picture: mostly as confused as the encoder is, now and then plain.

    Args:
        rng: the source of all randomness.
        modes: of the simulator; by default with more near the thresholds than there are, since these are to be learnt.
    """
    number = rng.randrange(len(CLASSES))
    if rng.random() < _PLAIN_SHARE:
        return plain(number)
    return simulator().simulate(_generator(rng), np.array([number]), modes)[0]


def of_class(number: int, rng: random.Random, least: float = 0.5) -> Mixture:
    """A picture of a class, in which it has at least this probability."""
    mixtures = simulator().seen(_generator(rng), np.full(_TRIES, number))
    good = np.flatnonzero(mixtures[:, number] >= least)
    return mixtures[good[0]] if len(good) else plain(number)


def certain(rng: random.Random) -> Mixture:
    """A picture of one class that is seen for certain."""
    return of_class(rng.randrange(len(CLASSES)), rng, _CERTAIN)


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
