"""How many lists a query looks into, and how many candidates it compares exactly: measured on held-out queries."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from index.metrics import neighbour_recall
from index.search.finding import Best, Finder
from index.search.layers import Layers

TOP = 10
HELD_OUT = 256
NOISE = 0.75
"""Norm of the noise in a query made of a row: the cosine of the two is then 0.8."""
MOST_CANDIDATES = 2048
MARGIN = 0.25
"""How far towards 1 it aims above what was wished: the recall of so few queries is a little off, either way."""
TIMED = 16

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tuned:
    """Attributes:
    probes: lists that a query looks into; 0 without lists.
    factor: candidates compared exactly for each result; 0 without exact vectors beside the lists.
    recall: recall@10 on the held-out queries.
    """

    probes: int
    factor: int
    recall: float


class HeldOut:
    """Queries with their nearest ten, found while an index is filled.

    Args:
        queries: (Q, R) float32 of unit norm, none of them a vector that the index was trained on.
    """

    def __init__(self, queries: Vectors) -> None:
        self.queries = queries
        self._best = Best(len(queries), TOP)

    def add(self, vectors: Vectors, start: int) -> None:
        """Look at vectors (n, R) float32 that are added to the index at positions from `start`."""
        self._best.add(self.queries, vectors, np.arange(start, start + len(vectors)))

    @property
    def nearest(self) -> Ids:
        """(Q, 10) positions."""
        return self._best.places


def noisy(rows: Vectors, seed: int = 0) -> Vectors:
    """Queries like the rows, (n, R) of unit norm, and not the same."""
    noise = np.random.default_rng(seed).standard_normal(rows.shape, dtype=np.float32)
    queries = rows + NOISE / math.sqrt(rows.shape[1]) * noise
    return queries / np.linalg.norm(queries, axis=1, keepdims=True)


def tune(layers: Layers, held_out: HeldOut, wished: float) -> Tuned:
    """The quickest settings that reach the wished recall@10; where none does, those that come nearest."""
    finder = Finder(layers)
    truth = held_out.nearest
    if layers.lists is None:
        found = finder.search(held_out.queries, TOP)[1]
        nearest = truth if layers.ids is None else layers.ids[truth]
        return Tuned(0, 0, neighbour_recall(found, nearest))
    aim = wished + MARGIN * (1 - wished)
    looks_again = layers.matrix is not None
    most = min(MOST_CANDIDATES, layers.searched.ntotal) if looks_again else TOP
    reached: list[tuple[float, Tuned]] = []
    best = Tuned(0, 0, -1.0)
    for probes in _ladder(layers.lists.nlist):
        ranks = _ranks(finder.probe(layers.lists, held_out.queries, most, probes)[1], truth)
        needed = _needed(ranks, aim)
        found_share = float((ranks < (needed or most)).mean())
        tuned = Tuned(probes, math.ceil((needed or most) / TOP) if looks_again else 0, found_share)
        if tuned.recall > best.recall:
            best = tuned
        if needed is not None:
            reached.append((_seconds(layers, tuned, held_out.queries), tuned))
        if reached and probes >= 4 * reached[0][1].probes:
            break
    return min(reached, key=lambda pair: pair[0])[1] if reached else best


def _ladder(lists: int) -> list[int]:
    steps = {round(2 ** (step / 2)) for step in range(2 * lists.bit_length())} | {lists}
    return sorted(step for step in steps if step <= lists)


def _ranks(found: Ids, truth: Ids) -> npt.NDArray[np.float64]:
    """(Q, 10): at which place among the candidates each of the nearest stands; infinite if at none."""
    ranks = np.full(truth.shape, np.inf)
    for row, (candidates, nearest) in enumerate(zip(found, truth, strict=True)):
        order = np.argsort(candidates, kind="stable")
        places = np.minimum(np.searchsorted(candidates, nearest, sorter=order), len(candidates) - 1)
        matched = candidates[order[places]] == nearest
        ranks[row, matched] = order[places][matched]
    return ranks


def _needed(ranks: npt.NDArray[np.float64], aim: float) -> int | None:
    """How many candidates hold the share `aim` of the nearest; None if all of them don't."""
    rank = np.sort(ranks, axis=None)[math.ceil(aim * ranks.size) - 1]
    return None if math.isinf(rank) else int(rank) + 1


def _seconds(layers: Layers, tuned: Tuned, queries: Vectors) -> float:
    finder = Finder(layers, tuned.probes, tuned.factor)
    times = []
    for query in queries[:TIMED]:
        started = time.perf_counter()
        finder.search(query[None], TOP)
        times.append(time.perf_counter() - started)
    return statistics.median(times)
