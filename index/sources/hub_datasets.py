"""Pictures of data sets that Hugging Face's `datasets` streams by their name, without a copy on disk."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from index.errors import StoreError, reason
from index.pictures.containers import encoded_picture
from index.sources.readers import FILES_AT_ONCE, PictureFile
from index.sources.saved_datasets import CAPTIONS, first_caption
from index.text import sanitize

SCHEME = "hf://datasets/"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Stream(Protocol):
    """What is used of a `datasets.IterableDataset`."""

    features: dict[str, Any] | None
    info: Any

    def __iter__(self) -> Iterator[dict[str, Any]]: ...

    def cast_column(self, column: str, feature: Any) -> Stream: ...

    def select_columns(self, columns: list[str]) -> Stream: ...


def is_dataset_name(path: Path) -> bool:
    """Whether what a person named can be the name of a data set, `owner/name`, and is nothing on this computer."""
    return bool(_NAME.fullmatch(str(path))) and not path.exists() and not path.parent.exists()


class HubReader:
    """The rows of a data set with a column of pictures, streamed: each run asks for all rows from the first one on, and
    keeps of a picture only the small one in the index.

    The first column of the type `Image` is read; captions come from the columns that `DatasetReader` knows. A picture
    is named `hf://datasets/owner/name/split#image:12`.

    Args:
        name: of the data set, as `datasets.load_dataset` takes it.
        split: of its splits.

    Raises:
        StoreError: `datasets` is not installed, there is no such data set or split, no network, or no column of
            pictures.
    """

    at_once = FILES_AT_ONCE

    def __init__(self, name: str, split: str) -> None:
        self.name, self.split = name, split
        self._place = f"{SCHEME}{name}/{split}"
        if find_spec("datasets") is None:
            hint = 'Install it: pip install "fromage-lite[datasets]"'
            raise StoreError(f"{sanitize(name)} is a data set of Hugging Face's, which needs `datasets`.", hint)
        self._rows = _opened(name, split)
        self._column = _picture_column(self._rows, name)

    def __len__(self) -> int:
        splits = self._rows.info.splits or {}
        known = splits.get(self.split) if isinstance(splits, dict) else None
        return int(known.num_examples or 0) if known is not None else 0

    def __iter__(self) -> Iterator[PictureFile]:
        features = self._rows.features or {}
        caption = next((name for name in CAPTIONS if name in features), None)
        image = import_module("datasets").Image(decode=False)
        rows = self._rows.cast_column(self._column, image)
        rows = rows.select_columns([self._column, *([caption] if caption else [])])
        number = -1
        try:
            for number, row in enumerate(rows):
                source = f"{self._place}#{self._column}:{number}"
                picture = row[self._column]
                words = first_caption(row[caption]) if caption else ""
                # No stamp: only its bytes tell a row from one that has taken its place.
                yield PictureFile(source, words, read=partial(encoded_picture, picture, source))
        except Exception as error:  # as in `_opened`
            problem = f"the data set can't be read on after {number + 1:,} rows: {reason(error)}"
            yield PictureFile(self._place, problem=problem, cause="broken off")

    def covers(self, source: str) -> bool:
        """Never: a stream that broke off does not mean that a picture is gone."""
        return False


def _opened(name: str, split: str) -> Stream:
    datasets = import_module("datasets")
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)  # what it says of each of its retries is in the error at the end
    try:
        rows: Stream = datasets.load_dataset(name, split=split, streaming=True)
        return rows
    except Exception as error:  # of the data set's files and of the network: nearly every type
        hint = "Check its name and --split, and the network."
        here = "" if Path(name).exists() else f"There is no folder {sanitize(name)} here, and "
        what = f"{here}the data set {sanitize(name)} ({sanitize(split)}) can't be had: {sanitize(reason(error))}."
        raise StoreError(what[:1].upper() + what[1:], hint) from error
    finally:
        logger.setLevel(level)


def _picture_column(rows: Stream, name: str) -> str:
    features = rows.features or {}
    for column, feature in features.items():
        if type(feature).__name__ == "Image":
            return column
    columns = sanitize(", ".join(features)) or "nothing that it tells beforehand"
    raise StoreError(f"The data set {sanitize(name)} has no column of pictures, but {columns}.", "Name another one.")
