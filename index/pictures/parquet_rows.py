"""The bytes of pictures in a Parquet file, by row."""

from __future__ import annotations

import threading
from bisect import bisect_right
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from index.errors import StoreError, reason
from index.text import sanitize

LARGEST_GROUP = 2_000_000_000
"""Bytes of a group of rows, which is read whole."""

_PICTURES = ("image", "jpg", "jpeg", "png", "webp", "img", "picture", "image_bytes", "bytes")
_lock = threading.Lock()  # several threads want rows of the same group, which is to be read once


class ParquetFile(Protocol):
    """What is used of a `pyarrow.parquet.ParquetFile`."""

    metadata: Any
    schema_arrow: Any

    def iter_batches(self, *, columns: list[str]) -> Any: ...

    def read_row_group(self, number: int, *, columns: list[str]) -> Any: ...


def open_parquet(path: str | Path) -> ParquetFile:
    """A Parquet file, by its description alone; for one thread.

    Raises:
        StoreError: pyarrow is not installed, or the file can't be read.
    """
    name = sanitize(str(path))
    if find_spec("pyarrow") is None:
        hint = 'Install it: pip install "fromage-lite[datasets]"'
        raise StoreError(f"{name} is a Parquet file, which needs pyarrow.", hint)
    try:
        file: ParquetFile = import_module("pyarrow.parquet").ParquetFile(path, memory_map=True)
        return file
    except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
        raise StoreError(f"{name} is no readable Parquet file: {reason(error)}.", "Fetch it again.") from error


def picture_column(path: str | Path) -> str:
    """The first column that can hold encoded pictures: bytes of a usual name, or a struct with the field `bytes`.

    Raises:
        StoreError: there is none, or the file can't be read.
    """
    schema = open_parquet(path).schema_arrow
    types = import_module("pyarrow.types")
    for field in schema:
        is_struct = types.is_struct(field.type) and any(part.name == "bytes" for part in field.type)
        is_bytes = types.is_binary(field.type) or types.is_large_binary(field.type)
        if is_struct or (is_bytes and field.name.lower() in _PICTURES):
            return str(field.name)
    columns = sanitize(", ".join(schema.names))
    raise StoreError(f"{sanitize(str(path))} has no column of pictures, but {columns}.")


def parquet_value(path: str | Path, column: str, row: int) -> Any:
    """What a row has in a column: bytes, a dictionary or None.

    Raises:
        KeyError: there is no such row or column.
        StoreError: the file can't be read.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        raise StoreError(f"{sanitize(str(path))} can't be read: {reason(error)}.") from error
    version = (str(path), status.st_size, status.st_mtime_ns)  # a changed file is another one
    with _lock:
        file = _opened(*version)
    metadata = file.metadata
    starts = [0, *accumulate(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))]
    if not 0 <= row < starts[-1] or column not in file.schema_arrow.names:
        raise KeyError(row)
    number = bisect_right(starts, row) - 1
    name = sanitize(str(path))
    if metadata.row_group(number).total_byte_size > LARGEST_GROUP:
        raise StoreError(f"{name} has groups of rows that are too large.", "Write it again with smaller row groups.")
    try:
        with _lock:
            values = _group(*version, column, number)
        return values[row - starts[number]].as_py()
    except (OSError, ValueError) as error:
        raise StoreError(f"{name} is damaged at row {row:,}: {reason(error)}.", "Fetch it again.") from error


@lru_cache(maxsize=4)
def _opened(path: str, size: int, mtime_ns: int) -> ParquetFile:
    return open_parquet(path)


@lru_cache(maxsize=2)
def _group(path: str, size: int, mtime_ns: int, column: str, number: int) -> Any:
    return _opened(path, size, mtime_ns).read_row_group(number, columns=[column]).column(0)
