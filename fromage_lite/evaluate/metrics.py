"""Retrieval metrics on arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from index import metrics


def recall_at_k(similarities: npt.NDArray[np.floating], k: int, relevant: npt.NDArray[np.bool_] | None = None) -> float:
    """Share of queries with a relevant item among the `k` most similar ones.

    Args:
        similarities: `(queries, items)`; higher is more similar.
        k: how many items count.
        relevant: `(queries, items)`, which items are right; by default item i for query i.
    """
    n_queries, n_items = similarities.shape
    if relevant is None:
        relevant = np.eye(n_queries, n_items, dtype=bool)
    best = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return metrics.recall_at_k(np.take_along_axis(relevant, best, axis=1), k)


def same_group(groups: Sequence[object]) -> npt.NDArray[np.bool_]:
    """`(n, n)`: whether two items belong to one group (for example: have equal descriptions)."""
    numbers: dict[object, int] = {}
    ids = np.array([numbers.setdefault(group, len(numbers)) for group in groups])
    equal: npt.NDArray[np.bool_] = ids[:, None] == ids[None, :]
    return equal


def mean(values: Sequence[bool | float]) -> float:
    """The mean; NaN of nothing, so that an empty measurement can't pass for a score."""
    return float(np.mean(values)) if values else float("nan")
