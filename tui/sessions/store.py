"""Conversations in SQLite: what was said is written as it is said. Blocking: `Archive` has a thread for it."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from fromage_lite.chat.events import FinishReason, Statistics
from fromage_lite.chat.turns import ReplyPart
from index.pictures.images import one_line
from index.search.hits import Hit
from tui.sessions import records, rows
from tui.sessions.records import LONGEST_TITLE, HeldWith, SavedSearch, SavedTurn, Session, SessionError, SessionInfo
from tui.sessions.schema import connect, transaction, trouble
from tui.sessions.words import index_words

LISTED = """
    SELECT s.id, s.title, s.created, s.updated, s.model, s."index", s.model_path, s.index_path,
           (SELECT count(*) FROM turns WHERE session = s.id), t.message, t.reply
    FROM sessions s LEFT JOIN turns t ON t.id = (SELECT min(id) FROM turns WHERE session = s.id)
"""
# A time that is none comes last, not first, as a text would.
NEWEST_FIRST = f"""
    ORDER BY CASE WHEN typeof(s.updated) IN ('real', 'integer') AND s.updated BETWEEN 0 AND {records.LAST_TIME}
             THEN s.updated ELSE 0 END DESC, s.id DESC
"""
TURN_FIELDS = "message, reply, reason, created, statistics, more"


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

    def describe(self, session: int, held: HeldWith) -> None:
        """Notes what the conversation is held with."""
        with self._write() as db:
            db.execute(
                'UPDATE sessions SET model = ?, "index" = ?, model_path = ?, index_path = ? WHERE id = ?',
                (
                    one_line(held.model),
                    one_line(held.index),
                    _storable(held.model_path),
                    _storable(held.index_path),
                    session,
                ),
            )

    def hide(self, session: int, hidden: Sequence[Hit], shown: Sequence[Hit] = ()) -> None:
        """Notes pictures that are not to be seen in the conversation, besides those that are noted already.

        Args:
            session: its id.
            hidden: pictures to be noted.
            shown: pictures that may be seen again.
        """
        with self._write() as db:
            row = db.execute("SELECT hidden FROM sessions WHERE id = ?", (session,)).fetchone()
            if row is None:
                return
            # What another app has hidden in the same conversation stays.
            changed = {(hit.id, hit.source) for hit in (*hidden, *shown)}
            kept = [hit for hit in rows.hidden_of_text(row[0]) if (hit.id, hit.source) not in changed]
            db.execute("UPDATE sessions SET hidden = ? WHERE id = ?", (_dump_pictures([[*kept, *hidden]]), session))

    def add_search(self, session: int, search: SavedSearch) -> int:
        """Adds a search behind the last turn; its id."""
        with self._write() as db:
            (last,) = db.execute("SELECT max(id) FROM turns WHERE session = ?", (session,)).fetchone()
            id = self._insert_search(db, session, search, last or 0)
            self._touch(db, session)
            return id

    def _insert_search(self, db: sqlite3.Connection, session: int, search: SavedSearch, after: int) -> int:
        cursor = db.execute(
            "INSERT INTO items (session, after, kind, data, created) VALUES (?, ?, ?, ?, ?)",
            (session, after, rows.SEARCH, _dump(records.search_data(search)), search.created or self._clock()),
        )
        return _row_id(cursor)

    def add_turn(self, session: int, turn: SavedTurn) -> int:
        """Adds a turn at the end, finished or not; its id."""
        with self._write() as db:
            id = self._insert_turn(db, session, turn)
            self._touch(db, session)
            return id

    def _insert_turn(self, db: sqlite3.Connection, session: int, turn: SavedTurn) -> int:
        message, reply = _dump(records.message_data(turn.message)), _dump(records.reply_data(turn.reply))
        # The position is found inside the transaction: two apps may have the same conversation open. One that is
        # damaged, no number or beyond the largest, doesn't count.
        cursor = db.execute(
            """INSERT INTO turns (session, position, message, reply, reason, statistics, created, more)
               SELECT :session, coalesce(max(position), 0) + 1, :message, :reply, :reason, :statistics, :created, :more
               FROM turns WHERE session = :session AND typeof(position) = 'integer' AND abs(position / 2) < 1e15""",
            {
                "session": session,
                "message": message,
                "reply": reply,
                "reason": turn.reason,
                "statistics": _dump_statistics(turn.statistics),
                "created": turn.created or self._clock(),
                "more": _dump_pictures(turn.more),
            },
        )
        id = _row_id(cursor)
        index_words(db, id, message, reply)
        return id

    def update_turn(
        self,
        turn: int,
        reply: Sequence[ReplyPart],
        reason: FinishReason | None = None,
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
            found = self.connection.execute(f"{LISTED} {NEWEST_FIRST} LIMIT ?", (limit,)).fetchall()
        return [rows.info_of_row(row) for row in found]

    def load(self, session: int) -> tuple[Session, list[int]]:
        """A whole conversation, and the ids of its turns. A damaged turn stands in its place and says what is wrong.

        Raises:
            SessionError: there is none of that number.
        """
        with trouble(self.path):
            row = self.connection.execute(f"{LISTED} WHERE s.id = ?", (session,)).fetchone()
            turns = self.connection.execute(
                f"SELECT id, {TURN_FIELDS} FROM turns WHERE session = ? ORDER BY id", (session,)
            ).fetchall()
            items = self.connection.execute(
                "SELECT data, created, after FROM items WHERE session = ? AND kind = ? ORDER BY id",
                (session, rows.SEARCH),
            ).fetchall()
            hidden = self.connection.execute("SELECT hidden FROM sessions WHERE id = ?", (session,)).fetchone()
        if row is None:
            raise SessionError(f"There is no conversation {session}.", "/sessions lists those there are.")
        ids = [turn[0] for turn in turns]
        said = tuple(rows.turn_of_row(turn[1:]).turn for turn in turns)
        searches = [rows.search_of_row((data, created, _place(ids, after))) for data, created, after in items]
        known = tuple(sorted((s for s in searches if s is not None), key=lambda search: search.after))
        return Session(rows.info_of_row(row), said, rows.hidden_of_text(hidden[0]), known), ids

    def damaged_records(self) -> list[str]:
        """What can't be read, an entry for each record: which one, and its damaged fields in brackets. Such records
        are passed over, and kept as they are."""
        with trouble(self.path):
            sessions = self.connection.execute(
                'SELECT id, title, created, updated, model, "index", hidden FROM sessions ORDER BY id'
            ).fetchall()
            turns = self.connection.execute(f"SELECT session, id, {TURN_FIELDS} FROM turns ORDER BY id").fetchall()
            items = self.connection.execute(
                "SELECT session, id, data, created FROM items WHERE kind = ? ORDER BY id", (rows.SEARCH,)
            ).fetchall()
        found = [(f"conversation {row[0]}", rows.faults_of_info(row[1:])) for row in sessions]
        found += [(f"turn {row[1]} of conversation {row[0]}", rows.turn_of_row(row[2:]).faults) for row in turns]
        found += [
            (f"search {row[1]} of conversation {row[0]}", ("data",))
            for row in items
            if rows.search_of_row((row[2], row[3], 0)) is None
        ]
        return [f"{which} ({', '.join(faults)})" for which, faults in found if faults]

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
            turns = [self._insert_turn(db, id, turn) for turn in session.turns]
            for search in session.searches:
                self._insert_search(db, id, search, ([0, *turns])[min(search.after, len(turns))])
            db.execute("UPDATE sessions SET hidden = ? WHERE id = ?", (_dump_pictures([session.hidden]), id))
        return id


def _dump(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"))  # ASCII: a lone surrogate is no UTF-8


def _dump_statistics(statistics: Statistics | None) -> str | None:
    return None if statistics is None else _dump(dataclasses.asdict(statistics))


def _dump_pictures(series: Sequence[Sequence[Hit]]) -> str | None:
    return _dump(records.pictures_data(series)) if any(series) else None


def _row_id(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _clean_title(title: str | None) -> str | None:
    return one_line(title or "", LONGEST_TITLE) or None


def _storable(path: str) -> str:
    return path.encode("utf-8", "replace").decode()  # a name of no text can't be stored; nor is it opened again


def _place(turns: Sequence[int], after: object) -> int:
    """How many of these turns come before what stands behind the turn `after`; all of them if that is damaged."""
    return bisect_right(turns, after) if isinstance(after, int) else len(turns)
