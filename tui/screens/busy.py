"""One thing at a time: what the agent is doing, and the answer to whoever wants something else meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOADING, REPLYING = "loading", "replying"


class Occupied(Exception):
    """Something else is going on; the message says what the user can do."""


class Workload:
    """What is going on, in the order in which it began.

    Args:
        changed: called with the newest of what is going on, or with an empty text.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._going_on: list[str] = []
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def working(self, what: str, *, beside: str = "") -> Iterator[None]:
        """Claims the agent until the block is left, however it is left.

        Args:
            what: what is done, as the status line shows it.
            beside: what may go on at the same time.

        Raises:
            Occupied: something else is going on.
        """
        self.check_free(beside=beside)
        self._going_on.append(what)
        self._tell()
        try:
            yield
        finally:
            self._going_on.remove(what)
            self._tell()

    async def idle(self) -> None:
        """Waits until nothing is going on."""
        await self._idle.wait()

    def check_free(self, *, beside: str = "") -> None:
        """Raises `Occupied` if anything but `beside` is going on."""
        others = [what for what in self._going_on if what != beside]
        if REPLYING in others:
            raise Occupied("Esc stops the reply first")
        if others:
            raise Occupied("One moment, please")

    def _tell(self) -> None:
        if self._going_on:
            self._idle.clear()
        else:
            self._idle.set()
        self._changed(self._going_on[-1] if self._going_on else "")
