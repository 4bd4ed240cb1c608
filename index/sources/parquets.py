"""Pictures in Parquet files: data sets as the Hugging Face Hub has them, and img2dataset's output format `parquet`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from index.errors import StoreError, reason
from index.pictures.containers import PARQUET, container_stamp, place_inside, read_row
from index.pictures.parquet_rows import open_parquet, picture_column
from index.sources.readers import FILES_AT_ONCE, PictureFile
from index.sources.saved_datasets import CAPTIONS, first_caption
from index.text import sanitize


class ParquetReader:
    """The rows of Parquet files with a column of encoded pictures: the bytes, or a struct with the field `bytes`.

    Captions come from the columns that `DatasetReader` knows. Pictures are read by groups of rows, and only those that
    are not in the index yet.

    Args:
        path: a Parquet file, or a folder with some directly in it.

    Raises:
        StoreError: pyarrow is not installed, there is no such file, or the first has no column of pictures.
    """

    at_once = FILES_AT_ONCE

    def __init__(self, path: str | Path) -> None:
        self._root = Path(os.path.abspath(path))  # noqa: PTH100 (links stay as they are)
        self.paths = parquets(self._root) if self._root.is_dir() else [self._root]
        if not self.paths or not self.paths[0].is_file():
            raise StoreError(f"There is no Parquet file at {path}.", "Name one, or a folder of them.")
        picture_column(self.paths[0])

    def __len__(self) -> int:
        count = 0
        for path in self.paths:
            try:
                count += open_parquet(path).metadata.num_rows
            except StoreError:
                count += 1  # it is told when it is read
        return count

    def __iter__(self) -> Iterator[PictureFile]:
        for path in self.paths:
            try:
                yield from _rows(path)
            except StoreError as error:
                problem = f"it {error.message.removeprefix(sanitize(str(path))).strip(' .')}"
                yield PictureFile(str(path), problem=problem, cause="damaged Parquet file")

    def covers(self, source: str) -> bool:
        """True for every row of the file, or of any in the folder."""
        container, mark, _ = source.rpartition("#")
        return bool(mark) and self._root in ((path := Path(container)), path.parent)


def parquets(folder: Path) -> list[Path]:
    """The Parquet files directly in a folder, sorted by name, without hidden ones."""
    try:
        files = sorted(folder.iterdir())
    except OSError:
        return []
    return [f for f in files if f.suffix.lower() == PARQUET and not f.name.startswith(".") and f.is_file()]


def _rows(path: Path) -> Iterator[PictureFile]:
    column, file, stamp = picture_column(path), open_parquet(path), container_stamp(path)
    captions = next((name for name in CAPTIONS if name in file.schema_arrow.names), None)
    row = 0
    try:
        for batch in file.iter_batches(columns=[captions] if captions else []):
            values = batch.column(0).to_pylist() if captions else [None] * batch.num_rows
            for value in values:
                source = place_inside(path, f"{column}:{row}")
                read = partial(read_row, path, column, row)
                yield PictureFile(source, first_caption(value), stamp=stamp, read=read)
                row += 1
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise StoreError(f"{sanitize(str(path))} is damaged after {row:,} rows: {reason(error)}.") from error
