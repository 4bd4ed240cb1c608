"""Pictures inside other files: the members of a tar, the rows of a Parquet file or a saved data set.

A picture's place is written `CONTAINER#NAME`: `/data/00003.tar#000030012.jpg`, `/data/birds/train#image:12`. The name
is percent-encoded, so that it has no slash: whatever a tar calls its members, no program takes the place for a path
elsewhere.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote

from index.errors import ImageError, StoreError, reason
from index.pictures.parquet_rows import parquet_value
from index.text import sanitize

TAR = ".tar"
PARQUET = ".parquet"
DATASET_STATE = "state.json"  # in a folder that `datasets.Dataset.save_to_disk` wrote
MOST_BYTES = 500_000_000
"""Of one picture inside a container: it is read whole."""

_BLOCK = tarfile.BLOCKSIZE
_LONGEST_STATE = 10_000_000  # bytes


class Rows(Protocol):
    """What is used of a `datasets.Dataset`."""

    column_names: list[str]
    features: dict[str, Any]

    def __len__(self) -> int: ...

    def __getitem__(self, rows: int | slice) -> Any: ...

    def with_format(self, kind: str | None) -> Rows: ...

    def select_columns(self, columns: list[str]) -> Rows: ...


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file inside a tar: its name there, and where its bytes are."""

    name: str
    offset: int
    size: int


def place_inside(container: str | Path, name: str) -> str:
    """How a picture inside a container is called: `CONTAINER#NAME`."""
    return f"{container}#{quote(name, safe=':', errors='surrogateescape')}"


def split_place(source: str) -> tuple[str, str] | None:
    """(container, name) of a picture inside a container, as it is written; None for every other source.

    Only the form is looked at: whether the container is there, and has it, is another question.
    """
    container, mark, name = source.rpartition("#")
    if not mark or not name or "/" in name or not container.startswith("/" if os.name == "posix" else ""):
        return None
    column, colon, row = unquote(name).rpartition(":")
    if container.lower().endswith(TAR) or (colon and column and row.isascii() and row.isdigit()):
        return container, unquote(name, errors="surrogateescape")
    return None


def picture_name(source: str) -> str:
    """The last part of a path, or the name inside a container."""
    place = split_place(source)
    return os.path.basename(place[1] if place else source)  # noqa: PTH119


def container_of(source: str) -> str:
    """The file or folder that must be there for a source to be read."""
    place = split_place(source)
    return place[0] if place and not os.path.lexists(source) else source


def read_inside(source: str) -> bytes | None:
    """The bytes of a picture inside a container; None if the source is no such place, or its container is gone.

    Raises:
        ImageError: the container is damaged, or has no such picture.
    """
    place = split_place(source)
    if place is None or not os.path.exists(place[0]):  # noqa: PTH110
        return None
    container, name = place
    try:
        if os.path.isdir(container) or container.lower().endswith(PARQUET):  # noqa: PTH112
            column, _, row = name.rpartition(":")
            return read_row(container, column, int(row))
        status = os.stat(container)  # noqa: PTH116
        member = _members(container, status.st_size, status.st_mtime_ns).get(name)
    except StoreError as error:
        raise ImageError(error.message, error.hint) from error
    except (OSError, ValueError) as error:
        raise ImageError(f"{sanitize(source)} can't be read: {reason(error)}.", cause=reason(error)) from error
    if member is None:
        raise ImageError(f"There is no {sanitize(name)} in {sanitize(container)}.", cause="missing")
    return read_member(container, member)


def stamp_of(source: str) -> tuple[int, int] | None:
    """Size in bytes and mtime in ns of a picture's file, by which a changed one is told; None if it is not there.

    For one in a tar, its own size and the tar's date; for one in a data set, those of the file that describes it.
    """
    try:
        status = os.stat(source)  # noqa: PTH116
        return status.st_size, status.st_mtime_ns
    except (OSError, ValueError):
        place = split_place(source)
    if place is None:
        return None
    container, name = place
    try:
        if os.path.isdir(container) or container.lower().endswith(PARQUET):  # noqa: PTH112
            return container_stamp(container)
        status = os.stat(container)  # noqa: PTH116
        member = _members(container, status.st_size, status.st_mtime_ns).get(name)
    except (OSError, ValueError, StoreError):
        return None
    return (member.size, status.st_mtime_ns) if member else None


def container_stamp(container: str | Path) -> tuple[int, int]:
    """Size in bytes and mtime in ns of a tar, or of the file that describes a saved data set.

    Raises:
        OSError: it is missing.
    """
    path = Path(container)
    status = (path / DATASET_STATE if path.is_dir() else path).stat()
    return status.st_size, status.st_mtime_ns


# --- tars ---


def tar_members(path: str | Path) -> Iterator[Member]:
    """The regular files of a tar, in order, read by its headers alone: nothing is unpacked, links are passed over.

    Raises:
        StoreError: it can't be read, is compressed or no tar, or ends early: after the members that are whole.
    """
    name, count = sanitize(str(path)), 0
    try:
        with tarfile.open(path, "r:") as tar:
            end = os.path.getsize(path)  # noqa: PTH202
            for header in tar:
                if header.isreg() and not header.issparse():
                    if header.offset_data + header.size > end:
                        raise tarfile.ReadError("unexpected end of data")
                    count += 1
                    yield Member(header.name, header.offset_data, header.size)
                # tarfile remembers every header, which is most of the memory of a large shard.
                tar.members = []  # type: ignore[attr-defined]  # documented by its long use alone
            rest = _block_at(path, tar.offset)
    except tarfile.TarError as error:
        hint = "A compressed one must be unpacked first (gunzip)." if not count else "Fetch it again."
        raise StoreError(f"{name} is no readable tar after {count:,} files: {reason(error)}.", hint) from error
    except OSError as error:
        raise StoreError(f"{name} can't be read: {reason(error)}.") from error
    if rest.strip(b"\0"):  # for tarfile a damaged header is an end like any other
        raise StoreError(f"{name} is damaged after {count:,} files.", "Fetch it again.")


def read_member(path: str | Path, member: Member) -> bytes:
    """The bytes of a file in a tar.

    Raises:
        ImageError: it is too large, or the tar can't be read or ends before.
    """
    where = sanitize(place_inside(path, member.name))
    if member.size > MOST_BYTES:
        raise ImageError(f"{where} is too large ({member.size / 1e6:,.0f} MB).", cause="too large")
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            file.seek(member.offset)
            data = file.read(member.size)
    except OSError as error:
        raise ImageError(f"{where} can't be read: {reason(error)}.", cause=reason(error)) from error
    if len(data) < member.size:
        raise ImageError(f"{where} is truncated.", cause="truncated")
    return data


def _block_at(path: str | Path, offset: int) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123
        file.seek(offset)
        return file.read(_BLOCK)


@lru_cache(maxsize=4)
def _members(path: str, size: int, mtime_ns: int) -> dict[str, Member]:
    """A tar's files by name, of equal names the first: size and date make a changed tar another one."""
    found: dict[str, Member] = {}
    try:
        for member in tar_members(path):
            found.setdefault(member.name, member)
    except StoreError:
        if not found:
            raise
    return found


# --- rows ---


def read_row(container: str | Path, column: str, row: int) -> bytes:
    """The encoded picture in a row of a Parquet file, or of a data set that Hugging Face's `datasets` saved.

    Raises:
        ImageError: there is no such row, it has no picture, or the file or data set can't be read.
    """
    where = sanitize(place_inside(container, f"{column}:{row}"))
    try:
        if Path(container).is_dir():
            rows = open_dataset(str(container), container_stamp(container)[1])
            if column not in rows.column_names or row >= len(rows):
                raise KeyError(row)
            value = rows.with_format("arrow")[row][column][0].as_py()
        else:
            value = parquet_value(container, column, row)
    except KeyError:
        raise ImageError(f"There is no {where}.", cause="missing") from None
    except StoreError as error:
        raise ImageError(error.message, error.hint, "damaged") from error
    except Exception as error:  # whatever a damaged Arrow file raises
        raise ImageError(f"{where} can't be read: {reason(error)}.", cause="damaged") from error
    return encoded_picture(value, where)


def encoded_picture(value: object, where: str) -> bytes:
    """The bytes of a picture as Hugging Face's data sets keep it: the bytes, or a dictionary of them and a path.

    Raises:
        ImageError: there are none; `where` is named in it.
    """
    data = value.get("bytes") if isinstance(value, dict) else value
    if isinstance(data, bytes):
        return data
    if isinstance(value, dict) and value.get("path"):
        # A path out of data could name any file of this computer.
        hint = "Save it with its pictures embedded (save_to_disk of a current `datasets`)."
        raise ImageError(f"{where} is only the path of a file elsewhere.", hint, "only a path")
    raise ImageError(f"{where} is empty.", cause="empty")


@lru_cache(maxsize=4)
def open_dataset(folder: str, mtime_ns: int) -> Rows:
    """A data set, memory-mapped: a `datasets.Dataset`. `mtime_ns` of `container_stamp` makes a changed one another one.

    Raises:
        StoreError: the library is missing, or the data set damaged.
    """
    name = sanitize(folder)
    if find_spec("datasets") is None:
        raise StoreError(
            f"{name} is a data set of Hugging Face's `datasets`, which is not installed.",
            'Install it: pip install "fromage-lite[datasets]"',
        )
    try:
        with (Path(folder) / DATASET_STATE).open("rb") as file:
            files = [str(entry["filename"]) for entry in json.loads(file.read(_LONGEST_STATE))["_data_files"]]
        if any(os.path.basename(file) != file or file in ("", ".", "..") for file in files):  # noqa: PTH119
            raise StoreError(f"{name} is refused: its {DATASET_STATE} names files outside of the folder.")
        rows: Rows = import_module("datasets").load_from_disk(folder)
        return rows
    except StoreError:
        raise
    except Exception as error:  # JSON, Arrow and `datasets` raise nearly every type
        raise StoreError(f"{name} is a damaged data set: {reason(error)}.", "Save it again.") from error
