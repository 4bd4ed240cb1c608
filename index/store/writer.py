"""Writes a feature store, or continues an interrupted one. `index.store.feature_store` describes the files."""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from index.errors import FingerprintError, StoreError
from index.files import read_at
from index.store.lock import BuilderLock
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
from index.store.row_writer import RowWriter
from index.store.rows import RESUME, NewRow


class FeatureStoreWriter(RowWriter):
    """Writes a store, or continues one. A context manager: leaving it without an error writes the manifest.

    Args:
        path: the store's folder, made if missing.
        dim: width of the features; None takes that of the store, or of the first features appended.
        encoder_fingerprint: of the frozen encoder that makes the features; or `PROJECTED` and a bridge's fingerprint,
            for image embeddings, which are kept in float32: they can't be computed again.
        resume: arguments of the command that goes on with this build, but for `--out`: told where it is interrupted.
        preprocessing: how pictures are prepared for the encoder, for the manifest; "" leaves what it says.

    Raises:
        FingerprintError: the store holds another encoder's features.
        StoreError: the folder can't be written to or is damaged, or another builder is at work.
    """

    def __init__(
        self,
        path: str | Path,
        dim: int | None,
        encoder_fingerprint: str,
        resume: Sequence[str] = (),
        *,
        preprocessing: str = "",
    ) -> None:
        self.path = Path(path)
        self.count = self._uncommitted = 0
        self.encoder_fingerprint = encoder_fingerprint
        self._preprocessing = preprocessing
        self.dtype = np.dtype("<f4" if encoder_fingerprint.startswith(PROJECTED) else "<f2")
        with ExitStack() as undo:
            self._lock = BuilderLock(self.path)
            undo.callback(self._lock.release)
            with storage_errors(self.path, "write to"):
                self._rows = sqlite3.connect(self.path / ROWS, isolation_level=None, timeout=5.0)
                undo.callback(self._rows.close)
                self._open(dim, resume)
                self._know_preprocessing()
            undo.pop_all()

    def _open(self, dim: int | None, resume: Sequence[str]) -> None:
        # A cache that overflows would be written in the middle of a transaction, which locks readers out to its end.
        self._rows.execute("PRAGMA cache_spill = OFF")
        self._make_tables()
        self._rows.execute("BEGIN IMMEDIATE")
        self.dim = self._known_dim(dim)
        if resume:
            self._rows.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (RESUME, json.dumps(list(resume))))
        self._rows.execute("COMMIT")
        self._rows.execute("BEGIN IMMEDIATE")
        self.count = self._committed()
        last = self._rows.execute("SELECT thumbnail_end FROM rows WHERE id = ?", (self.count - 1,)).fetchone()
        self._thumbnails_end = int(last[0]) if last else 0
        self._features = _open_append(self.path / FEATURES, self.count * (self.dim or 0) * self.dtype.itemsize)
        self._thumbnails = _open_append(self.path / THUMBNAILS, self._thumbnails_end)

    def _know_preprocessing(self) -> None:
        known = self._rows.execute("SELECT value FROM meta WHERE name = 'preprocessing'").fetchone()
        if self._preprocessing:
            self._rows.execute("INSERT OR REPLACE INTO meta VALUES ('preprocessing', ?)", (self._preprocessing,))
        elif known:
            self._preprocessing = str(known[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()

    def __len__(self) -> int:
        return self.count

    def with_content(self, content: bytes) -> tuple[npt.NDArray[np.floating], bytes] | None:
        """Feature (dim,) and thumbnail of a picture with these bytes, removed ones included; None if there is none."""
        query = "SELECT id, thumbnail_start, thumbnail_end FROM rows WHERE content = ? ORDER BY id LIMIT 1"
        found = self._rows.execute(query, (content,)).fetchone()
        if found is None or self.dim is None:
            return None
        id, start, end = found
        size = self.dim * self.dtype.itemsize
        with storage_errors(self.path, "read"):
            feature = np.frombuffer(read_at(self._features, id * size, size), dtype=self.dtype)
        return feature, self.read_thumbnail(start, end)

    def read_thumbnail(self, start: int, end: int) -> bytes:
        """The thumbnail between these places."""
        with storage_errors(self.path, "read"):
            return read_at(self._thumbnails, start, end - start)

    def append(self, features: npt.ArrayLike, rows: Sequence[NewRow], thumbnails: Sequence[bytes]) -> range:
        """Add rows: all of them or, on an error or a kill, none. They are on disk when this returns.

        Args:
            features: (n, dim), finite in the store's dtype.
            rows: n rows; no source may have a live row but the one named in `replaces`.
            thumbnails: n image files; b"" for none.

        Returns:
            The ids given to the rows.
        """
        block = self._check_block(features, rows, thumbnails)
        ids = range(self.count, self.count + len(rows))
        try:
            with storage_errors(self.path, "write to"):
                self._begin()
                _write_through(self._features, self.count * block.shape[1] * block.itemsize, block.tobytes())
                _write_through(self._thumbnails, self._thumbnails_end, b"".join(thumbnails))
                end = self._insert(ids, rows, thumbnails)
                block_row = (ids.start, len(ids), zlib.crc32(block.tobytes()))
                self._rows.execute("INSERT INTO blocks VALUES (?, ?, ?)", block_row)
                self._rows.execute("COMMIT")
        except BaseException:
            self._rollback()
            raise
        self.count, self._thumbnails_end = ids.stop, end
        return ids

    def drop_damaged(self) -> int:
        """Mark rows as removed whose features are not those that were written, by their checksums; how many were live.

        So a build embeds them again. Committed by the next `append` or `finish`.
        """
        dropped = 0
        with storage_errors(self.path, "write to"):
            for first, count, crc in self._rows.execute("SELECT first, count, crc FROM blocks").fetchall():
                size = (self.dim or 0) * self.dtype.itemsize
                if zlib.crc32(read_at(self._features, first * size, count * size)) == crc:
                    continue
                self._begin()
                block = (first, first + count)
                query = "SELECT count(*) FROM rows WHERE id >= ? AND id < ? AND removed = 0"
                dropped += int(self._rows.execute(query, block).fetchone()[0])
                self._rows.execute("UPDATE rows SET removed = 1, content = NULL WHERE id >= ? AND id < ?", block)
                self._rows.execute("DELETE FROM blocks WHERE first = ?", (first,))
        return dropped

    def finish(self) -> None:
        """Commit, and write the manifest: from here on `FeatureStore.open` sees the new rows."""
        with storage_errors(self.path, "write to"):
            self._begin()
            self._rows.execute("COMMIT")
            manifest = StoreManifest(
                dim=self.dim or 0,
                count=self.count,
                thumbnail_bytes=self._thumbnails_end,
                encoder_fingerprint=self.encoder_fingerprint,
                dtype=self.dtype.name,
                preprocessing=self._preprocessing,
            )
            manifest.write(self.path / STORE_MANIFEST)

    def close(self) -> None:
        """Drop what is not committed and close the files."""
        try:
            self._rollback()
            self._features.close()
            self._thumbnails.close()
            self._rows.close()
        finally:
            self._lock.release()

    def _rollback(self) -> None:
        # An interrupt may come just after COMMIT, with `count` still the old one: then there is nothing to cut off.
        if self._rows.in_transaction:
            self._rows.execute("ROLLBACK")
            self._features.truncate(self.count * (self.dim or 0) * self.dtype.itemsize)
            self._thumbnails.truncate(self._thumbnails_end)

    def _known_dim(self, dim: int | None) -> int | None:
        """The width that the store has or will have; checks that it and the encoder agree with what is there."""
        known = dict(self._rows.execute("SELECT name, value FROM meta").fetchall())
        if known.get("encoder_fingerprint", self.encoder_fingerprint) != self.encoder_fingerprint:
            raise FingerprintError(
                f"The store at {self.path} holds the features of another image encoder, or another model's embeddings.",
                "Name another --out folder, or delete this one.",
            )
        if "dim" in known and dim not in (None, int(known["dim"])):
            raise StoreError(f"The store at {self.path} holds features of width {known['dim']}, not {dim}.")
        return int(known["dim"]) if "dim" in known else dim

    def _check_block(
        self, features: npt.ArrayLike, rows: Sequence[NewRow], thumbnails: Sequence[bytes]
    ) -> npt.NDArray[np.floating]:
        with np.errstate(over="ignore"):
            block = np.ascontiguousarray(features, dtype=self.dtype)
        if block.ndim != 2 or not len(block) == len(rows) == len(thumbnails):
            raise StoreError(
                f"Features {block.shape}, {len(rows)} rows and {len(thumbnails)} thumbnails don't belong together."
            )
        if self.dim is None:
            self.dim = int(block.shape[1])
        if block.shape[1] != self.dim:
            raise StoreError(f"The store at {self.path} holds features of width {self.dim}, not {block.shape[1]}.")
        if not np.isfinite(block).all():
            raise StoreError(f"A feature is not a number, or beyond the range of fp{8 * self.dtype.itemsize}.")
        return block

    def _insert(self, ids: range, rows: Sequence[NewRow], thumbnails: Sequence[bytes]) -> int:
        start = self._thumbnails_end
        identity = (("encoder_fingerprint", self.encoder_fingerprint), ("dim", str(self.dim)))
        self._rows.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", identity)
        for id, row, thumbnail in zip(ids, rows, thumbnails, strict=True):
            self._insert_row(id, row, (start, start + len(thumbnail)))
            start += len(thumbnail)
        return start


def _open_append(path: Path, size: int) -> FileIO:
    """Open a file for appending after its first `size` bytes; what an aborted writer left beyond them is cut off."""
    path.touch()
    file = FileIO(path, "r+")
    found = file.seek(0, os.SEEK_END)
    if found < size:
        file.close()
        raise StoreError(f"{path} is damaged: {found} bytes, {size} expected.", REBUILD)
    file.truncate(size)
    return file


def _write_through(file: FileIO, start: int, data: bytes) -> None:
    file.seek(start)
    rest = memoryview(data)
    while rest:  # an unbuffered write may take only a part
        rest = rest[file.write(rest) :]
    os.fsync(file.fileno())
