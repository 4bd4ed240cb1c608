"""The feature store: a frozen encoder's features of pictures, with their rows and thumbnails, on disk.

A store is a folder of four files:

    features.bin    fp16 (count, dim), append-only, memory-mapped; fp32 where it holds a bridge's image embeddings
    thumbnails.bin  JPEG files end to end
    rows.sqlite     per row: source, caption, where its thumbnail is, facts of the picture
    manifest.json   written last

and `.lock`, which its builder holds. `docs/index-format.md` describes them for other programs.

Rows come into being only with SQLite's commit: their features and thumbnails are on disk before it, and the next
writer cuts off whatever lies beyond the committed rows. So a build may be killed at any instant.
Rows are never deleted, only marked as removed, and keep their ids.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from index.errors import StoreError
from index.pictures.facts import Facts
from index.store.filters import Filters
from index.store.lock import builder_at_work
from index.store.manifest import (
    FEATURES,
    PROJECTED,
    REBUILD,
    ROWS,
    STORE_MANIFEST,
    THUMBNAILS,
    StoreManifest,
    storage_errors,
)
from index.store.rows import KnownRow, NewRow, connect_readonly, row_table
from index.store.unfinished import resuming, unfinished
from index.store.writer import FeatureStoreWriter

_FACTS = ("width", "height", "coalesce(bytes, file_size)", "taken", "phash", "file_mtime_ns", "content")

__all__ = ["FeatureStore", "FeatureStoreWriter", "KnownRow", "NewRow"]


class FeatureStore:
    """A finished store, read-only. Safe to use from several threads."""

    def __init__(self, path: Path, manifest: StoreManifest, rows: sqlite3.Connection) -> None:
        self.path = path
        self.manifest = manifest
        self._rows = rows
        self._lock = threading.Lock()
        self._table = row_table(rows)
        shape = (manifest.count, manifest.dim)
        # An empty file can't be mapped.
        self.features: npt.NDArray[np.floating] = (
            np.memmap(path / FEATURES, dtype=manifest.dtype, mode="r", shape=shape)
            if manifest.count
            else np.empty(shape, dtype=manifest.dtype)
        )
        """Features, (count, dim) fp16, removed rows included: index them with `live_ids()`. Where
        `bridge_fingerprint` is set, image embeddings of unit norm, fp32."""

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the store at `path` without reading a row.

        Raises:
            StoreError: there is no finished store, or it is damaged.
        """
        path = Path(path)
        if not (path / STORE_MANIFEST).is_file():
            raise unfinished(path, "feature store")
        manifest = StoreManifest.read(path / STORE_MANIFEST)
        if manifest.dtype not in ("float16", "float32"):
            raise StoreError(f"{path / STORE_MANIFEST} is damaged: dtype can't be {manifest.dtype!r}.", REBUILD)
        feature_bytes = manifest.count * manifest.dim * np.dtype(manifest.dtype).itemsize
        for name, size in ((FEATURES, feature_bytes), (THUMBNAILS, manifest.thumbnail_bytes)):
            with storage_errors(path / name, "read"):
                found = (path / name).stat().st_size
            if found < size:
                raise StoreError(f"{path / name} is damaged: {found} bytes, {size} expected.", REBUILD)
        with storage_errors(path / ROWS, "read"):
            rows = connect_readonly(path / ROWS)
            last = rows.execute("SELECT max(id) FROM rows").fetchone()[0]
        if (-1 if last is None else last) + 1 < manifest.count:
            raise StoreError(f"{path / ROWS} is damaged: rows are missing.", REBUILD)
        return cls(path, manifest, rows)

    @property
    def dim(self) -> int:
        """Width of the features."""
        return self.manifest.dim

    @property
    def encoder_fingerprint(self) -> str:
        """The frozen encoder that made the features."""
        return self.manifest.encoder_fingerprint

    @property
    def bridge_fingerprint(self) -> str | None:
        """The bridge whose image embeddings the store holds; None where it holds an encoder's features."""
        fingerprint = self.encoder_fingerprint
        return fingerprint.removeprefix(PROJECTED) if fingerprint.startswith(PROJECTED) else None

    def __len__(self) -> int:
        """How many rows there are, removed ones included."""
        return self.manifest.count

    def read_features(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Features of rows, as (n, dim) float32; neighbouring rows are read rather than mapped.

        Args:
            ids: (n,) ascending.

        Pages of a mapped file count as this process's memory until another needs it: gigabytes, after a pass over a
        large store.
        """
        if not len(ids) or ids[-1] - ids[0] > 2 * len(ids):
            return np.asarray(self.features[ids], dtype=np.float32)
        first, count = int(ids[0]), int(ids[-1] - ids[0]) + 1
        dtype = self.features.dtype
        with storage_errors(self.path / FEATURES, "read"):
            rows = np.fromfile(self.path / FEATURES, dtype, count * self.dim, offset=first * self.dim * dtype.itemsize)
        return rows.reshape(-1, self.dim)[ids - first].astype(np.float32)

    def row(self, id: int) -> tuple[str, str]:
        """(source, caption) of a row."""
        source, caption = self._one("SELECT source, caption FROM rows WHERE id = ?", id)
        return str(source), str(caption)

    def thumbnail(self, id: int) -> bytes:
        """The row's thumbnail, a JPEG file of at most 256 x 256 pixels."""
        start, end = self._one("SELECT thumbnail_start, thumbnail_end FROM rows WHERE id = ?", id)
        with storage_errors(self.path / THUMBNAILS, "read"), (self.path / THUMBNAILS).open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def has_thumbnail(self, id: int) -> bool:
        """Whether the store keeps a thumbnail of a row."""
        start, end = self._one("SELECT thumbnail_start, thumbnail_end FROM rows WHERE id = ?", id)
        return bool(end > start)

    def stamp(self, id: int) -> tuple[int | None, int | None]:
        """Size in bytes and mtime in ns of a row's file when it was embedded; None where it is not known."""
        size, mtime = self._one("SELECT file_size, file_mtime_ns FROM rows WHERE id = ?", id)
        return size, mtime

    def find(self, source: str) -> int | None:
        """Id of a source's live row; None if it has none."""
        found = self._query("SELECT id FROM rows WHERE source = ? AND removed = 0 AND id < ?", source, len(self))
        return int(found[0][0]) if found else None

    def live_ids(self) -> npt.NDArray[np.int64]:
        """Ids of the rows that are not removed, (live,) ascending."""
        with self._lock, storage_errors(self.path / ROWS, "read"):
            cursor = self._rows.execute("SELECT id FROM rows WHERE removed = 0 AND id < ? ORDER BY id", (len(self),))
            return np.fromiter((row[0] for row in cursor), dtype=np.int64)

    def select(self, filters: Filters) -> npt.NDArray[np.int64]:
        """Ids of the live rows that pass, (n,) ascending."""
        conditions, values = ["removed = 0", "id < ?"], [len(self)]
        for condition, parameters in filters.clauses():
            conditions.append(condition)
            values += parameters
        wanted = "id, caption" if filters.caption else "id"
        query = f"SELECT {wanted} FROM {self._table} WHERE {' AND '.join(conditions)}"
        with self._lock, storage_errors(self.path / ROWS, "read"):
            found = self._rows.execute(query, values)
            ids = (row[0] for row in found if not filters.caption or filters.passes_caption(row[1]))
            return np.sort(np.fromiter(ids, dtype=np.int64))

    def facts(self, ids: Sequence[int]) -> list[Facts]:
        """Facts of rows."""
        query = f"SELECT {', '.join(_FACTS)} FROM {self._table} WHERE id = ?"
        return [Facts(*self._one(query, id)) for id in ids]

    def iter_rows(self, block: int = 4096) -> Iterator[tuple[int, str, str]]:
        """(id, source, caption) of the live rows, ascending, read block by block."""
        for start in range(0, len(self), block):
            yield from self._query(
                "SELECT id, source, caption FROM rows WHERE removed = 0 AND id >= ? AND id < ? ORDER BY id",
                start,
                min(start + block, len(self)),
            )

    def blocks(self) -> list[tuple[int, int, int]]:
        """(first row, number of rows, CRC-32 of their features) of what was appended together, where it is known."""
        if not self._query("SELECT 1 FROM sqlite_master WHERE name = 'blocks'"):
            return []  # an earlier version wrote the store
        return [tuple(block) for block in self._query("SELECT first, count, crc FROM blocks ORDER BY first")]

    def row_faults(self) -> list[str]:
        """What is wrong with the row file, a sentence each; and whether it has rows that are not in the store yet."""
        path, faults = self.path / ROWS, []
        (found,) = self._query("PRAGMA quick_check(1)")
        if found[0] != "ok":
            faults.append(f"{path} is damaged: {found[0]}. {REBUILD}")
        query = "SELECT count(*), coalesce(sum(thumbnail_end - thumbnail_start), 0) FROM rows WHERE id < ?"
        (found,) = self._query(query, len(self))
        if found != (len(self), self.manifest.thumbnail_bytes):
            faults.append(f"{path} is damaged: rows are missing or don't fit the thumbnails. {REBUILD}")
        (found,) = self._query("SELECT count(*) FROM rows WHERE id >= ?", len(self))
        if found[0] and builder_at_work(self.path) is None:
            faults.append(
                f"An update of the store at {self.path} is unfinished: {found[0]:,} more pictures are embedded. "
                f"Go on where it stopped: {resuming(self.path)}"
            )
        return faults

    def close(self) -> None:
        """Close the row file; the features stay mapped as long as they are referenced."""
        self._rows.close()

    def _one(self, query: str, id: int) -> tuple[Any, ...]:
        if not 0 <= id < len(self):
            raise StoreError(f"The store at {self.path} has no row {id}; it has {len(self)}.")
        found = self._query(query, int(id))
        if not found:
            raise StoreError(f"{self.path / ROWS} is damaged: row {id} is missing.", REBUILD)
        return found[0]

    def _query(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        with self._lock, storage_errors(self.path / ROWS, "read"):
            return self._rows.execute(query, arguments).fetchall()
