"""Conversations in SQLite: what was said is written as it is said. Blocking: `Archive` has a thread for it."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from fromage_lite.chat.events import Statistics
from fromage_lite.chat.turns import ReplyPart
from fromage_lite.errors import DataError
from index.hits import Hit
from index.images import one_line
from tui.sessions import records
from tui.sessions.records import LONGEST_TITLE, SavedTurn, Session, SessionError, SessionInfo
from tui.sessions.schema import connect, index_words, transaction, trouble

PREVIEW_LIMIT = 200
LISTED = """
    SELECT s.id, s.title, s.created, s.updated, s.model, s."index",
           (SELECT count(*) FROM turns WHERE session = s.id),
           t.message, t.reply
    FROM sessions s LEFT JOIN turns t
        ON t.session = s.id AND t.position = (SELECT min(position) FROM turns WHERE session = s.id)
"""


class SessionStore:
    """The database of conversations. Every method is one transaction, so that a kill leaves none half done.

    Raises (every method): SessionError, where the database can't be read or written.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.connection, self.path = connection, path
        self._clock = clock

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False, clock: Callable[[], float] = time.time) -> Self:
        """The store in this file; made if need be (unless it is only read)."""
        return cls(connect(path, read_only=read_only), path, clock)

    def close(self) -> None:
        """Closes the file; the write-ahead log goes into it."""
        with trouble(self.path):
            self.connection.close()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with trouble(self.path), transaction(self.connection):
            yield self.connection

    # Writing a dialogue as it goes ------------------------------------------------------------------------------

    def create(self, model: str = "", index: str = "", title: str | None = None) -> int:
        """A new conversation's id."""
        with self._write() as db:
            return self._insert_session(db, model, index, title, self._clock())

    def _insert_session(self, db: sqlite3.Connection, model: str, index: str, title: str | None, created: float) -> int:
        cursor = db.execute(
            'INSERT INTO sessions (title, created, updated, model, "index") VALUES (?, ?, ?, ?, ?)',
            (_clean_title(title), created, self._clock(), one_line(model), one_line(index)),
        )
        return _row_id(cursor)

    def exists(self, session: int) -> bool:
        """Whether there is such a conversation (another app may have deleted it)."""
        with trouble(self.path):
            return self.connection.execute("SELECT 1 FROM sessions WHERE id = ?", (session,)).fetchone() is not None

    def describe(self, session: int, model: str, index: str) -> None:
        """Notes what the conversation is held with."""
        with self._write() as db:
            db.execute(
                'UPDATE sessions SET model = ?, "index" = ? WHERE id = ?', (one_line(model), one_line(index), session)
            )

    def hide(self, session: int, hidden: Sequence[Hit]) -> None:
        """Notes the pictures that are not to be seen in the conversation."""
        with self._write() as db:
            db.execute("UPDATE sessions SET hidden = ? WHERE id = ?", (_dump_pictures([hidden]), session))

    def add_turn(self, session: int, turn: SavedTurn) -> int:
        """Adds a turn at the end, finished or not; its id."""
        with self._write() as db:
            id = self._insert_turn(db, session, turn)
            self._touch(db, session)
            return id

    def _insert_turn(self, db: sqlite3.Connection, session: int, turn: SavedTurn) -> int:
        message, reply = _dump(records.message_data(turn.message)), _dump(records.reply_data(turn.reply))
        # The position is found inside the transaction: two apps may have the same conversation open.
        cursor = db.execute(
            """INSERT INTO turns (session, position, message, reply, reason, statistics, created, more)
               SELECT :session, coalesce(max(position), 0) + 1, :message, :reply, :reason, :statistics, :created, :more
               FROM turns WHERE session = :session""",
            {
                "session": session, "message": message, "reply": reply, "reason": turn.reason,
                "statistics": _dump_statistics(turn.statistics), "created": turn.created or self._clock(),
                "more": _dump_pictures(turn.more),
            },
        )  # fmt: skip
        id = _row_id(cursor)
        index_words(db, id, message, reply)
        return id

    def update_turn(
        self,
        turn: int,
        reply: Sequence[ReplyPart],
        reason: str | None = None,
        statistics: Statistics | None = None,
        more: Sequence[Sequence[Hit]] = (),
    ) -> bool:
        """Writes a reply, or as much of it as there is; False where there is no such turn any more."""
        text = _dump(records.reply_data(reply))
        with self._write() as db:
            row = db.execute("SELECT message, session FROM turns WHERE id = ?", (turn,)).fetchone()
            if row is None:
                return False
            db.execute(
                "UPDATE turns SET reply = ?, reason = ?, statistics = ?, more = ? WHERE id = ?",
                (text, reason, _dump_statistics(statistics), _dump_pictures(more), turn),
            )
            index_words(db, turn, row[0], text)
            self._touch(db, row[1])
            return True

    def remove_turn(self, turn: int) -> None:
        """Takes a turn back; an unnamed conversation without turns goes with its last one."""
        with self._write() as db:
            row = db.execute("DELETE FROM turns WHERE id = ? RETURNING session", (turn,)).fetchone()
            if row is not None:
                self._touch(db, row[0])
                db.execute(
                    "DELETE FROM sessions WHERE id = ? AND title IS NULL "
                    "AND NOT EXISTS (SELECT 1 FROM turns WHERE session = sessions.id)",
                    row,
                )

    def _touch(self, db: sqlite3.Connection, session: int) -> None:
        db.execute("UPDATE sessions SET updated = ? WHERE id = ?", (self._clock(), session))

    # The conversations ------------------------------------------------------------------------------------------

    def sessions(self, limit: int = 1000) -> list[SessionInfo]:
        """The newest conversations first."""
        with trouble(self.path):
            rows = self.connection.execute(f"{LISTED} ORDER BY s.updated DESC, s.id DESC LIMIT ?", (limit,)).fetchall()
        return [_info(row) for row in rows]

    def info(self, session: int) -> SessionInfo | None:
        """One conversation's line."""
        with trouble(self.path):
            row = self.connection.execute(f"{LISTED} WHERE s.id = ?", (session,)).fetchone()
        return _info(row) if row is not None else None

    def load(self, session: int) -> tuple[Session, list[int]]:
        """A whole conversation, and the ids of its turns.

        Raises:
            SessionError: there is none of that number, or its data is damaged.
        """
        with trouble(self.path):
            row = self.connection.execute(f"{LISTED} WHERE s.id = ?", (session,)).fetchone()
            turns = self.connection.execute(
                "SELECT id, message, reply, reason, created, statistics, more FROM turns WHERE session = ? "
                "ORDER BY position",
                (session,),
            ).fetchall()
            hidden = self.connection.execute("SELECT hidden FROM sessions WHERE id = ?", (session,)).fetchone()
        if row is None:
            raise SessionError(f"There is no conversation {session}.", "/sessions lists those there are.")
        try:
            said = tuple(_turn(turn) for turn in turns)
            unwanted = tuple(hit for hits in _pictures(hidden[0]) for hit in hits)
            return Session(_info(row), said, unwanted), [turn[0] for turn in turns]
        except (DataError, ValueError, TypeError, RecursionError) as error:
            raise SessionError(f"The conversation {session} is damaged and can't be opened.") from error

    def latest(self) -> int | None:
        """The id of the conversation that was last gone on with."""
        sessions = self.sessions(1)
        return sessions[0].id if sessions else None

    def rename(self, session: int, title: str) -> None:
        """Gives a title; an empty one brings the first words back."""
        with self._write() as db:
            db.execute("UPDATE sessions SET title = ? WHERE id = ?", (_clean_title(title), session))

    def delete(self, session: int) -> None:
        """Deletes a conversation with everything in it."""
        with self._write() as db:
            db.execute("DELETE FROM sessions WHERE id = ?", (session,))

    def add(self, session: Session) -> int:
        """Adds a whole conversation (an import); its id. It is the newest one then."""
        info = session.info
        with self._write() as db:
            id = self._insert_session(db, info.model, info.index, info.title, info.created or self._clock())
            for turn in session.turns:
                self._insert_turn(db, id, turn)
            db.execute("UPDATE sessions SET hidden = ? WHERE id = ?", (_dump_pictures([session.hidden]), id))
        return id


def _dump(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"))  # ASCII: a lone surrogate is no UTF-8


def _dump_statistics(statistics: Statistics | None) -> str | None:
    return None if statistics is None else _dump(dataclasses.asdict(statistics))


def _dump_pictures(series: Sequence[Sequence[Hit]]) -> str | None:
    return _dump(records.pictures_data(series)) if any(series) else None


def _pictures(text: str | None) -> tuple[tuple[Hit, ...], ...]:
    return records.pictures_of_data(json.loads(text)) if text else ()


def _row_id(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _clean_title(title: str | None) -> str | None:
    return one_line(title or "", LONGEST_TITLE) or None


def _turn(row: Sequence[Any]) -> SavedTurn:
    _, message, reply, reason, created, statistics, more = row
    turn = records.turn_of_data(json.loads(message), json.loads(reply), reason)
    known = records.statistics_of(json.loads(statistics)) if statistics else None
    return SavedTurn(turn.message, turn.reply, reason, created, known, _pictures(more))


def _info(row: Sequence[Any]) -> SessionInfo:
    id, named, created, updated, model, index, count, message, reply = row
    title, preview = named or "Untitled", ""
    if message is not None:
        try:
            turn = records.turn_of_data(json.loads(message), json.loads(reply), None)
        except (DataError, ValueError, TypeError, RecursionError):
            preview = "damaged"
        else:
            title = named or records.title_of(turn.message)
            # Where the title is the first words already, the first words of the reply say more.
            preview = "" if named else records.reply_words(turn.reply)
            preview = preview or records.words_of(turn.message)
    return SessionInfo(id, one_line(title), created, updated, model, index, count, one_line(preview, PREVIEW_LIMIT))
