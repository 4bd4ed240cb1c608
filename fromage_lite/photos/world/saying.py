"""What can honestly be said of a mixture of class probabilities: one rule for training texts and for figures.

A class of 0.5 and more must be named, one below 0.35 must not; a kind of 0.7 and more must be told, and nothing of a
flat mixture. The thresholds lie between: a model that reads a mixture to within a few hundredths still keeps to all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fromage_lite.photos.world.classes import CLASSES, KINDS
from fromage_lite.photos.world.nouns import with_article

SURE = 0.6
"""From here on the name stands alone."""
MAYBE = 0.46
"""From here on a name is said with a "maybe", whatever the rest is."""
MAYBE_WITH_KIND = 0.42
"""From here on a name is said with a "maybe" after a kind that is certain."""
ONE_OF_TWO = 0.37
"""From here on both of two names are said."""
KIND = 0.6
"""From here on a kind is certain, by the sum of its classes; a kind of all 1,000 would need `KIND_WIDTH` more."""
KIND_WIDTH = 0.25
"""Wide kinds sum up by chance: animal, with two of five classes, needs 0.7 in all."""

CANT_TELL = "i can't tell what this shows"

KIND_NAMES: tuple[str, ...] = tuple(KINDS)
MEMBERS: NDArray[np.float32] = np.array(
    [[kind in row.kinds for kind in KIND_NAMES] for row in CLASSES], dtype=np.float32
)
"""Which class belongs to which kind, (classes, kinds), of 0 and 1."""
_SIZES = MEMBERS.sum(0)
_CERTAIN = KIND + KIND_WIDTH * _SIZES / len(CLASSES)


@dataclass(frozen=True)
class Saying:
    """What can be said of a picture.

    Attributes:
        names: no class, one, or two of which it is one, the likelier first.
        kind: the nearest kind that is certain; None if none is, or if the name is sure.
        sure: the one name stands alone, without "maybe".
    """

    names: tuple[int, ...] = ()
    kind: str | None = None
    sure: bool = False

    @property
    def nothing(self) -> bool:
        """Whether nothing can be told."""
        return not self.names and self.kind is None

    def text(self) -> str:
        """In words: `a tabby`, `a tiger cat or an egyptian cat`, `some kind of cat`, `maybe a daisy`, …"""
        names = [with_article(CLASSES[i].name) for i in self.names]
        if len(names) == 2:
            return " or ".join(names)
        if names and self.sure:
            return names[0]
        if names:
            return f"some kind of {self.kind}, maybe {names[0]}" if self.kind else f"maybe {names[0]}"
        return f"some kind of {self.kind}" if self.kind else CANT_TELL


def kind_sums(mixture: NDArray[np.floating]) -> NDArray[np.floating]:
    """Probabilities of classes (..., 1000) -> of kinds (..., kinds), in the order of `KIND_NAMES`."""
    return mixture @ MEMBERS


def certain_kind(mixture: NDArray[np.floating]) -> str | None:
    """The kind with the fewest classes among those whose sum is certain, of one mixture (1000,)."""
    certain = np.flatnonzero(kind_sums(mixture) >= _CERTAIN)
    return KIND_NAMES[certain[np.argmin(_SIZES[certain])]] if len(certain) else None


def saying(mixture: NDArray[np.floating]) -> Saying:
    """What can be said of one mixture (1000,).

    A sure name alone; two names that are likely both; a kind with a likely name; a likely name; a kind; or nothing.
    """
    second, first = np.argsort(mixture)[-2:].tolist()
    if mixture[first] >= SURE:
        return Saying((first,), sure=True)
    kind = certain_kind(mixture)
    if mixture[second] >= ONE_OF_TWO:
        return Saying((first, second), kind)
    if mixture[first] >= (MAYBE_WITH_KIND if kind else MAYBE):
        return Saying((first,), kind)
    return Saying((), kind)
