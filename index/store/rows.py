"""`rows.sqlite`, the row file of a store: its tables, and opening it to read."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple, NotRequired, TypedDict

from index.pictures.facts import Facts

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS rows (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL, caption TEXT NOT NULL,
    thumbnail_start INTEGER NOT NULL, thumbnail_end INTEGER NOT NULL,
    file_size INTEGER, file_mtime_ns INTEGER, removed INTEGER NOT NULL DEFAULT 0, content BLOB,
    width INTEGER, height INTEGER, bytes INTEGER, taken TEXT, phash INTEGER);
CREATE UNIQUE INDEX IF NOT EXISTS live_source ON rows (source) WHERE removed = 0;
CREATE TABLE IF NOT EXISTS blocks (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS failed (source TEXT PRIMARY KEY, reason TEXT NOT NULL, cause TEXT NOT NULL) WITHOUT ROWID;
"""
"""`meta`: what the store holds, and the command that builds it. `rows`: one a picture; `content` is the SHA-256 of the
file's bytes, NULL where it is not known, and so are the facts after it (`pictures.facts.Facts`). `blocks`: one for all
rows that were appended together, with the CRC-32 of their features; an earlier version wrote none. `failed`: web
addresses that need not be asked again. `docs/index-format.md` describes it for other programs."""

ADDED_COLUMNS = {
    "content": "BLOB",
    "width": "INTEGER",
    "height": "INTEGER",
    "bytes": "INTEGER",
    "taken": "TEXT",
    "phash": "INTEGER",
}
"""Of `rows`: what a store of an earlier version lacks."""
INDEXES = """
CREATE INDEX IF NOT EXISTS row_content ON rows (content) WHERE content IS NOT NULL;
CREATE INDEX IF NOT EXISTS row_taken ON rows (taken) WHERE taken IS NOT NULL;
CREATE INDEX IF NOT EXISTS row_modified ON rows (file_mtime_ns) WHERE taken IS NULL;
"""
"""Made once the columns are there: of copies, and of dates, by which searches are narrowed down."""
FACTS = ("width", "height", "bytes", "taken", "phash")
"""The columns of what `index.pictures.facts.facts_of` finds out."""

RESUME = "resume"  # the name in `meta` of the command's arguments, a JSON list
FACTS_KNOWN = "facts"  # the name in `meta` that says that rows of an earlier version have got their facts


class NewRow(TypedDict):
    """What `FeatureStoreWriter.append` needs to know of a picture."""

    source: str
    caption: str
    stamp: NotRequired[tuple[int, int] | None]  # the file's size in bytes and mtime in ns, which tell a changed one
    replaces: NotRequired[int | None]  # the row of the same source that this one makes obsolete
    content: NotRequired[bytes]  # the SHA-256 of the file's bytes, by which copies are found
    facts: NotRequired[Facts | None]  # those of `FACTS`; without them, those of a row with the same content


class KnownRow(NamedTuple):
    """A live row that a source already has."""

    id: int
    caption: str
    stamp: tuple[int | None, int | None]
    content: bytes | None


def facts_values(facts: Facts) -> tuple[int | str | None, ...]:
    """The values of `FACTS`."""
    return facts.width, facts.height, facts.file_bytes, facts.taken, facts.phash


def connect_readonly(path: Path) -> sqlite3.Connection:
    """The row file, opened to be read, from any thread.

    Raises:
        sqlite3.Error: it is missing or damaged, or has no rows.
    """
    uri = path.resolve().as_uri()
    try:
        rows = sqlite3.connect(f"{uri}?mode=ro", uri=True, check_same_thread=False)
        rows.execute("SELECT 1 FROM rows LIMIT 1")
    except sqlite3.OperationalError:
        # A writer that was killed in the middle of a commit left a journal, and only a writer may roll it back.
        rows = sqlite3.connect(f"{uri}?mode=rw", uri=True, check_same_thread=False)
        rows.execute("SELECT 1 FROM rows LIMIT 1")
    return rows


def row_table(rows: sqlite3.Connection) -> str:
    """What to select from so that every column is there: those that an earlier version didn't write are NULL.

    Raises:
        sqlite3.Error: the file is damaged.
    """
    known = {column[1] for column in rows.execute("PRAGMA table_info(rows)")}
    missing = [f"NULL AS {name}" for name in ADDED_COLUMNS if name not in known]
    return f"(SELECT *, {', '.join(missing)} FROM rows)" if missing else "rows"
