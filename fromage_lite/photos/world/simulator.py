"""Class probabilities as a classifier gives them of photographs, made without any photograph.

What a classifier confuses stands in its head: classes whose rows lie near each other. A simulated picture is a mix of
rows, noise that is correlated through the head, and independent noise, all put through the softmax. Such mixtures are
too seldom unsure, so others are mixed directly: near the thresholds of `saying`, within a kind, and of nothing known.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fromage_lite.photos.world.classes import CLASSES, KINDS

Mixtures = NDArray[np.float32]
Classes = NDArray[np.integer]

MODES: dict[str, float] = {"seen": 0.5, "between": 0.15, "kind": 0.2, "flat": 0.15}
"""How often each kind of mixture is drawn by `Simulator.simulate`."""

_NEAR = 0.04
"""Of cosines of head rows: the neighbours of a class are drawn by exp(cosine / _NEAR)."""


class Simulator:
    """Draws mixtures of the 1,000 classes. All draws come from the generator that is handed in.

    Args:
        head: the classifier's weights, (1000, width): one row per class.
    """

    def __init__(self, head: NDArray[np.floating]) -> None:
        centred = head - head.mean(0)
        self._rows = (centred / np.linalg.norm(centred, axis=1, keepdims=True)).astype(np.float32)
        self._cosines: Mixtures = self._rows @ self._rows.T
        nearness = np.exp(self._cosines.astype(np.float64) / _NEAR)
        np.fill_diagonal(nearness, 0)
        self._neighbours = nearness / nearness.sum(1, keepdims=True)

    def simulate(self, rng: np.random.Generator, classes: Classes, modes: Mapping[str, float] = MODES) -> Mixtures:
        """Mixtures of pictures of the classes (batch,), each in a mode drawn by its weight -> (batch, 1000).

        A mixture's class is where it began: whether it still can be told is for `saying` to say. `flat` forgets it.

        Args:
            rng: the source of all randomness.
            classes: what is in the pictures.
            modes: weights of `seen`, `between`, `kind` and `flat`; each is the method of that name.
        """
        weights = np.array(list(modes.values()), dtype=np.float64)
        drawn = rng.choice(len(weights), size=len(classes), p=weights / weights.sum())
        draws = {"seen": self.seen, "between": self.between, "kind": self.kind, "flat": self.flat}
        mixtures = np.empty((len(classes), len(CLASSES)), dtype=np.float32)
        for i, mode in enumerate(modes):
            which = drawn == i
            mixtures[which] = draws[mode](rng, classes[which])
        return mixtures

    def seen(self, rng: np.random.Generator, classes: Classes) -> Mixtures:
        """Ordinary photographs of a class: mostly clear, at times unsure -> (batch, 1000)."""
        column = partial(_column, rng, len(classes))
        signal = column(7, 15)
        logits = signal * self._cosines[classes]
        for _ in range(3):
            logits += signal * column(0, 1) ** 1.5 * self._cosines[self._neighbour(rng, classes)]
        return _softmax(logits + self._noise(rng, len(classes), column(0.5, 2.0), column(0.3, 1.3)))

    def between(self, rng: np.random.Generator, classes: Classes) -> Mixtures:
        """Mixtures near the thresholds: the class has 0.3 to 0.66; neighbours and a diffuse rest share what is left."""
        top = _column(rng, len(classes), 0.3, 0.66)
        second = (1 - top) * np.minimum(_column(rng, len(classes), 0, 1.05), 1) ** 1.5
        partner = self._neighbour(rng, classes)
        rest = self._rest(rng, classes)
        mixtures = (1 - top - second) * rest
        every = np.arange(len(classes))
        mixtures[every, partner] += second[:, 0]
        mixtures[every, classes] += top[:, 0]
        return mixtures.astype(np.float32)

    def kind(self, rng: np.random.Generator, classes: Classes) -> Mixtures:
        """Mixtures within one kind of each class, near or far, that sum to 0.5 to 0.99; no class alone stands out."""
        mixtures = self._rest(rng, classes)
        for row, index in zip(mixtures, classes.tolist(), strict=True):
            kinds = [kind for kind in CLASSES[index].kinds if len(KINDS[kind]) > 2]
            if not kinds:
                continue
            members = np.array(KINDS[kinds[min(int(rng.exponential(0.7)), len(kinds) - 1)]])
            nearness = np.exp(self._cosines[index, members] / (4 * _NEAR)).astype(np.float64)
            size = min(int(rng.integers(2, 9)), len(members))
            chosen = rng.choice(members, size=size, replace=False, p=nearness / nearness.sum())
            mass = rng.uniform(0.5, 0.72) if rng.random() < 0.25 else rng.uniform(0.7, 0.99)
            shares = _capped(rng.dirichlet(np.full(size, rng.uniform(1, 4))), rng.uniform(0.35, 0.55) / mass)
            row *= 1 - mass
            row[chosen] += (mass * shares).astype(np.float32)
        return mixtures

    def flat(self, rng: np.random.Generator, classes: Classes) -> Mixtures:
        """Pictures of nothing known, one per entry of `classes`, whatever it is -> (batch, 1000)."""
        size = len(classes)
        noise = self._noise(rng, size, _column(rng, size, 2.3, 4.6), _column(rng, size, 0.3, 1.2))
        return _at_most(_softmax(noise), _column(rng, size, 0.1, 0.5))

    def _noise(self, rng: np.random.Generator, size: int, through_head: Mixtures, alone: Mixtures) -> Mixtures:
        """Noise as logits (size, 1000): correlated as the rows are, and independent; deviations (size, 1)."""
        width = self._rows.shape[1]
        correlated = rng.standard_normal((size, width), dtype=np.float32) @ self._rows.T
        return through_head * correlated + alone * rng.standard_normal((size, len(CLASSES)), dtype=np.float32)

    def _neighbour(self, rng: np.random.Generator, classes: Classes) -> Classes:
        """Another class for each, the likelier the nearer their rows."""
        cumulated = self._neighbours[classes].cumsum(1)
        return np.minimum((cumulated < rng.random((len(classes), 1))).sum(1), len(CLASSES) - 1)

    def _rest(self, rng: np.random.Generator, classes: Classes) -> Mixtures:
        """What a picture's remaining probability looks like: neighbours of the class, others, and a long tail."""
        size = len(classes)
        logits = _column(rng, size, 0, 8) * self._cosines[classes]
        mixtures = _softmax(logits + self._noise(rng, size, _column(rng, size, 0.8, 2.4), _column(rng, size, 0.3, 1.2)))
        mixtures[np.arange(size), classes] = 0
        return mixtures / mixtures.sum(1, keepdims=True)


def _column(rng: np.random.Generator, size: int, low: float, high: float) -> Mixtures:
    return rng.uniform(low, high, (size, 1)).astype(np.float32)


def _softmax(logits: Mixtures) -> Mixtures:
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


def _capped(shares: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    """Shares that sum to one, evened out until none is above `most` (or all are equal)."""
    even = 1 / len(shares)
    if shares.max() <= most or most <= even:
        return shares if shares.max() <= most else np.full_like(shares, even)
    weight = (most - even) / (shares.max() - even)
    return weight * shares + (1 - weight) * even


def _at_most(mixtures: Mixtures, most: Mixtures) -> Mixtures:
    """Mixtures whose largest probability is above `most` (batch, 1), flattened by a power until it is not."""
    powers = np.ones_like(most)
    for _ in range(40):
        flattened = mixtures**powers
        flattened /= flattened.sum(1, keepdims=True)
        above = flattened.max(1, keepdims=True) > most
        if not above.any():
            break
        powers = np.where(above, powers * 0.93, powers)
    return flattened
