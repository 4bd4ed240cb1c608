"""Search speed and recall of one kind of index over made-up vectors."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from index.faiss_index import choose_kind, new_index, training_size

BLOCK = 100_000
QUERIES = 100
TOP = 10

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SearchFigures:
    """Of one kind of index.

    Attributes:
        kind: FAISS factory text.
        build: seconds of training and adding.
        query: median seconds of one query, top 10.
        recall: share of the exact top 10 that is found.
        bytes_per_vector: of the index written out.
    """

    kind: str
    build: float
    query: float
    recall: float
    bytes_per_vector: float


def clustered_vectors(count: int, dim: int, seed: int, centres: int = 20_000, spread: float = 0.7) -> Vectors:
    """(count, dim) float32 of unit norm round `centres` random centres.

    Image embeddings are clustered. Vectors without any structure have no near neighbours, and inverted lists fail on
    them; no real data is like that.
    """
    rng = np.random.default_rng(seed)
    middle = np.random.default_rng(0).standard_normal((centres, dim), dtype=np.float32)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    out = np.empty((count, dim), dtype=np.float32)
    for start in range(0, count, BLOCK):
        block = out[start : start + BLOCK]
        noise = rng.standard_normal(block.shape, dtype=np.float32)
        block[:] = middle[rng.integers(centres, size=len(block))] + spread * noise / np.sqrt(dim)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return out


def measure_search(count: int, dim: int, kinds: list[str | None], seed: int = 1) -> list[SearchFigures]:
    """Build an index of each kind (None: the one that is chosen by default) and ask it one query at a time."""
    vectors = clustered_vectors(count, dim, seed)
    queries = clustered_vectors(QUERIES, dim, seed + 1)
    exact = faiss.knn(queries, vectors, TOP, metric=faiss.METRIC_INNER_PRODUCT)[1]
    return [_measure(kind or choose_kind(count), vectors, queries, exact) for kind in kinds]


def _measure(kind: str, vectors: Vectors, queries: Vectors, exact: Any) -> SearchFigures:
    started = time.perf_counter()
    size = training_size(kind, len(vectors))
    training = vectors[:: max(1, len(vectors) // size)][:size] if size else None
    index = new_index(kind, vectors.shape[1], training)
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        index.add_with_ids(block, np.arange(start, start + len(block)))
    build = time.perf_counter() - started
    index.search(queries[:1], TOP)
    times, found = [], []
    for query in queries:
        started = time.perf_counter()
        found.append(index.search(query[None], TOP)[1][0])
        times.append(time.perf_counter() - started)
    recall = np.mean([len(np.intersect1d(a, b)) / TOP for a, b in zip(found, exact, strict=True)])
    size_bytes = faiss.serialize_index(index).nbytes
    return SearchFigures(kind, build, statistics.median(times), float(recall), size_bytes / len(vectors))
