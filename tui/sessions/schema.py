"""The database of conversations: its tables, version by version, and opening it without harming what is there."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from index.errors import reason
from tui.sessions.records import SessionError
from tui.sessions.words import create_words, error_name, is_damage

APPLICATION_ID = 0x46524F4D  # "FROM"
BUSY_SECONDS = 5.0  # how long one app waits for another one's write

MOST_FAULTS = 1000
# What the check says of single values, which are passed over when they are read, and of the search index.
_FAULT_OF_A_ROW = re.compile(r"(NULL|NUMERIC|TEXT|non-\w+) value in |.*\bFTS5 table\b")

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
    create_words(connection)
    connection.execute(
        "CREATE TRIGGER forget_words AFTER DELETE ON turns BEGIN DELETE FROM words WHERE rowid = old.id; END"
    )


def _version_3(connection: sqlite3.Connection) -> None:
    """The next best pictures under a reply, and the pictures that are hidden in a session."""
    connection.execute("ALTER TABLE turns ADD COLUMN more TEXT")  # a list of pictures for each search, JSON
    connection.execute("ALTER TABLE sessions ADD COLUMN hidden TEXT")  # pictures, JSON


def _version_4(connection: sqlite3.Connection) -> None:
    """What stands between the turns, and what a conversation was held with, so that it can be opened again."""
    connection.execute(
        """CREATE TABLE items (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            session INTEGER NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
            after INTEGER NOT NULL,                -- id of the turn before it, 0 if there is none
            kind TEXT NOT NULL,                    -- those that are not known are left alone
            data TEXT NOT NULL,                    -- JSON
            created REAL NOT NULL
        )"""
    )
    connection.execute("CREATE INDEX items_of_session ON items (session)")
    for column in ("model_path", "index_path"):
        connection.execute(f"ALTER TABLE sessions ADD COLUMN {column} TEXT NOT NULL DEFAULT ''")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_version_1, _version_2, _version_3, _version_4)
VERSION = len(MIGRATIONS)


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
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.text_factory = _text
        try:
            _check(connection, path, read_only)
            connection.execute("PRAGMA foreign_keys = ON")
            if not read_only:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                _migrate(connection)
                _mend_search(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")  # one bad byte must not make the other rows of a query unreadable


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
    for (result,) in connection.execute(f"PRAGMA quick_check({MOST_FAULTS})").fetchall():
        first = str(result).splitlines()[0]
        if first != "ok" and not _FAULT_OF_A_ROW.match(first):
            raise sqlite3.DatabaseError(first)


def _migrate(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        return
    with transaction(connection):
        version = connection.execute("PRAGMA user_version").fetchone()[0]  # another app may have been faster
        for migrate in MIGRATIONS[version:]:
            migrate(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")


def _mend_search(connection: sqlite3.Connection) -> None:
    """Makes a damaged search index anew from the turns: no turn could be written or deleted with it."""
    try:
        with transaction(connection):
            connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")  # 20 ms for 1,000 turns
    except sqlite3.DatabaseError as error:
        if error_name(error).startswith("SQLITE_BUSY"):
            return  # another app writes: the next start will look
        if not is_damage(error):
            raise
        with transaction(connection):
            create_words(connection)


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
    name = error_name(error)
    if name.startswith("SQLITE_READONLY"):
        return f"There is no permission to write to {path}."
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"Another program holds the saved conversations in {path}."
    if name.startswith("SQLITE_FULL"):
        return f"The disk is full: the conversation can't be saved in {path}."
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_IOERR")):
        return f"The saved conversations in {path} can't be read or written."
    return f"The saved conversations in {path} are damaged ({reason(error)})."
