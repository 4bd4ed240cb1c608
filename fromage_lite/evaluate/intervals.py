"""Figures with the intervals that resampling the measured examples gives them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fromage_lite.plain_data import PlainData

RESAMPLES = 1000


@dataclass(frozen=True)
class Figure(PlainData):
    """A measured figure.

    Attributes:
        value: of all examples; NaN if there are none.
        low, high: the 95 % percentile interval of the bootstrap over examples.
        n: how many examples.
    """

    value: float
    low: float
    high: float
    n: int


def mean_figure(values: npt.ArrayLike, seed: int = 0) -> Figure:
    """The mean of one number for each example, `(n,)`; true counts as 1."""
    return figure(np.asarray(values, dtype=np.float64)[:, None], lambda sample: float(sample.mean()), seed)


def figure(
    examples: npt.NDArray[np.float64], statistic: Callable[[npt.NDArray[np.float64]], float], seed: int = 0
) -> Figure:
    """Any figure of a set.

    Args:
        examples: `(n, columns)`, a row for each example.
        statistic: the figure of `(m, columns)` rows.
        seed: of the resampling.
    """
    n = len(examples)
    if not n:
        return Figure(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(seed)
    drawn = [statistic(examples[rng.integers(n, size=n)]) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Figure(float(statistic(examples)), float(low), float(high), n)
