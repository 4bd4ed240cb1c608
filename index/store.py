"""The feature store: a frozen encoder's features of pictures, with their rows and thumbnails, on disk.

A store is a folder of four files:

    features.bin    fp16 (count, dim), append-only, memory-mapped; fp32 where it holds a bridge's image embeddings
    thumbnails.bin  JPEG files end to end
    rows.sqlite     per row: source, caption, where its thumbnail is, size and date of the file
    manifest.json   written last

Rows come into being only with SQLite's commit: their features and thumbnails are on disk before it, and the next
writer cuts off whatever lies beyond the committed rows. So a build may be killed at any instant.
Rows are never deleted, only marked as removed, and keep their ids.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from index.commands import PROGRAM, index_command
from index.errors import StoreError
from index.manifest import FEATURES, PROJECTED, REBUILD, ROWS, STORE_MANIFEST, THUMBNAILS, StoreManifest, storage_errors
from index.writer import FeatureStoreWriter, KnownRow, NewRow

__all__ = ["FeatureStore", "FeatureStoreWriter", "KnownRow", "NewRow"]


class FeatureStore:
    """A finished store, read-only. Safe to use from several threads."""

    def __init__(self, path: Path, manifest: StoreManifest, rows: sqlite3.Connection) -> None:
        self.path = path
        self.manifest = manifest
        self._rows = rows
        self._lock = threading.Lock()
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
            begun = (path / ROWS).is_file()
            raise StoreError(
                f"The feature store at {path} is not finished." if begun else f"There is no feature store at {path}.",
                f"Run the {PROGRAM} command that began it again: it goes on where it stopped."
                if begun
                else f"Build it: {index_command(path, pictures='FOLDER')}",
            )
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
            rows = _connect_readonly(path / ROWS)
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

    def find(self, source: str) -> int | None:
        """Id of a source's live row; None if it has none."""
        found = self._query("SELECT id FROM rows WHERE source = ? AND removed = 0 AND id < ?", source, len(self))
        return int(found[0][0]) if found else None

    def live_ids(self) -> npt.NDArray[np.int64]:
        """Ids of the rows that are not removed, (live,) ascending."""
        with self._lock, storage_errors(self.path / ROWS, "read"):
            cursor = self._rows.execute("SELECT id FROM rows WHERE removed = 0 AND id < ? ORDER BY id", (len(self),))
            return np.fromiter((row[0] for row in cursor), dtype=np.int64)

    def iter_rows(self, block: int = 4096) -> Iterator[tuple[int, str, str]]:
        """(id, source, caption) of the live rows, ascending, read block by block."""
        for start in range(0, len(self), block):
            yield from self._query(
                "SELECT id, source, caption FROM rows WHERE removed = 0 AND id >= ? AND id < ? ORDER BY id",
                start,
                min(start + block, len(self)),
            )

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


def _connect_readonly(path: Path) -> sqlite3.Connection:
    uri = path.resolve().as_uri()
    try:
        rows = sqlite3.connect(f"{uri}?mode=ro", uri=True, check_same_thread=False)
        rows.execute("SELECT 1 FROM rows LIMIT 1")
    except sqlite3.OperationalError:
        # A writer that was killed in the middle of a commit left a journal, and only a writer may roll it back.
        rows = sqlite3.connect(f"{uri}?mode=rw", uri=True, check_same_thread=False)
        rows.execute("SELECT 1 FROM rows LIMIT 1")
    return rows
