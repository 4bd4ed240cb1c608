"""How long a run is: in passes through its data, in time, and how many steps would fit the data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fromage_lite.training.recipe import Recipe

FITTING_PASSES = 10
FITTING_WARMUPS = 3  # a run is at least so many times as long as its warm-up


@dataclass(frozen=True)
class RunLength:
    """The length of a run, in words for whoever has not chosen it.

    Attributes:
        recipe: its steps and its captions per step.
        captions: in the data.
        max_steps: where it stops, if before its last step.
    """

    recipe: Recipe
    captions: int
    max_steps: int | None = None

    @property
    def steps(self) -> int:
        """Steps that will be made."""
        return min(self.recipe.steps, self.max_steps or self.recipe.steps)

    @property
    def fitting(self) -> int | None:
        """Steps that fit the data better, if they are clearly fewer."""
        steps = math.ceil(FITTING_PASSES * self.captions / self.recipe.batch_size)
        steps = max(steps, FITTING_WARMUPS * self.recipe.warmup_steps, 1)
        return steps if 2 * steps < self.steps else None

    def in_passes(self) -> str:
        """How often the run goes through the data, and what would fit it."""
        said = f"{self.steps:,} steps of {self.recipe.batch_size:,} captions go through the {self.captions:,} captions"
        said = f"{said} {self._passes(self.steps)}."
        if self.fitting is not None:
            said += f" --steps {self.fitting} would fit them ({self._passes(self.fitting)})."
        return said

    def in_time(self, seconds: float) -> str:
        """How long the run will take if a step takes so many seconds, and what would fit the data."""
        said = f"A step takes {_figure(seconds)} s here: {self.steps:,} steps take {duration(self.steps * seconds)}"
        if self.fitting is not None:
            said += f", --steps {self.fitting} would take {duration(self.fitting * seconds)}"
        return f"{said}. Ctrl-C saves and stops."

    def _passes(self, steps: int) -> str:
        passes = steps * self.recipe.batch_size / max(self.captions, 1)
        return "about once" if 0.95 <= passes < 1.05 else f"{_figure(passes)} times"


def duration(seconds: float) -> str:
    """About how long, in the largest unit that makes it 2 or more."""
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"about {round(seconds / size):,} {unit}"
    return f"about {max(1, round(seconds))} s"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
