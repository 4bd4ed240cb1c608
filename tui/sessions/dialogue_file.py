"""The dialogue of `ask --dialogue FILE`: a conversation in one JSON file, of the form that the chat exports."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fromage_lite.chat.events import Statistics
from index.errors import reason
from index.files import write_bytes
from index.paths import cache_folder
from index.pictures.images import sanitize
from tui.sessions.export import session_data
from tui.sessions.importing import read_session
from tui.sessions.records import SavedTurn, Session, SessionError, SessionInfo, absolute, title_of
from tui.sessions.restore import known_ids, turns_for

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from fromage_lite.chat.protocol import ChatAgent, ChatDialogue

WAIT_SECONDS = 2.0  # for a command that is about to end

_Stamp = tuple[int, int, int] | None


class DialogueFile:
    """A file that has a conversation, or will have one. It is locked from `open` until the `with` block ends: a reply
    depends on the turns before it, so that two commands can't go on with one dialogue at once.

    Attributes:
        path: the file.
        session: what was said so far.
    """

    def __init__(self, path: Path, lock: _Lock) -> None:
        self.path, self._lock = path, lock
        self._stamp = _stamp(path)  # before it is read, so that no change in between is missed
        self.session = _read(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The conversation of a file; a new one if the file is not there, or empty.

        Raises:
            SessionError: it is in use, can't be read, holds something else, is damaged, or could not be written back.
        """
        path = path.expanduser()
        lock = _Lock(path)
        try:
            return cls(path, lock)
        except BaseException:
            lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def resume(self, agent: ChatAgent, dialogue: ChatDialogue) -> None:
        """Gives a dialogue of this agent the turns of the file; the model reads them at the next reply."""
        dialogue.turns = turns_for(agent, [turn.as_turn for turn in self.session.turns])
        dialogue.exclude(known_ids(agent, self.session.hidden))
        index = agent.index_path.name if agent.index_path is not None else ""
        self.session = replace(self.session, info=replace(self.session.info, model=agent.model_name, index=index))

    def add(self, dialogue: ChatDialogue, statistics: Statistics | None = None) -> None:
        """Writes the file with the last turn of the dialogue; whole or not at all.

        Raises:
            SessionError: it can't be written, or another program has changed it meanwhile.
        """
        turn, now = dialogue.turns[-1], time.time()
        saved = SavedTurn(absolute(turn.message), turn.reply, turn.reason, now, statistics)
        info = replace(
            self.session.info,
            title=self.session.info.title or title_of(turn.message),
            updated=now,
            turns=len(self.session.turns) + 1,
        )
        self.session = replace(self.session, info=info, turns=(*self.session.turns, saved))
        data = json.dumps(session_data(self.session), indent=2) + "\n"
        path, name = self.path.resolve(), sanitize(str(self.path))  # a link stays one
        if _stamp(self.path) != self._stamp:  # not every program knows of the lock
            raise SessionError(
                f"Another program has changed {name} since it was read, so the reply was not added to it.",
                "Ask again to go on with what the file has now.",
            )
        try:
            # What was said is nobody else's business, unless the user has made it so.
            mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
            write_bytes(path, data.encode(), mode=mode)
        except OSError as error:
            raise SessionError(f"{name} can't be written: {reason(error)}.", "Name another file.") from error
        self._stamp = _stamp(self.path)


def _read(path: Path) -> Session:
    name = sanitize(str(path))
    try:
        if path.exists() and (not path.is_file() or path.stat().st_size):
            session = read_session(path)
            if session.problems:  # written back, it would lack what can't be read
                raise SessionError(
                    f"{name} is damaged: {session.problems[0]}.",
                    "It was left as it is. /import in the chat opens the rest of it.",
                )
            return session.finished()  # a reply that never ended is nothing to go on from
        if not path.absolute().parent.is_dir():
            raise SessionError(f"There is no folder {sanitize(str(path.absolute().parent))}.", "Make it first.")
    except (OSError, ValueError) as error:
        raise SessionError(f"{name} can't be read: {reason(error)}.", "Name another file: --dialogue FILE.") from error
    return Session(SessionInfo(0, "", time.time(), time.time()))


def _stamp(path: Path) -> _Stamp:
    """What changes whenever the file is written; None where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


class _Lock:
    """Keeps a dialogue file for this process.

    The lock lies in the user's cache folder, so that none stays beside the dialogue, and a file beside it says who
    holds it. A killed process holds none. Where nothing can be written there, only the file's stamp guards it.

    Raises:
        SessionError: another process has the file.
    """

    def __init__(self, path: Path) -> None:
        from filelock import FileLock, Timeout

        name = hashlib.sha256(os.fsencode(_real(path))).hexdigest()[:32]
        folder = cache_folder() / "locks"
        self._owner = folder / f"{name}.owner"
        self._lock: BaseFileLock | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / f"{name}.lock")
            lock.acquire(timeout=WAIT_SECONDS)
        except Timeout as error:
            raise SessionError(
                f"The dialogue in {sanitize(str(path))} is in use by {self._holder()}.",
                "Wait until it has ended, or name another file: --dialogue FILE.",
            ) from error
        except OSError:
            return
        self._lock = lock
        with contextlib.suppress(OSError):
            write_bytes(self._owner, str(os.getpid()).encode(), mode=0o600)

    def _holder(self) -> str:
        try:
            return f"process {int(self._owner.read_bytes())}"
        except (OSError, ValueError):
            return "another process"

    def release(self) -> None:
        """Lets go of the file."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._owner.unlink(missing_ok=True)
            self._lock.release()
            self._lock = None


def _real(path: Path) -> str:
    """The file's one name, whatever links lead to it."""
    try:
        return str(path.resolve())
    except (OSError, ValueError, RuntimeError):  # reading it says what is wrong
        return str(path.absolute())
