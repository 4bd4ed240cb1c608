"""Full-text search over every conversation."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

from index.pictures.images import one_line
from tui.sessions.records import SessionInfo
from tui.sessions.rows import words_of_row
from tui.sessions.schema import trouble
from tui.sessions.store import SessionStore
from tui.sessions.words import is_damage

MARK_ON, MARK_OFF = "\x02", "\x03"  # no stored text has them
MATCHES = 500  # turns looked at
SNIPPET_TOKENS = 16
AROUND = 30  # characters before a match that no snippet function has found

_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Match:
    """A conversation in which something was found.

    Attributes:
        info: its line in the list.
        snippet: where it was found, the words between MARK_ON and MARK_OFF; empty if in the title.
        count: in how many turns.
    """

    info: SessionInfo
    snippet: str
    count: int


def match_expression(query: str) -> str:
    """The query for FTS5: every word quoted, so that nothing in it is an operator, and good for a beginning.

    `cat's bea` finds "the cat's beach": words that hold only punctuation are left out, as the index has none.
    """
    words = [word.replace("\x00", "").replace('"', '""') for word in _WORD.findall(query)]
    return " ".join(f'"{word}"*' for word in words if any(c.isalnum() for c in word))


def search(store: SessionStore, query: str) -> list[Match]:
    """Conversations with all words of the query in one turn or in their title, the newest first.

    Where no word begins so, any place of a text will do: Chinese and Japanese have no blanks between words.

    Raises:
        SessionError: the database can't be read.
    """
    query = one_line(query, 500)
    if not query:
        return [Match(info, "", 0) for info in store.sessions()]
    with trouble(store.path):
        try:
            found = _by_words(store, query) or _anywhere(store, query)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            found = _without_index(store, query)
    infos = {info.id: info for info in store.sessions()}
    words = query.casefold().split()
    for id, info in infos.items():
        if id not in found and all(word in info.title.casefold() for word in words):
            found[id] = ("", 0)
    return [Match(info, *found[id]) for id, info in infos.items() if id in found]


def _by_words(store: SessionStore, query: str) -> dict[int, tuple[str, int]]:
    expression = match_expression(query)
    if not expression:
        return {}
    return _grouped(
        store.connection.execute(
            """SELECT turns.session, snippet(words, -1, ?, ?, '…', ?) FROM words JOIN turns ON turns.id = words.rowid
               WHERE words MATCH ? ORDER BY rank LIMIT ?""",
            (MARK_ON, MARK_OFF, SNIPPET_TOKENS, expression, MATCHES),
        ).fetchall()
    )


def _anywhere(store: SessionStore, query: str) -> dict[int, tuple[str, int]]:
    pattern = "%" + re.sub(r"([%_\\])", r"\\\1", query) + "%"
    rows = store.connection.execute(
        r"""SELECT turns.session, words.message, words.reply FROM words JOIN turns ON turns.id = words.rowid
            WHERE words.message LIKE ? ESCAPE '\' OR words.reply LIKE ? ESCAPE '\'
            ORDER BY turns.id DESC LIMIT ?""",
        (pattern, pattern, MATCHES),
    ).fetchall()
    return _grouped([(session, _excerpt(query, message or "", reply or "")) for session, message, reply in rows])


def _without_index(store: SessionStore, query: str) -> dict[int, tuple[str, int]]:
    """Reads the turns themselves: slower, and needs nothing but them."""
    found: list[tuple[int, str | None]] = []
    for session, *data in store.connection.execute("SELECT session, message, reply FROM turns ORDER BY id DESC"):
        texts = words_of_row(*data)
        if any(query.casefold() in text.casefold() for text in texts):
            found.append((session, _excerpt(query, *texts)))
    return _grouped(found[:MATCHES])


def _excerpt(query: str, *texts: str) -> str:
    for text in texts:
        if match := re.search(re.escape(query), text, re.IGNORECASE):
            start, end = match.span()
            before = "…" if start > AROUND else ""
            head, tail = text[max(0, start - AROUND) : start], text[end : end + 2 * AROUND]
            return f"{before}{head}{MARK_ON}{match.group()}{MARK_OFF}{tail}"
    return ""


def _grouped(rows: list[tuple[int, str | None]]) -> dict[int, tuple[str, int]]:
    """The first (best) snippet of each conversation, and how many there are."""
    found: dict[int, tuple[str, int]] = {}
    for session, snippet in rows:
        first, count = found.get(session, (" ".join((snippet or "").split()), 0))
        found[session] = (first, count + 1)
    return found
