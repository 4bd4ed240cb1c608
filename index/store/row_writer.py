"""What a builder reads and changes in the row file of a store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from index.errors import StoreError
from index.pictures.facts import Facts
from index.store.lock import in_use
from index.store.manifest import storage_errors
from index.store.rows import ADDED_COLUMNS, FACTS, FACTS_KNOWN, INDEXES, SCHEMA, KnownRow, NewRow, facts_values

MOST_UNCOMMITTED = 256
"""Failures that an interruption may make one try again."""

_INSERT = f"""INSERT INTO rows (id, source, caption, thumbnail_start, thumbnail_end, file_size, file_mtime_ns, content,
{", ".join(FACTS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?{", ?" * len(FACTS)})"""
_COPIED = f"SELECT {', '.join(FACTS)} FROM rows WHERE content = ? AND id <> ? ORDER BY width IS NULL, id LIMIT 1"


class RowWriter:
    """The rows of a store that is being built; `FeatureStoreWriter` adds their features and thumbnails.

    Attributes:
        path: the store's folder.
        count: rows, removed ones included.
    """

    path: Path
    count: int
    _rows: sqlite3.Connection
    _uncommitted: int

    def find(self, source: str) -> KnownRow | None:
        """The live row of a source, if it has one: how a build resumes and leaves unchanged pictures alone."""
        query = "SELECT id, caption, file_size, file_mtime_ns, content FROM rows WHERE source = ? AND removed = 0"
        found = self._rows.execute(query, (source,)).fetchone()
        return KnownRow(found[0], found[1], (found[2], found[3]), found[4]) if found else None

    def has_content(self, content: bytes) -> bool:
        """Whether a picture with these bytes (their SHA-256) was embedded, under whatever name."""
        return self._rows.execute("SELECT 1 FROM rows WHERE content = ?", (content,)).fetchone() is not None

    def set_stamp(self, id: int, stamp: tuple[int, int] | None) -> None:
        """Change size and date of a row's file of the same bytes; committed by the next `append` or `finish`."""
        with storage_errors(self.path, "write to"):
            self._begin()
            self._rows.execute(
                "UPDATE rows SET file_size = ?, file_mtime_ns = ? WHERE id = ?", (*(stamp or (None, None)), id)
            )

    def failed(self, source: str) -> tuple[str, str] | None:
        """(reason, cause) of a source that is not to be tried again; None for all others."""
        query = "SELECT reason, cause FROM failed WHERE source = ?"
        found = self._rows.execute(query, (source,)).fetchone()
        return (found[0], found[1]) if found else None

    def set_failed(self, source: str, reason: str, cause: str) -> None:
        """Remember that a source is not to be tried again; committed by the next `append` or `finish`, or soon."""
        with storage_errors(self.path, "write to"):
            self._begin()
            self._rows.execute("INSERT OR REPLACE INTO failed VALUES (?, ?, ?)", (source, reason, cause))
            self._uncommitted += 1
            if self._uncommitted >= MOST_UNCOMMITTED:
                self._rows.execute("COMMIT")
                self._uncommitted = 0

    def forget_failed(self) -> None:
        """Try everything again."""
        with storage_errors(self.path, "write to"):
            self._begin()
            self._rows.execute("DELETE FROM failed")

    def set_caption(self, id: int, caption: str) -> None:
        """Change the caption of a row; committed by the next `append` or `finish`."""
        with storage_errors(self.path, "write to"):
            self._begin()
            self._rows.execute("UPDATE rows SET caption = ? WHERE id = ?", (caption, id))

    def remove(self, ids: Iterable[int]) -> None:
        """Mark rows as removed; committed by the next `append` or `finish`."""
        with storage_errors(self.path, "write to"):
            self._begin()
            self._rows.executemany("UPDATE rows SET removed = 1 WHERE id = ?", ((id,) for id in ids))

    def live_sources(self) -> Iterator[tuple[int, str]]:
        """(id, source) of the live rows, streamed; the store must not change meanwhile."""
        yield from self._rows.execute("SELECT id, source FROM rows WHERE removed = 0 ORDER BY id")

    def count_live(self) -> tuple[int, int]:
        """How many rows are live, and how many of those have a caption."""
        query = "SELECT count(*), coalesce(sum(caption <> ''), 0) FROM rows WHERE removed = 0"
        live, captioned = self._rows.execute(query).fetchone()
        return int(live), int(captioned)

    def without_facts(self, most: int) -> list[tuple[int, str, int, int, tuple[int | None, int | None]]]:
        """Live rows of an earlier version that were not looked at again, (id, source, start and end of the thumbnail,
        stamp): at most so many, ascending; none once `set_facts_known` was called."""
        if self._rows.execute("SELECT 1 FROM meta WHERE name = ?", (FACTS_KNOWN,)).fetchone():
            return []
        found = self._rows.execute(
            "SELECT id, source, thumbnail_start, thumbnail_end, file_size, file_mtime_ns FROM rows "
            "WHERE removed = 0 AND phash IS NULL AND width IS NULL AND thumbnail_end > thumbnail_start "
            "ORDER BY id LIMIT ?",
            (most,),
        )
        return [(id, source, start, end, (size, mtime)) for id, source, start, end, size, mtime in found]

    def set_facts(self, facts: Iterable[tuple[int, Facts]]) -> None:
        """Complete rows; on disk when this returns."""
        changes = ", ".join(f"{name} = ?" for name in FACTS)
        with storage_errors(self.path, "write to"):
            self._begin()
            values = ((*facts_values(found), id) for id, found in facts)
            self._rows.executemany(f"UPDATE rows SET {changes} WHERE id = ?", values)
            self._rows.execute("COMMIT")

    def set_facts_known(self) -> None:
        """Every row has the facts that can be had; committed by the next `append` or `finish`."""
        with storage_errors(self.path, "write to"):
            self._begin()
            self._rows.execute("INSERT OR REPLACE INTO meta VALUES (?, '1')", (FACTS_KNOWN,))

    def _make_tables(self) -> None:
        self._rows.executescript(SCHEMA)
        known = {column[1] for column in self._rows.execute("PRAGMA table_info(rows)")}
        for name, kind in ADDED_COLUMNS.items():
            if name not in known:
                self._rows.execute(f"ALTER TABLE rows ADD COLUMN {name} {kind}")
        self._rows.executescript(INDEXES)
        if not self._committed():
            self._rows.execute("INSERT OR REPLACE INTO meta VALUES (?, '1')", (FACTS_KNOWN,))

    def _insert_row(self, id: int, row: NewRow, thumbnail: tuple[int, int]) -> None:
        replaced, content = row.get("replaces"), row.get("content") or None
        if replaced is not None:
            self._rows.execute("UPDATE rows SET removed = 1 WHERE id = ?", (replaced,))
        stamp = row.get("stamp") or (None, None)
        if (facts := row.get("facts")) is not None:
            known = facts_values(facts)
        else:
            known = (content and self._rows.execute(_COPIED, (content, id)).fetchone()) or (None,) * len(FACTS)
        try:
            self._rows.execute(_INSERT, (id, row["source"], row["caption"], *thumbnail, *stamp, content, *known))
        except sqlite3.IntegrityError:
            raise StoreError(f"{row['source']} is already in the store at {self.path}.") from None

    def _begin(self) -> None:
        # IMMEDIATE takes the write lock before the other two files change.
        if self._rows.in_transaction:
            return
        self._rows.execute("BEGIN IMMEDIATE")
        # Where the file system knows no file locks, another builder may have come between two transactions. Then the
        # ends of the other two files are no longer those that this writer knows.
        if self._committed() != self.count:
            self._rows.execute("ROLLBACK")
            raise in_use(self.path)

    def _committed(self) -> int:
        return int(self._rows.execute("SELECT coalesce(max(id) + 1, 0) FROM rows").fetchone()[0])
