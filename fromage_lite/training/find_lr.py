"""A search for the learning rate: it rises step by step, and the loss tells where learning is fastest (Smith 2017,
arXiv 1506.01186)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fromage_lite.training.curves import draw_rates
from index.files import write_bytes

STEPS = 100
LOWEST, HIGHEST = 1e-6, 1.0
_SMOOTHING = 0.9
_DIVERGED = 3.0  # times the lowest smoothed loss
_TABLE, _PICTURE = "find_lr.csv", "find_lr.png"


@dataclass(frozen=True)
class RateSearch:
    """Losses over learning rates.

    Attributes:
        rates: of the steps, rising.
        losses: the total loss before each step.
        smooth: their bias-corrected moving average.
    """

    rates: list[float]
    losses: list[float]
    smooth: list[float]

    @property
    def suggestion(self) -> float:
        """The rate at which the smoothed loss falls fastest, by its slope over the rate's logarithm."""
        end = max(2, 1 + min(range(len(self.smooth)), key=self.smooth.__getitem__))  # after it, it rises
        reach = 3  # steps to both sides, so that no single batch decides
        slopes = {
            place: self.smooth[min(place + reach, end - 1)] - self.smooth[max(place - reach, 0)] for place in range(end)
        }
        return self.rates[min(slopes, key=slopes.__getitem__)]

    def write(self, folder: Path) -> list[Path]:
        """Writes `find_lr.csv` and, with matplotlib, `find_lr.png`; returns what was written."""
        lines = [f"{rate:.6g},{loss:.6g},{low:.6g}" for rate, loss, low in zip(*self._columns, strict=True)]
        write_bytes(folder / _TABLE, ("\n".join(["learning_rate,loss,smoothed", *lines]) + "\n").encode())
        drawn = draw_rates(*self._columns, self.suggestion, folder / _PICTURE)
        return [folder / _TABLE, *([folder / _PICTURE] if drawn else [])]

    @property
    def _columns(self) -> tuple[list[float], list[float], list[float]]:
        return self.rates, self.losses, self.smooth


def search_rate(step: Callable[[int, float], float], steps: int = STEPS) -> RateSearch:
    """Trains with rising rates until the loss has clearly risen.

    Args:
        step: makes the step of a number at a rate; returns the loss before it.
        steps: most steps.
    """
    found = RateSearch([], [], [])
    average = 0.0
    for number in range(steps):
        rate = LOWEST * (HIGHEST / LOWEST) ** (number / max(steps - 1, 1))
        loss = step(number, rate)
        if not math.isfinite(loss):
            break
        average = _SMOOTHING * average + (1 - _SMOOTHING) * loss
        found.rates.append(rate)
        found.losses.append(loss)
        found.smooth.append(average / (1 - _SMOOTHING ** (number + 1)))
        if found.smooth[-1] > _DIVERGED * min(found.smooth):
            break
    return found
