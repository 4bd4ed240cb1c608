"""Ranks of the right item among candidates, and what is told of them: recall@k, median and mean rank, MRR, NDCG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fromage_lite.evaluate.intervals import Figure, figure, mean_figure


def ranks(
    similarities: npt.NDArray[np.floating], relevant: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.int64]:
    """The rank, from 1, of each query's best relevant item; `(queries,)`.

    Of items with equal similarity the relevant ones count as the last: a model that tells nothing apart gains nothing.

    Args:
        similarities: `(queries, items)`; higher is more similar.
        relevant: `(queries, items)`, at least one in each row; None is item i for query i.
    """
    if relevant is None:
        queries, items = similarities.shape
        relevant = np.eye(queries, items, dtype=bool)
    best = np.where(relevant, similarities, -np.inf).max(axis=1, keepdims=True)
    ahead: npt.NDArray[np.int64] = ((similarities >= best) & ~relevant).sum(axis=1) + 1
    return ahead


def rank_of(scores: npt.NDArray[np.floating], right: int) -> int:
    """The rank, from 1, of one candidate among scores `(n,)`; of equal ones the last."""
    return int(ranks(scores[None], np.arange(len(scores))[None] == right)[0])


def ndcg(scores: npt.NDArray[np.floating], relevance: Sequence[float] | npt.NDArray[np.floating]) -> float:
    """Visual Dialog's normalised discounted cumulative gain: over the first k places, where k is the number of
    candidates that are relevant at all; NaN if none is.

    Args:
        scores: `(n,)`; higher is better.
        relevance: `(n,)`, from 0 to 1.
    """
    gains = np.asarray(relevance, dtype=np.float64)
    k = int((gains != 0).sum())
    if not k:
        return float("nan")
    discounts = np.log2(np.arange(k) + 2)
    order = np.argsort(-scores, kind="stable")[:k]
    ideal = np.sort(gains)[::-1][:k]
    return float((gains[order] / discounts).sum() / (ideal / discounts).sum())


def rank_figures(found: npt.NDArray[np.integer], seed: int = 0) -> dict[str, Figure]:
    """`recall@1`, `@5`, `@10` and `median_rank` of ranks `(queries,)`."""
    columns = np.asarray(found, dtype=np.float64)[:, None]
    figures = {f"recall@{k}": mean_figure(found <= k, seed) for k in (1, 5, 10)}
    return figures | {"median_rank": figure(columns, lambda sample: float(np.median(sample)), seed)}


def choice_figures(found: npt.NDArray[np.integer], seed: int = 0) -> dict[str, Figure]:
    """Visual Dialog's `recall@1`, `@5`, `@10`, `mrr` and `mean_rank` of ranks `(rounds,)`."""
    figures = {f"recall@{k}": mean_figure(found <= k, seed) for k in (1, 5, 10)}
    return figures | {"mrr": mean_figure(1 / found, seed), "mean_rank": mean_figure(found, seed)}
