"""The thread that everything which touches the model runs on. Knows neither widgets nor the model."""

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
    """The screen is gone; whatever the thread is doing has no listener any more."""


class AgentThread:
    """One thread for everything that touches the model: calls can't overlap, and libraries that keep state for each
    thread (OpenMP's thread pools) see only one. It is a daemon, so quitting needn't wait for a load to end."""

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
        """The function's result, computed on the thread; what it raises is raised here."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def settle(act: Callable[[], None]) -> None:
            if not future.cancelled():
                act()

        def job() -> None:
            try:
                act = partial(future.set_result, function())
            except BaseException as raised:  # noqa: BLE001  it travels to the caller
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
        """What the function, running on the thread, hands to its argument; then what it raises, if it does."""
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
