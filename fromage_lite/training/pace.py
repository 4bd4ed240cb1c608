"""How a run spends its time: what a step takes, how much of it is waiting for data; and batches that are made ahead."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Self

from tqdm import tqdm

from fromage_lite.training.data.batches import StepBatch

PACE_STEPS, PACE_SECONDS = 5, 10.0  # whichever is first, after the first step


class Pace:
    """Tells how long a step takes, once a few are done. The first one doesn't count: much happens only then.

    Args:
        tell: gets the seconds of a step; None is not told.
    """

    def __init__(self, tell: Callable[[float], None] | None) -> None:
        self._tell, self._counted, self._began = tell, -1, 0.0

    def step(self) -> None:
        """A step is done."""
        if self._tell is None:
            return
        self._counted += 1
        now = time.perf_counter()
        if self._counted == 0:
            self._began = now
        elif self._counted >= PACE_STEPS or now - self._began >= PACE_SECONDS:
            tell, self._tell = self._tell, None
            with tqdm.external_write_mode():  # not into the bar
                tell((now - self._began) / self._counted)


class Waiting:
    """The share of its time that a run waits for data."""

    def __init__(self) -> None:
        self._began, self._waited = time.perf_counter(), 0.0

    @contextmanager
    def here(self) -> Iterator[None]:
        """What is waited for in this block."""
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began

    def share(self) -> float:
        """From 0 to 1, since the last call."""
        now = time.perf_counter()
        share = self._waited / max(now - self._began, 1e-9)
        self._began, self._waited = now, 0.0
        return min(share, 1.0)


class Ahead:
    """Makes the batch of the next step while this one is computed. Which it is depends on the step alone, so nothing
    changes but the time.

    Args:
        make: gives the batch of a step.
    """

    def __init__(self, make: Callable[[int], StepBatch]) -> None:
        self._make = make
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: tuple[int, Future[StepBatch]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __call__(self, step: int) -> StepBatch:
        """The batch of a step; whatever making it raises is raised here."""
        number, future = self._next or (-1, None)
        if future is None or number != step:
            future = self._pool.submit(self._make, step)
        batch = future.result()
        self._next = (step + 1, self._pool.submit(self._make, step + 1))
        return batch
