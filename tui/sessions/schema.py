"""The database of conversations: its tables, version by version, and opening it without harming what is there."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from index.errors import reason
from index.images import sanitize
from tui.sessions.records import SessionError, reply_words, turn_of_data, words_of

APPLICATION_ID = 0x46524F4D  # "FROM"
BUSY_SECONDS = 5.0  # how long one app waits for another one's write

GO_ON = "The chat goes on without saving; nothing in it was changed."


def _version_1(connection: sqlite3.Connection) -> None:
    """Sessions and their turns."""
    connection.execute(
        """CREATE TABLE sessions (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            title TEXT,                            -- as the user called it; NULL: its first words
            created REAL NOT NULL,
            updated REAL NOT NULL,
            model TEXT NOT NULL DEFAULT '',
            "index" TEXT NOT NULL DEFAULT ''
        )"""
    )
    connection.execute(
        """CREATE TABLE turns (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            session INTEGER NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            message TEXT NOT NULL,                 -- segments, JSON
            reply TEXT NOT NULL DEFAULT '[]',      -- parts, JSON
            reason TEXT,                           -- NULL until the reply has ended
            statistics TEXT,                       -- JSON
            created REAL NOT NULL,
            UNIQUE (session, position)
        )"""
    )


def _version_2(connection: sqlite3.Connection) -> None:
    """Full-text search over messages and replies. A row has its turn's id, and goes with it."""
    connection.execute(
        """CREATE VIRTUAL TABLE words USING fts5(message, reply, tokenize = "unicode61 remove_diacritics 2")"""
    )
    connection.execute(
        "CREATE TRIGGER forget_words AFTER DELETE ON turns BEGIN DELETE FROM words WHERE rowid = old.id; END"
    )
    for turn, message, reply in connection.execute("SELECT id, message, reply FROM turns").fetchall():
        index_words(connection, turn, message, reply)


def _version_3(connection: sqlite3.Connection) -> None:
    """The next best pictures under a reply, and the pictures that are hidden in a session."""
    connection.execute("ALTER TABLE turns ADD COLUMN more TEXT")  # a list of pictures for each search, JSON
    connection.execute("ALTER TABLE sessions ADD COLUMN hidden TEXT")  # pictures, JSON


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_version_1, _version_2, _version_3)
VERSION = len(MIGRATIONS)


def index_words(connection: sqlite3.Connection, turn: int, message: str, reply: str) -> None:
    """Makes a turn's words findable.

    Args:
        turn: its id.
        message, reply: as in its row, JSON.
    """
    plain = turn_of_data(json.loads(message), json.loads(reply), None)
    connection.execute("DELETE FROM words WHERE rowid = ?", (turn,))
    connection.execute(
        "INSERT INTO words (rowid, message, reply) VALUES (?, ?, ?)",
        (turn, sanitize(words_of(plain.message)), sanitize(reply_words(plain.reply))),
    )


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Opens the database, makes it where there is none, brings an older one up to date.

    A damaged one, one of a newer version and one of another program are left as they are.

    Raises:
        SessionError: it can't be used; says why.
    """
    with trouble(path):
        if not read_only:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Dialogues are private. Made here since SQLite would let everybody read it; -wal and -shm follow its mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={'ro' if read_only else 'rw'}",
            uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False,
        )  # fmt: skip
        try:
            _check(connection, path, read_only)
            connection.execute("PRAGMA foreign_keys = ON")
            if not read_only:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                _migrate(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _check(connection: sqlite3.Connection, path: Path, read_only: bool) -> None:
    """Reads only: what is not ours, or not whole, must not even get a write-ahead log."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version > VERSION and owner == APPLICATION_ID:
        raise SessionError(
            f"The saved conversations in {path} are of a newer version of this program ({version}; this one knows "
            f"{VERSION}).",
            "Update it to see them. " + GO_ON,
        )
    if tables and owner != APPLICATION_ID:
        raise SessionError(f"{path} belongs to another program.", GO_ON)
    if read_only and version < VERSION:
        raise SessionError("The saved conversations are of an older version.", "Start once without --no-save.")
    result = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if result != "ok":
        raise sqlite3.DatabaseError(str(result).splitlines()[0])


def _migrate(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        return
    with transaction(connection):
        version = connection.execute("PRAGMA user_version").fetchone()[0]  # another app may have been faster
        for migrate in MIGRATIONS[version:]:
            migrate(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing. Waits for another app's write first, not in the middle."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # SQLite itself has rolled back where the disk is full
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@contextmanager
def trouble(path: Path) -> Iterator[None]:
    """Turns what SQLite and the system say into one sentence.

    Raises:
        SessionError: saying what is wrong and that the chat goes on.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise SessionError(_sentence(path, error), GO_ON) from error
    except OSError as error:
        raise SessionError(f"Conversations can't be saved in {path}: {reason(error)}.", GO_ON) from error


def _sentence(path: Path, error: sqlite3.DatabaseError) -> str:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_READONLY"):
        return f"There is no permission to write to {path}."
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"Another program holds the saved conversations in {path}."
    if name.startswith("SQLITE_FULL"):
        return f"The disk is full: the conversation can't be saved in {path}."
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_IOERR")):
        return f"The saved conversations in {path} can't be read or written."
    return f"The saved conversations in {path} are damaged ({reason(error)})."
