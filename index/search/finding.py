"""Search in a FAISS index: as many as were asked for, whatever is excluded, and nothing that isn't allowed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import faiss
import numpy as np
import numpy.typing as npt

from index.search.layers import Layers

STEP = 4  # times as many lists are searched for the queries that found too few
FEW = 50_000
"""So many allowed vectors are compared one by one, exactly, rather than looked for in lists."""
BLOCK = 65_536
PRODUCT_BLOCK = 16_384
MANY_QUERIES = 8
"""From here on a matrix product a block is faster than a pass over all vectors for each query."""
SPLIT_COUNT = 200_000
"""From here on one query's pass over all vectors is worth being shared among threads."""
LEAST_WANTED = 10
"""A second look takes candidates for at least so many: the recall was measured at ten."""

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Rows(Protocol):
    """Exact vectors by position."""

    def __getitem__(self, positions: Ids) -> npt.NDArray[Any]: ...


class Finder:
    """Search over the layers of an index; positions are ids of the index before they are mapped.

    Args:
        layers: the index.
        probes: lists that a query looks into; 0 leaves it to the index.
        factor: candidates that are compared exactly for each result that is wanted, where there are exact vectors
            beside the lists.
        rows: where exact vectors are read; by default the layers' own matrix.
    """

    def __init__(self, layers: Layers, probes: int = 0, factor: int = 0, rows: Rows | None = None) -> None:
        self.layers = layers
        self.probes, self.factor = probes, factor
        self.rows: Rows | None = rows if rows is not None else layers.matrix

    @cached_property
    def end(self) -> int:
        """One more than the highest position."""
        return self.layers.end

    def search(self, queries: Vectors, k: int, allowed: Mask | None = None) -> tuple[Vectors, Ids]:
        """The nearest.

        Args:
            queries: (Q, R) float32, contiguous.
            k: how many.
            allowed: (end,) which positions may be found; None for all.

        Returns:
            Scores and ids, each (Q, k), best first; id -1 means that there are no more.
        """
        count = self.layers.searched.ntotal if allowed is None else int(allowed.sum())
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        places = np.full((len(queries), k), -1, dtype=np.int64)
        wanted = min(k, count)
        if wanted and len(queries):
            scores[:, :wanted], places[:, :wanted] = self._find(queries, wanted, allowed, count)
        if self.layers.ids is not None:
            places = np.where(places >= 0, self.layers.ids[places], -1)
        return scores, places

    def _find(self, queries: Vectors, k: int, allowed: Mask | None, count: int) -> tuple[Vectors, Ids]:
        lists, matrix = self.layers.lists, self.layers.matrix
        if self.rows is not None and allowed is not None and count <= FEW and count <= self.end // 2:
            return _nearest_rows(self.rows, np.flatnonzero(allowed), queries, k)
        if lists is not None:
            return self._in_lists(lists, queries, k, allowed, count)
        if matrix is not None and len(queries) >= MANY_QUERIES:
            return _nearest_in_blocks(matrix, allowed, queries, k)
        if matrix is not None and len(matrix) >= SPLIT_COUNT and len(queries) == 1 and allowed is None:
            return self._in_parts(queries, k)
        return self._otherwise(queries, k, allowed)

    # --- inverted lists ---

    def _in_lists(self, lists: Any, queries: Vectors, k: int, allowed: Mask | None, count: int) -> tuple[Vectors, Ids]:
        probes = min(self.probes or lists.nprobe, lists.nlist)
        if allowed is not None:  # in as many vectors as may be found without a filter
            probes = min(-(-probes * self.end // count), lists.nlist)
        candidates = k
        if self.rows is not None and self.factor:
            candidates = min(max(k, LEAST_WANTED) * self.factor, count)
        selector = _selector(allowed)
        scores, places = self.probe(lists, queries, candidates, probes, selector)
        while len(short := np.flatnonzero((places >= 0).sum(axis=1) < k)) and probes < lists.nlist:
            probes = min(probes * STEP, lists.nlist)
            scores[short], places[short] = self.probe(lists, queries[short], candidates, probes, selector)
        if self.rows is None or not self.factor:
            return scores[:, :k], places[:, :k]
        found = [
            _nearest_rows(self.rows, row[row >= 0], query[None], k) for row, query in zip(places, queries, strict=True)
        ]
        return np.concatenate([best for best, _ in found]), np.concatenate([best for _, best in found])

    def probe(self, lists: Any, queries: Vectors, k: int, probes: int, selector: Any = None) -> tuple[Vectors, Ids]:
        """The nearest by their codes in the nearest lists: scores and positions, each (Q, k); -1 for none."""
        if probes >= lists.nlist and not isinstance(faiss.downcast_index(lists.quantizer), faiss.IndexFlat):
            return self._probe_all(lists, queries, k, selector)
        make: Any = faiss.SearchParametersIVF  # FAISS adds its keyword arguments at run time.
        lists.parallel_mode = 1 if len(queries) == 1 else 0  # threads share one query's lists, or several queries
        found = self.layers.searched.search(queries, k, params=make(sel=selector, nprobe=probes))
        return self._scored(*found)

    def _probe_all(self, lists: Any, queries: Vectors, k: int, selector: Any) -> tuple[Vectors, Ids]:
        # Not by `nprobe`: the graph of centroids (HNSW) is searched approximately and leaves out some of the lists.
        for transform in self.layers.transforms:
            queries = transform.apply(queries)
        centroids = lists.quantizer.reconstruct_n(0, lists.nlist)
        keys = np.arange(lists.nlist, dtype=np.int64)
        scores = np.empty((len(queries), k), dtype=np.float32)
        ids = np.empty((len(queries), k), dtype=np.int64)
        make: Any = faiss.SearchParametersIVF
        for row, query in enumerate(queries):
            nearness: npt.NDArray[Any] = centroids @ query
            if lists.metric_type == faiss.METRIC_L2:
                nearness = np.square(centroids - query).sum(axis=1)
            nearness = nearness.astype(np.float32)
            lists.search_preassigned_c(
                1,
                faiss.swig_ptr(query),
                k,
                faiss.swig_ptr(keys),
                faiss.swig_ptr(nearness),
                faiss.swig_ptr(scores[row]),
                faiss.swig_ptr(ids[row]),
                False,
                make(sel=selector, nprobe=lists.nlist),
            )
        return self._scored(scores, ids)

    def _scored(self, scores: Vectors, places: Ids) -> tuple[Vectors, Ids]:
        """Cosines, also of an index that gives squared distances: of unit norm, a cosine is 1 - distance / 2."""
        if self.layers.searched.metric_type == faiss.METRIC_L2:
            scores = (1 - scores / 2).astype(np.float32)
        return scores, places

    # --- all vectors ---

    def _in_parts(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        """FAISS searches for one query on one thread: here each thread has a part of the vectors."""
        starts, parts, pool = self._parts
        found = list(pool.map(lambda part: part.search(queries, min(k, part.ntotal)), parts))
        scores = np.concatenate([scores for scores, _ in found], axis=1)
        places = np.concatenate([ids + start for start, (_, ids) in zip(starts, found, strict=True)], axis=1)
        order = np.argsort(-scores[0], kind="stable")[:k]
        return scores[:, order], places[:, order]

    @cached_property
    def _parts(self) -> tuple[list[int], list[Any], ThreadPoolExecutor]:
        whole, matrix = self.layers.searched, self.layers.matrix
        assert matrix is not None
        view: Any = faiss.MaybeOwnedVectorUInt8
        threads = faiss.omp_get_max_threads()
        bounds = np.linspace(0, whole.ntotal, threads + 1).astype(np.int64)
        parts = []
        for start, end in pairwise(bounds):
            codes = matrix[start:end].view(np.uint8).reshape(-1)
            part: Any = _empty_like(whole)
            part.codes = view.create_view(faiss.swig_ptr(codes), codes.size, whole.codes.owner)
            part.ntotal = int(end - start)
            parts.append(part)
        pool = ThreadPoolExecutor(threads, "scan", initializer=faiss.omp_set_num_threads, initargs=(1,))
        return [int(start) for start in bounds[:-1]], parts, pool

    def _otherwise(self, queries: Vectors, k: int, allowed: Mask | None) -> tuple[Vectors, Ids]:
        make: Any = faiss.SearchParameters
        parameters = make(sel=_selector(allowed)) if allowed is not None else None
        try:
            scores, places = self._scored(*self.layers.searched.search(queries, k, params=parameters))
        except RuntimeError:  # a kind that knows no selectors
            places = np.full((len(queries), k), -1, dtype=np.int64)
            scores = np.zeros(places.shape, dtype=np.float32)
        if len(short := np.flatnonzero((places >= 0).sum(axis=1) < k)):  # a graph may miss some
            rows = self.rows if self.rows is not None else Reconstructed(self.layers.searched)
            positions = np.arange(self.end) if allowed is None else np.flatnonzero(allowed)
            scores[short], places[short] = _nearest_rows(rows, positions, queries[short], k)
        return scores, places


class Reconstructed:
    """Vectors as an index remembers them."""

    def __init__(self, index: Any) -> None:
        self._index = index

    def __getitem__(self, positions: Ids) -> Vectors:
        return self._index.reconstruct_batch(positions)


class DiskRows:
    """Vectors of a file that is read, not mapped: pages of a mapped one count as this process's memory.

    Args:
        descriptor: of the open file; it is closed with this object.
        offset: where the first vector begins.
        like: the same vectors, mapped; for width and dtype.
    """

    def __init__(self, descriptor: int, offset: int, like: npt.NDArray[Any]) -> None:
        self._descriptor, self._offset = descriptor, offset
        self._dtype, self._dim = like.dtype, like.shape[1]

    def __del__(self) -> None:
        os.close(self._descriptor)

    def __getitem__(self, positions: Ids) -> npt.NDArray[Any]:
        size = self._dim * self._dtype.itemsize
        data = b"".join([os.pread(self._descriptor, size, self._offset + size * int(place)) for place in positions])
        return np.frombuffer(data, dtype=self._dtype).reshape(-1, self._dim)


def _empty_like(index: Any) -> Any:
    if isinstance(index, faiss.IndexScalarQuantizer):
        part = faiss.IndexScalarQuantizer(index.d, index.sq.qtype, index.metric_type)
        part.is_trained = True
        return part
    return faiss.IndexFlat(index.d, index.metric_type)


def _selector(allowed: Mask | None) -> Any:
    if allowed is None:
        return None
    make: Any = faiss.IDSelectorBitmap  # FAISS takes arrays at run time, where no type checker sees it.
    return make(np.packbits(allowed, bitorder="little"))


def _nearest_rows(rows: Rows, positions: Ids, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
    """The nearest `k` among the vectors at `positions`, of which there are at least as many."""
    best = Best(len(queries), k)
    positions = np.sort(positions)
    for start in range(0, len(positions), BLOCK):
        block = positions[start : start + BLOCK]
        best.add(queries, rows[block].astype(np.float32), block)
    return best.scores, best.places


def _nearest_in_blocks(matrix: npt.NDArray[Any], allowed: Mask | None, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
    best = Best(len(queries), k)
    for places, block in _blocks(matrix, allowed):
        best.add(queries, block, places)
    return best.scores, best.places


def _blocks(matrix: npt.NDArray[Any], allowed: Mask | None) -> Iterator[tuple[Ids, Vectors]]:
    for start in range(0, len(matrix), BLOCK):
        block = matrix[start : start + BLOCK]
        places = np.arange(start, start + len(block))
        if allowed is not None:
            chosen = np.flatnonzero(allowed[start : start + BLOCK])
            block, places = block[chosen], places[chosen]
        if len(places):
            yield places, block.astype(np.float32)


class Best:
    """The best of the vectors seen so far for each query."""

    def __init__(self, count: int, k: int) -> None:
        self.scores = np.full((count, k), -np.inf, dtype=np.float32)
        self.places = np.full((count, k), -1, dtype=np.int64)

    def add(self, queries: Vectors, vectors: Vectors, places: Ids) -> None:
        """Look at vectors (n, R) float32 that stand at `places`."""
        if len(queries) == 1:
            self._take(0, vectors @ queries[0], np.arange(len(vectors)), places)
            return
        for start in range(0, len(vectors), PRODUCT_BLOCK):
            block = slice(start, start + PRODUCT_BLOCK)
            products = queries @ vectors[block].T
            # Soon hardly any product is higher than the lowest of the best: looking for those is cheaper than sorting.
            least = self.scores[:, -1:]
            rows, columns = np.nonzero(products > least)
            for row in np.unique(rows):
                self._take(row, products[row], columns[rows == row], places[block])

    def _take(self, row: int, products: Vectors, candidates: Ids, places: Ids) -> None:
        k = self.scores.shape[1]
        found = products[candidates]
        if len(found) > k:
            best = np.argpartition(-found, k - 1)[:k]
            found, candidates = found[best], candidates[best]
        scores, merged = np.append(self.scores[row], found), np.append(self.places[row], places[candidates])
        order = np.argsort(-scores, kind="stable")[:k]
        self.scores[row], self.places[row] = scores[order], merged[order]
