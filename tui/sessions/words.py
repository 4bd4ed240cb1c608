"""The search index of the database: the words of every turn, in a row of the turn's id.

The turns are what counts. Where the index is damaged it is made anew from them, so that it never stands in the way of a
conversation.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from tui.sessions.rows import words_of_row


def create_words(connection: sqlite3.Connection) -> None:
    """Makes the index of all turns there are."""
    connection.execute(
        """CREATE VIRTUAL TABLE words USING fts5(message, reply, tokenize = "unicode61 remove_diacritics 2")"""
    )
    for turn, message, reply in connection.execute("SELECT id, message, reply FROM turns").fetchall():
        _insert(connection, turn, message, reply)


def index_words(connection: sqlite3.Connection, turn: int, message: object, reply: object) -> None:
    """Makes a turn's words findable, inside the transaction that writes its row.

    Args:
        turn: its id.
        message, reply: as in its row, JSON; a damaged one has no words.
    """

    def work() -> None:
        connection.execute("DELETE FROM words WHERE rowid = ?", (turn,))
        _insert(connection, turn, message, reply)

    _mending(connection, work)


def forget_words(connection: sqlite3.Connection, turns: Sequence[int]) -> None:
    """Takes turns out of the index, inside the transaction that has deleted their rows."""
    _mending(connection, lambda: connection.executemany("DELETE FROM words WHERE rowid = ?", [(id,) for id in turns]))


def _insert(connection: sqlite3.Connection, turn: int, message: object, reply: object) -> None:
    connection.execute(
        "INSERT INTO words (rowid, message, reply) VALUES (?, ?, ?)", (turn, *words_of_row(message, reply))
    )


def _mending(connection: sqlite3.Connection, work: Callable[[], object]) -> None:
    try:
        work()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        connection.execute("DROP TABLE IF EXISTS words")
        create_words(connection)


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether SQLite complains of the search index itself, and not of the file, the disk or another app's lock."""
    name: str = getattr(error, "sqlite_errorname", None) or ""  # only errors of SQLite's own have one
    return name == "SQLITE_CORRUPT_VTAB" or "no such table: words" in str(error)
