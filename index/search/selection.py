"""Search for ids: some are excluded, or only some may be found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from index.search.finding import Finder, Mask

FEW_EXCLUDED = 256
"""So many are left out of the results, which is cheaper than marking them among all vectors."""

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """A part of an index.

    Attributes:
        finder: searches it.
        kept: (end,) which of its positions may be found at all; None for all.
    """

    finder: Finder
    kept: Mask | None = None

    def search(self, queries: Vectors, k: int, exclude: Ids, among: Ids | None) -> tuple[Vectors, Ids]:
        """Scores and ids of the nearest, each (Q, k), best first; id -1 means that there are no more."""
        if among is None and len(exclude) <= FEW_EXCLUDED:
            scores, ids = self.finder.search(queries, k + len(exclude), self.kept)
            return _without(scores, ids, exclude, k) if len(exclude) else (scores, ids)
        layers = self.finder.layers
        allowed = np.full(self.finder.end, among is None, dtype=np.bool_)
        if among is not None:
            allowed[layers.positions_of(among)] = True
        allowed[layers.positions_of(exclude)] = False
        if self.kept is not None:
            allowed &= self.kept
        return self.finder.search(queries, k, allowed)


def merged(found: list[tuple[Vectors, Ids]], k: int) -> tuple[Vectors, Ids]:
    """The best `k` of the answers of several parts to the same queries."""
    scores = np.concatenate([scores for scores, _ in found], axis=1)
    ids = np.concatenate([ids for _, ids in found], axis=1)
    order = np.argsort(np.where(ids < 0, np.inf, -scores), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)


def _without(scores: Vectors, ids: Ids, exclude: Ids, k: int) -> tuple[Vectors, Ids]:
    ids = np.where(np.isin(ids, exclude), -1, ids)
    order = np.argsort(ids < 0, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)
