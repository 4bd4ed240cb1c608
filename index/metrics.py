"""Retrieval metrics on arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def recall_at_k(is_right: npt.NDArray[np.bool_], k: int) -> float:
    """R@k of retrieval: the share of queries with a right item among the first `k`.

    Args:
        is_right: (Q, K) bool, whether each item found is right; for each query best first.
        k: how many items count, at most K.
    """
    return float(is_right[:, :k].any(axis=1).mean())


def neighbour_recall(found: npt.NDArray[np.integer], exact: npt.NDArray[np.integer]) -> float:
    """k-recall@k of an approximate index: the share of the true k nearest neighbours that it finds.

    Args:
        found: (Q, k) ids that the index returns, in any order; -1 is none.
        exact: (Q, k) ids of the true neighbours.
    """
    return float(np.mean([np.isin(true, ids).mean() for true, ids in zip(exact, found, strict=True)]))
