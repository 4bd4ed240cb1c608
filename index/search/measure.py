"""Speed, recall and memory of an index over made-up vectors."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import psutil

from index.errors import StoreError
from index.metrics import neighbour_recall
from index.search.faiss_build import described, fill, write_index
from index.search.faiss_parts import open_parts
from index.search.policy import Plan, training_size
from index.store.manifest import IndexManifest

BLOCK = 100_000  # vectors made or added at once
QUERIES = 100
TOP = 10
CENTRES = 20_000
SPREAD = 0.7  # norm of a vector's distance from its centre, about

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Generator = Callable[[int, int, int], Vectors]


@dataclass(frozen=True)
class IndexFigures:
    """What one index takes, opened in a process of its own.

    Attributes:
        kind: FAISS factory string.
        reason: why it is of that kind, and how it was tuned.
        build_s: seconds of training, adding and tuning.
        open_ms: milliseconds to open its file, which is in the page cache; median.
        query_ms: milliseconds of one query, top 10; median of `QUERIES`, one after the other.
        batch_ms: milliseconds of `QUERIES` queries at once.
        recall_at_1, recall_at_10: share of the exact nearest that it finds.
        memory_bytes: by which the process grew for opening the file and its queries, mapped pages included.
        file_bytes: size of the file.
    """

    kind: str
    reason: str
    build_s: float
    open_ms: float
    query_ms: float
    batch_ms: float
    recall_at_1: float
    recall_at_10: float
    memory_bytes: int
    file_bytes: int


def clustered_vectors(count: int, dim: int, seed: int) -> Vectors:
    """(count, dim) float32 of unit norm around `CENTRES` random centres, as embeddings of scenes or of classes are."""
    middle = _unit(np.random.default_rng(0).standard_normal((CENTRES, dim), dtype=np.float32))
    rng = np.random.default_rng(seed)
    out = np.empty((count, dim), dtype=np.float32)
    for start in range(0, count, BLOCK):
        block = out[start : start + BLOCK]
        noise = rng.standard_normal(block.shape, dtype=np.float32)
        noise *= SPREAD / np.sqrt(dim)
        noise += middle[rng.integers(CENTRES, size=len(block))]
        block[:] = _unit(noise)
    return out


def unstructured_vectors(count: int, dim: int, seed: int) -> Vectors:
    """(count, dim) float32, even over the sphere: the worst for every index, for nothing is near to anything."""
    rng = np.random.default_rng(seed)
    out = np.empty((count, dim), dtype=np.float32)
    for start in range(0, count, BLOCK):
        block = out[start : start + BLOCK]
        block[:] = _unit(rng.standard_normal(block.shape, dtype=np.float32))
    return out


STRUCTURES: dict[str, Generator] = {"clustered": clustered_vectors, "unstructured": unstructured_vectors}


def nearest(vectors: Vectors, queries: Vectors) -> Ids:
    """(Q, 10) the exact nearest."""
    return faiss.knn(queries, vectors, TOP, metric=faiss.METRIC_INNER_PRODUCT)[1]


def build(plan: Plan, vectors: Vectors, folder: Path) -> tuple[IndexManifest, float]:
    """Build an index of the vectors as the program does, and write it; its manifest, and the seconds before writing."""
    started = time.perf_counter()
    size = training_size(plan.kind, len(vectors))
    chosen = np.random.default_rng(0).permutation(len(vectors))[:size]
    sample = vectors[np.sort(chosen)][np.argsort(np.argsort(chosen))] if size else None
    built = fill(plan, np.arange(len(vectors)), _blocks(vectors), sample)
    if built is None:
        raise StoreError("The vectors don't fit.")
    seconds = time.perf_counter() - started
    return write_index(built.index, described(built), folder), seconds


def measure(
    folder: Path, manifest: IndexManifest, build_s: float, queries: Vectors, exact: Ids, threads: int
) -> IndexFigures:
    """Measure an index that `build` wrote, in a process of its own.

    Args:
        folder: where it is.
        manifest: its manifest; one with another `is_compact` opens it that way.
        build_s: seconds that it took to build.
        queries: (Q, R).
        exact: (Q, 10) their nearest.
        threads: that FAISS may use.
    """
    # Spawned, so that nothing of this process's memory is the other's.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (folder, manifest, build_s, queries, exact, threads))


def as_compact(manifest: IndexManifest) -> IndexManifest:
    """The same index, opened to take little memory."""
    return replace(manifest, is_compact=True)


def _measure(
    folder: Path, manifest: IndexManifest, build_s: float, queries: Vectors, exact: Ids, threads: int
) -> IndexFigures:
    faiss.omp_set_num_threads(threads)
    none = np.empty(0, dtype=np.int64)
    warm_up = np.zeros((1, queries.shape[1]), dtype=np.float32)
    faiss.knn(warm_up, warm_up, 1)
    process = psutil.Process()
    before = process.memory_info().rss
    opening = [_timed(lambda: open_parts(folder, manifest, ""))]
    (part,) = open_parts(folder, manifest, "")
    part.search(queries[:1], TOP, none, None)
    times, found = [], []
    for query in queries:
        started = time.perf_counter()
        found.append(part.search(query[None], TOP, none, None)[1][0])
        times.append(time.perf_counter() - started)
    memory = process.memory_info().rss - before
    batch = statistics.median(_timed(lambda: part.search(queries, TOP, none, None)) for _ in range(3))
    opening += [_timed(lambda: open_parts(folder, manifest, "")) for _ in range(4)]
    ids = np.stack(found)
    return IndexFigures(
        kind=manifest.kind,
        reason=manifest.reason,
        build_s=build_s,
        open_ms=1e3 * statistics.median(opening),
        query_ms=1e3 * statistics.median(times),
        batch_ms=1e3 * batch,
        recall_at_1=neighbour_recall(ids[:, :1], exact[:, :1]),
        recall_at_10=neighbour_recall(ids, exact),
        memory_bytes=memory,
        file_bytes=manifest.file_bytes,
    )


def _timed(task: Callable[[], object]) -> float:
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def _blocks(vectors: Vectors) -> Iterator[Vectors]:
    for start in range(0, len(vectors), BLOCK):
        yield vectors[start : start + BLOCK]


def _unit(vectors: Vectors) -> Vectors:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
