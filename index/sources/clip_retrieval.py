"""The output of clip-retrieval's `inference`: features of pictures in `.npy` files, with their rows in Parquet files.

`img_emb/img_emb_0.npy` belongs to `metadata/metadata_0.parquet`; what `text_emb` has is not needed. Arrays are mapped,
never unpickled. The pictures themselves are not there: a hit is shown from its address, or its file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from index.errors import StoreError, reason
from index.pictures.parquet_rows import open_parquet
from index.sources.saved_datasets import CAPTIONS, first_caption
from index.text import sanitize

VECTORS, ROWS = "img_emb", "metadata"
SOURCES = ("url", "URL", "image_url", "image_path")
"""Columns that say where a picture is; the first that is there does."""
BLOCK = 8192  # rows read at once

_SHARD = re.compile(r"img_emb_(\d+)\.npy")
_UNIT = 1e-2  # how far from 1 the length of a normalised vector may be, in fp16


@dataclass(frozen=True)
class Rows:
    """Some rows of an export.

    Attributes:
        sources: addresses, or paths as they are written; "" where there is none.
        captions: one for each, in one line; "" for none.
        features: (n, dim) float32.
    """

    sources: list[str]
    captions: list[str]
    features: npt.NDArray[np.float32]


def is_export(path: Path) -> bool:
    """Whether a folder is clip-retrieval's output."""
    return (path / VECTORS).is_dir() and any(map(_SHARD.fullmatch, _names(path / VECTORS)))


class Export:
    """An output folder of clip-retrieval.

    Attributes:
        dim: width of the features.
        is_normalised: whether all of the first features are of length 1, as clip-retrieval leaves them.

    Args:
        path: the folder.

    Raises:
        StoreError: pyarrow is not installed; there is no such folder, a file is missing or damaged, or arrays and rows
            don't belong together.
    """

    def __init__(self, path: Path) -> None:
        numbers = (found.group(1) for name in _names(path / VECTORS) if (found := _SHARD.fullmatch(name)))
        self.path, self._shards = path, sorted(numbers, key=int)
        if not self._shards:
            raise StoreError(
                f"There are no features in {sanitize(str(path / VECTORS))}.", "Name clip-retrieval's output."
            )
        shapes = []
        for number in self._shards:
            vectors, rows = self._vectors(number), open_parquet(self._metadata(number)).metadata.num_rows
            if len(vectors) != rows:
                name = sanitize(str(self._metadata(number)))
                raise StoreError(f"{name} has {rows:,} rows for {len(vectors):,} features.", "Fetch both again.")
            shapes.append(vectors.shape)
        if len({width for _, width in shapes}) != 1:
            raise StoreError(f"The features in {sanitize(str(path))} are of different widths.", "Fetch them again.")
        self._count, self.dim = sum(count for count, _ in shapes), int(shapes[0][1])
        lengths = np.linalg.norm(self._vectors(self._shards[0])[:BLOCK].astype(np.float32), axis=1)
        self.is_normalised = bool((np.abs(lengths[lengths > 0] - 1) < _UNIT).all())

    def __len__(self) -> int:
        return self._count

    def blocks(self) -> Iterator[Rows]:
        """All rows, some thousand at a time.

        Raises:
            StoreError: a file is damaged.
        """
        for number in self._shards:
            vectors, file = self._vectors(number), open_parquet(self._metadata(number))
            columns = file.schema_arrow.names
            source = next((name for name in SOURCES if name in columns), None)
            caption = next((name for name in CAPTIONS if name in columns), None)
            if source is None:
                told = sanitize(", ".join(columns))
                raise StoreError(f"{sanitize(str(self._metadata(number)))} says no picture's place, but {told}.")
            start = 0
            try:
                for batch in file.iter_batches(columns=[source, *([caption] if caption else [])]):
                    table = batch.to_pydict()
                    end = start + batch.num_rows
                    sources = [value if isinstance(value, str) else "" for value in table[source]]
                    captions = [first_caption(value) for value in table[caption]] if caption else [""] * len(sources)
                    yield Rows(sources, captions, vectors[start:end].astype(np.float32))
                    start = end
            except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
                name = sanitize(str(self._metadata(number)))
                raise StoreError(
                    f"{name} is damaged after {start:,} rows: {reason(error)}.", "Fetch it again."
                ) from error

    def _metadata(self, number: str) -> Path:
        return self.path / ROWS / f"metadata_{number}.parquet"

    def _vectors(self, number: str) -> npt.NDArray[np.floating]:
        file = self.path / VECTORS / f"img_emb_{number}.npy"
        try:
            vectors = np.lib.format.open_memmap(file, mode="r")  # arrays only: no pickle, no zip
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(f"{sanitize(str(file))} can't be read: {reason(error)}.", "Fetch it again.") from error
        if vectors.ndim != 2 or vectors.dtype.kind != "f":
            raise StoreError(f"{sanitize(str(file))} is no array of features.", "Fetch it again.")
        return vectors


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []
