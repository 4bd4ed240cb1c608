"""The store of conversations on a thread of its own, so that no disk is ever waited for on the screen's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from fromage_lite.errors import FromageError
from index.errors import described
from tui.sessions.records import SessionError
from tui.sessions.schema import GO_ON
from tui.sessions.store import SessionStore

Result = TypeVar("Result")


class Archive:
    """Does what is asked of the store, in order.

    A write that fails ends saving for good, with one message: the chat goes on without it.

    Args:
        path: the database file.
        save: False never writes; what is there can be read.
        listener: gets the reason why saving ended, on the archive's thread.
    """

    def __init__(
        self, path: Path, *, save: bool = True, listener: Callable[[SessionError], None] | None = None
    ) -> None:
        self.path, self.saves, self.listener = path, save, listener
        self.problem: SessionError | None = None
        self._store: SessionStore | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sessions")

    def start(self) -> None:
        """Opens the database now, so that trouble shows before anything is lost."""
        self.write(lambda store: None)

    def write(self, job: Callable[[SessionStore], object]) -> None:
        """Queues a change; returns at once."""
        if self.saves and self.problem is None:
            with suppress(RuntimeError):  # closed: the app is leaving
                self._thread.submit(self._write, job)

    def _write(self, job: Callable[[SessionStore], object]) -> None:
        if self.problem is None:
            try:
                job(self._opened())
            except SessionError as error:
                self._give_up(error)
            except Exception as error:  # nothing that goes wrong here may end the chat
                self._give_up(SessionError(f"The conversation can't be saved: {described(error)}.", GO_ON))

    def _give_up(self, error: SessionError) -> None:
        self.problem = error
        if self.listener is not None:
            self.listener(error)

    async def ask(self, job: Callable[[SessionStore], Result]) -> Result:
        """What the job finds in the store, or changes there at the user's wish.

        Raises:
            SessionError: the store can't be read or written.
        """

        def work() -> Result:
            if self.problem is not None:
                raise self.problem
            return job(self._opened())

        try:
            return await asyncio.wrap_future(self._thread.submit(work))
        except FromageError:
            raise
        except Exception as error:
            raise SessionError(f"The saved conversations can't be read: {described(error)}.") from error

    def _opened(self) -> SessionStore:
        if self._store is None:
            if not self.saves and not self.path.exists():
                raise SessionError("There are no saved conversations.")
            self._store = SessionStore.open(self.path, read_only=not self.saves)
        return self._store

    def close(self) -> None:
        """Waits for what is queued, then closes the file."""
        with suppress(RuntimeError):
            self._thread.submit(self._close)
        self._thread.shutdown(wait=True)

    def _close(self) -> None:
        if self._store is not None:
            with suppress(SessionError):
                self._store.close()
            self._store = None
