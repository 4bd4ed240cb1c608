"""Search speed and recall of an index over made-up vectors."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt

from index.faiss_index import Vectors, choose_kind, new_index, training_size
from index.metrics import neighbour_recall

BLOCK = 100_000  # vectors made or added at once
QUERIES = 100
TOP = 10
CENTRES = 20_000
SPREAD = 0.7  # norm of a vector's distance from its centre, about
SEED = 1


@dataclass(frozen=True)
class SearchFigures:
    """What one kind of index takes.

    Attributes:
        kind: FAISS factory string.
        build: seconds of training and adding.
        query: median seconds of one query, top 10.
        recall: share of the exact top 10 that it finds.
        bytes_per_vector: size of the index file over the number of vectors.
    """

    kind: str
    build: float
    query: float
    recall: float
    bytes_per_vector: float


def clustered_vectors(count: int, dim: int, seed: int) -> Vectors:
    """(count, dim) float32 of unit norm around `CENTRES` random centres.

    Image embeddings are clustered. Vectors without structure have no near neighbours, and inverted lists fail on them;
    no real data is like that.
    """
    rng = np.random.default_rng(seed)
    middle = np.random.default_rng(0).standard_normal((CENTRES, dim), dtype=np.float32)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    out = np.empty((count, dim), dtype=np.float32)
    for start in range(0, count, BLOCK):
        block = out[start : start + BLOCK]
        noise = rng.standard_normal(block.shape, dtype=np.float32)
        block[:] = middle[rng.integers(CENTRES, size=len(block))] + SPREAD * noise / np.sqrt(dim)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return out


def measure_search(count: int, dim: int, kinds: list[str | None]) -> list[SearchFigures]:
    """Build an index of each kind (None: the default for `count`) and search it one query at a time."""
    vectors = clustered_vectors(count, dim, SEED)
    queries = clustered_vectors(QUERIES, dim, SEED + 1)
    exact = faiss.knn(queries, vectors, TOP, metric=faiss.METRIC_INNER_PRODUCT)[1]
    return [_measure(kind or choose_kind(count), vectors, queries, exact) for kind in kinds]


def _measure(kind: str, vectors: Vectors, queries: Vectors, exact: npt.NDArray[np.int64]) -> SearchFigures:
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
    recall = neighbour_recall(np.stack(found), exact)
    size_bytes = faiss.serialize_index(index).nbytes
    return SearchFigures(kind, build, statistics.median(times), recall, size_bytes / len(vectors))
