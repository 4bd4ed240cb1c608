"""The search index of the database: the words of every turn, in a row of the turn's id."""

from __future__ import annotations

import sqlite3

from tui.sessions.rows import words_of_row


def create_words(connection: sqlite3.Connection) -> None:
    """Makes the index of all turns there are, in place of a damaged one."""
    connection.execute("DROP TABLE IF EXISTS words")
    connection.execute(
        """CREATE VIRTUAL TABLE words USING fts5(message, reply, tokenize = "unicode61 remove_diacritics 2")"""
    )
    for turn, message, reply in connection.execute("SELECT id, message, reply FROM turns").fetchall():
        index_words(connection, turn, message, reply)


def index_words(connection: sqlite3.Connection, turn: int, message: object, reply: object) -> None:
    """Makes a turn's words findable.

    Args:
        turn: its id.
        message, reply: as in its row, JSON; a damaged one has no words.
    """
    connection.execute("DELETE FROM words WHERE rowid = ?", (turn,))
    connection.execute(
        "INSERT INTO words (rowid, message, reply) VALUES (?, ?, ?)", (turn, *words_of_row(message, reply))
    )


def error_name(error: sqlite3.DatabaseError) -> str:
    """SQLite's name of what went wrong, like "SQLITE_BUSY"; empty where the error is Python's."""
    return getattr(error, "sqlite_errorname", None) or ""


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether SQLite complains of the search index alone, and not of the file, the disk or another app's lock."""
    return error_name(error) == "SQLITE_CORRUPT_VTAB" or "no such table: words" in str(error)
