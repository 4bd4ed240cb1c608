"""When Python looks for garbage: not in the middle of a frame, but while nobody types and the model is silent.

A full collection walks over every object; with the model's libraries and a long transcript that is a tenth of a second,
during which no key is answered.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

IDLE_SECONDS = 3.0
LOOK_EVERY = 2.0  # seconds
ENOUGH = 20  # collections of the middle generation that make a full one worth its time
NEVER = 1_000_000


@contextmanager
def collected_when_idle() -> Iterator[None]:
    """Meanwhile young objects are looked at as they come, as ever; old ones only by `IdleCollector`."""
    before = gc.get_threshold()
    gc.set_threshold(*before[:2], NEVER)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def keep_for_good() -> None:
    """What there is now, the model's libraries above all, is never walked over again."""
    gc.freeze()


def keep_no_longer() -> None:
    """What was kept may be garbage from now on."""
    gc.unfreeze()


class IdleCollector:
    """Collects once nothing has happened for a while."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def note(self) -> None:
        """Something happens: a key, a reply."""
        self._last = time.monotonic()

    def look(self) -> None:
        """Collects if it is quiet and there may be something to collect."""
        if time.monotonic() - self._last > IDLE_SECONDS and gc.get_count()[2] > ENOUGH:
            gc.collect()
