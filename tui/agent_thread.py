"""The one thread that runs everything that touches the model. No widget and no model here."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

Result = TypeVar("Result")
Item = TypeVar("Item")


class Abandoned(Exception):
    """The app has quit; nobody waits for the thread's work any more."""


class AgentThread:
    """One thread for everything that touches the model: calls can't overlap, and libraries with per-thread state
    (OpenMP's thread pools) see only one thread. It is a daemon, so quitting doesn't wait for a load to finish.

    Attributes:
        working: whether a call is running.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.working = False

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self.working = True
            try:
                job()
            finally:
                self.working = False

    async def run(self, function: Callable[[], Result]) -> Result:
        """Calls a function on the thread; returns or raises what it does."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def settle(act: Callable[[], None]) -> None:
            if not future.cancelled():
                act()

        def job() -> None:
            try:
                act = partial(future.set_result, function())
            except BaseException as raised:  # noqa: BLE001  it is raised in the caller
                # A StopIteration can't be set on a future.
                error = RuntimeError(str(raised)) if isinstance(raised, StopIteration) else raised
                act = partial(future.set_exception, error)
            with suppress(RuntimeError):  # the loop is closed: the app has quit
                loop.call_soon_threadsafe(settle, act)

        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="agent", daemon=True)
            self._thread.start()
        self._jobs.put(job)
        return await future

    async def stream(self, function: Callable[[Callable[[Item], None]], None]) -> AsyncGenerator[Item, None]:
        """Calls a function on the thread, and yields each item that it passes to its argument; raises what it does."""
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[Item | None] = asyncio.Queue()

        def emit(item: Item) -> None:
            try:
                loop.call_soon_threadsafe(items.put_nowait, item)
            except RuntimeError as error:
                raise Abandoned from error

        task = asyncio.ensure_future(self.run(lambda: function(emit)))
        task.add_done_callback(lambda _: items.put_nowait(None))
        while (item := await items.get()) is not None:
            yield item
        await task

    def stop(self) -> None:
        """Ends the thread after its current job."""
        self._jobs.put(None)
