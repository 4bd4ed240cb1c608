"""One builder at a time per folder: a lock of the operating system, which a process that died holds no longer."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from index.errors import InUseError
from index.pictures.images import sanitize
from index.store.manifest import storage_errors

LOCK = ".lock"
_OWNER_BYTES = 400


class BuilderLock:
    """The right to write to a store or index folder, which is made if missing. A context manager, or `release` it.

    The lock file stays in the folder: while the lock is held it says by which process and computer, one a line. Who
    only reads a folder takes no lock.

    Raises:
        InUseError: another builder has the folder, in this process or in another.
        StoreError: it can't be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        with storage_errors(folder, "write to"):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self._path)
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise in_use(folder) from None
            # Where the file system knows no locks, filelock may make the file itself the lock: then it is filelock's.
            if isinstance(self._lock, FileLock):
                self._say(f"{os.getpid()}\n{socket.gethostname()}\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let the next builder in; a second time does nothing."""
        if self._lock.is_locked:
            if isinstance(self._lock, FileLock):
                self._say("")
            self._lock.release()

    def _say(self, text: str) -> None:
        with suppress(OSError):  # Windows lets nobody write to a locked file, and a full disk must not stop a build
            self._path.write_text(text, encoding="utf-8")


def in_use(folder: Path) -> InUseError:
    """The error where another builder has the folder."""
    owner = _owner(folder)
    who = f"process {owner[0]} on {owner[1]}" if owner else "another process"
    return InUseError(f"Another build is writing to {folder}: {who}.", "Wait for it, or use another folder.")


def builder_at_work(folder: Path) -> int | None:
    """The process on this computer that builds in the folder, as far as can be seen without the lock; else None."""
    owner = _owner(folder)
    if os.name != "posix" or owner is None or owner[1] != socket.gethostname():
        return None
    try:
        os.kill(owner[0], 0)  # asks only; a process that died with the lock left its number behind
    except PermissionError:  # it is another user's
        pass
    except (OSError, OverflowError):
        return None
    return owner[0]


def _owner(folder: Path) -> tuple[int, str] | None:
    try:
        with (folder / LOCK).open("rb") as file:
            lines = file.read(_OWNER_BYTES).decode(errors="replace").splitlines()
        number, host = int(lines[0]), sanitize(lines[1]).strip()
    except (OSError, ValueError, IndexError):
        return None
    return (number, host) if number > 0 and host else None
