"""What was added to an index and removed from it since its FAISS file was written: a small file beside that."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from index.errors import StoreError
from index.store.feature_store import FeatureStore
from index.store.manifest import storage_errors

CHANGES = "changes"

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Changes:
    """Changes of an index.

    Attributes:
        ids: (n,) ascending, what was added.
        vectors: (n, R) float16, its vectors.
        removed: (m,) ascending, ids of the FAISS file that can't be found any more.
    """

    ids: Ids
    vectors: npt.NDArray[np.float16]
    removed: Ids

    def __len__(self) -> int:
        """How many changes there are."""
        return len(self.ids) + len(self.removed)

    def to_bytes(self) -> bytes:
        """The file's content, numpy's `.npz`."""
        file = io.BytesIO()
        np.savez(file, ids=self.ids, vectors=self.vectors, removed=self.removed)
        return file.getvalue()

    @classmethod
    def read(cls, folder: Path, name: str, crc: int, dim: int) -> Changes:
        """Read and check the file that a manifest names.

        Raises:
            StoreError: it is missing or damaged.
        """
        path = folder / name
        with storage_errors(path, "read"):
            data = path.read_bytes() if name == Path(name).name else b""
        try:
            if zlib.crc32(data) != crc:
                raise ValueError
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                changes = cls(arrays["ids"], arrays["vectors"], arrays["removed"])
            dtypes = [array.dtype for array in (changes.ids, changes.vectors, changes.removed)]
            if (
                dtypes != [np.int64, np.float16, np.int64]
                or changes.vectors.shape != (len(changes.ids), dim)
                or changes.removed.ndim != 1
            ):
                raise ValueError
        except Exception as error:  # of bytes that are no such file: nearly every type there is
            raise StoreError(f"{path} is damaged.") from error
        return changes


def no_changes(dim: int) -> Changes:
    """An index that is as its FAISS file says."""
    none = np.empty(0, dtype=np.int64)
    return Changes(none, np.empty((0, dim), dtype=np.float16), none)


def changes_name(data: bytes) -> str:
    """The file's name: by its content, so that a reader of an older manifest never takes a newer file for its own."""
    return f"{CHANGES}-{zlib.crc32(data):08x}.npz"


def features_crc(store: FeatureStore, rows: int) -> int:
    """A checksum of the store's first `rows` rows, out of those of its blocks; 0 where these aren't known."""
    blocks = [block for block in store.blocks() if block[0] + block[1] <= rows]
    if sum(count for _, count, _ in blocks) != rows:
        return 0
    return zlib.crc32(np.array(blocks, dtype=np.int64).tobytes())
