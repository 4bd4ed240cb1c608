"""Search in inverted lists that finds as many as were asked for, also where the nearest lists hold fewer."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

STEP = 4  # times as many lists are searched for the queries that found too few

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


def search_lists(index: Any, queries: Vectors, k: int, selector: Any = None) -> tuple[Vectors, Ids]:
    """The `k` nearest in an index of inverted lists, or all that the selector lets through where they are fewer.

    A query that finds fewer in the nearest `nprobe` lists is searched for in more of them, at last in all.

    Args:
        index: a FAISS index of the kind `IVF…`.
        queries: (Q, R) float32.
        k: how many.
        selector: a FAISS id selector, or None.

    Returns:
        Scores and ids, each (Q, k), best first; id -1 means that there are no more.
    """
    lists = faiss.extract_index_ivf(index)
    probes = lists.nprobe
    scores, ids = index.search(queries, k, params=_parameters(selector, probes))
    while len(short := np.flatnonzero(ids[:, -1] < 0)) and probes < lists.nlist:
        probes *= STEP
        if probes < lists.nlist:
            scores[short], ids[short] = index.search(queries[short], k, params=_parameters(selector, probes))
        else:
            scores[short], ids[short] = _search_all(lists, queries[short], k, selector)
    return scores, ids


def _search_all(lists: Any, queries: Vectors, k: int, selector: Any) -> tuple[Vectors, Ids]:
    # Not by `nprobe`: the graph of centroids (HNSW) is searched approximately and leaves out some of the lists.
    centroids = lists.quantizer.reconstruct_n(0, lists.nlist)
    keys = np.arange(lists.nlist, dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    ids = np.empty((len(queries), k), dtype=np.int64)
    for row, query in enumerate(queries):
        nearness = np.ascontiguousarray(centroids @ query, dtype=np.float32)
        lists.search_preassigned_c(
            1,
            faiss.swig_ptr(query),
            k,
            faiss.swig_ptr(keys),
            faiss.swig_ptr(nearness),
            faiss.swig_ptr(scores[row]),
            faiss.swig_ptr(ids[row]),
            False,
            _parameters(selector, lists.nlist),
        )
    return scores, ids


def _parameters(selector: Any, probes: int) -> Any:
    # FAISS adds these keyword arguments at run time, where no type checker sees them.
    make: Any = faiss.SearchParametersIVF
    return make(sel=selector, nprobe=probes)
