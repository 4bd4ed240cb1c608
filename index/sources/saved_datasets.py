"""Pictures in data sets that Hugging Face's `datasets` saved to disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from index.errors import StoreError
from index.pictures.containers import DATASET_STATE, Rows, container_stamp, open_dataset, place_inside, read_row
from index.sources.readers import FILES_AT_ONCE, PictureFile
from index.text import one_line, sanitize

CAPTIONS = ("caption", "text", "TEXT", "captions", "sentence", "description")
"""Columns that may hold captions; the first that is there does."""
_BLOCK = 1000  # rows whose captions are read at once


class DatasetReader:
    """The rows of a data set with a column of pictures, as `save_to_disk` wrote it, of one split or of several.

    The first column of the type `Image` is read; the caption is in the column `caption`, `text`, `captions`, `sentence`
    or `description`, of several captions the first.

    Args:
        path: the data set's folder, or that of several splits.

    Raises:
        StoreError: `datasets` is not installed, the data set is damaged, or has no column of pictures.
    """

    at_once = FILES_AT_ONCE

    def __init__(self, path: str | Path) -> None:
        root = Path(os.path.abspath(path))  # noqa: PTH100
        self._splits = [(folder, _opened(folder)) for folder in splits(root)]
        if not self._splits:
            raise StoreError(f"There is no saved data set at {path}.", "Name a folder that save_to_disk wrote.")
        for folder, rows in self._splits:
            _image_column(rows, folder)

    def __len__(self) -> int:
        return sum(len(rows) for _, rows in self._splits)

    def __iter__(self) -> Iterator[PictureFile]:
        for folder, rows in self._splits:
            column, stamp = _image_column(rows, folder), container_stamp(folder)
            for row, caption in enumerate(_captions(rows)):
                source = place_inside(folder, f"{column}:{row}")
                yield PictureFile(source, caption, stamp=stamp, read=partial(read_row, folder, column, row))

    def covers(self, source: str) -> bool:
        """True for every row of the data set."""
        return any(source.startswith(f"{folder}#") for folder, _ in self._splits)


def splits(path: Path) -> list[Path]:
    """The folders of a saved data set: itself, or its splits, sorted by name; none if it is no data set."""
    if (path / DATASET_STATE).is_file():
        return [path]
    if not (path / "dataset_dict.json").is_file():
        return []
    return sorted(folder for folder in path.iterdir() if (folder / DATASET_STATE).is_file())


def _opened(folder: Path) -> Rows:
    return open_dataset(str(folder), container_stamp(folder)[1])


def _image_column(rows: Rows, folder: Path) -> str:
    for name, feature in rows.features.items():
        if type(feature).__name__ == "Image":
            return name
    columns = sanitize(", ".join(rows.column_names))
    raise StoreError(
        f"The data set at {folder} has no column of pictures, but {columns}.",
        "Cast the column to datasets.Image() and save it again.",
    )


def first_caption(value: object) -> str:
    """The caption in a cell: a text, or the first of several; "" for anything else."""
    first = value[0] if isinstance(value, list) and value else value
    return one_line(first) if isinstance(first, str) else ""


def _captions(rows: Rows) -> Iterator[str]:
    column = next((name for name in CAPTIONS if name in rows.column_names), None)
    if column is None:
        yield from ("" for _ in range(len(rows)))
        return
    texts = rows.select_columns([column]).with_format(None)
    for start in range(0, len(rows), _BLOCK):
        for value in texts[start : start + _BLOCK][column]:
            yield first_caption(value)
