"""The way of a picture from its name to the encoder: its bytes are read and hashed, then opened and scaled down.

Each step runs in a pool of threads, some pictures ahead of what the encoder asks for, and keeps their order.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import TypeVar

from PIL import Image

from index.building.decoding import Decode, decode
from index.building.encoding import Prepared, unprepared
from index.errors import ImageError, reason
from index.pictures.containers import stamp_of
from index.pictures.facts import Facts
from index.pictures.images import is_url
from index.sources.readers import PictureFile
from index.text import sanitize

Prepare = Callable[[Image.Image], Prepared]
"""What an encoder wants to be done with a picture beforehand."""

LARGEST_HASHED = 1_000_000_000
"""Bytes of a file whose copies are recognised; a larger one is hardly a picture."""


_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Wanted:
    """A picture to embed; `replaces` is the row of its earlier version."""

    picture: PictureFile
    stamp: tuple[int, int] | None
    replaces: int | None


@dataclass(frozen=True)
class Read:
    """A picture whose bytes are known.

    Attributes:
        content: their SHA-256; b"" where it is not known.
        data: the bytes; None where the file is opened again.
        is_copy: whether a picture before it has the same bytes.
    """

    wanted: Wanted
    content: bytes
    data: bytes | None = None
    is_copy: bool = False


@dataclass(frozen=True)
class Loaded:
    """A picture for the encoder, an image or its pixels, and its facts; a copy has none."""

    read: Read
    picture: Prepared | None = None
    thumbnail: bytes = b""
    facts: Facts | None = None


def file_stamp(source: str) -> tuple[int, int] | None:
    """As `stamp_of`; None for a web address, which is not asked for a newer picture."""
    return None if is_url(source) else stamp_of(source)


def read_picture(wanted: Wanted) -> Read:
    """The picture's bytes, or only their hash for one in a file of its own.

    Raises:
        ImageError: they can't be had.
    """
    picture = wanted.picture
    if picture.read is None:
        return Read(wanted, _file_content(picture.source))
    data = picture.read()
    return Read(wanted, hashlib.sha256(data).digest(), data)


def _file_content(source: str) -> bytes:
    """SHA-256 of a file; b"" where it can't be read, which opening it will tell in words."""
    try:
        status = os.stat(source)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= LARGEST_HASHED:
            return b""
        with open(source, "rb") as file:  # noqa: PTH123
            return hashlib.file_digest(file, "sha256").digest()
    except (OSError, ValueError):
        return b""


def open_picture(read: Read, decode: Decode = decode, prepare: Prepare = unprepared) -> Loaded:
    """The picture, scaled down and prepared for the encoder, and its thumbnail; neither for a copy.

    Raises:
        ImageError: it can't be opened.
    """
    if read.is_copy:
        return Loaded(read)
    source = read.wanted.picture.source
    small, thumbnail, facts = decode(source, read.data)
    try:
        picture = prepare(small)
    except (OSError, ValueError, MemoryError) as error:
        raise ImageError(f"{sanitize(source)} can't be scaled down: {reason(error)}.", cause="too large") from error
    content = read.content
    if read.data is None and file_stamp(source) != read.wanted.stamp:  # it was being written to
        content = b""
    return Loaded(Read(read.wanted, content), picture, thumbnail, replace(facts, file_bytes=_size(read)))


def _size(read: Read) -> int | None:
    """Of the picture's file, in bytes; the stamp of one inside a container may be that of the container."""
    if read.data is not None:
        return len(read.data)
    return read.wanted.stamp[0] if read.wanted.stamp else None


def in_order(
    pool: Executor, work: Callable[[_Item], _Result], items: Iterator[_Item], count: int
) -> Iterator[tuple[_Item, Future[_Result]]]:
    """Each item with what the pool makes of it, in order; up to `count` are under way before they are asked for."""
    queue: deque[tuple[_Item, Future[_Result]]] = deque()
    for item in items:
        queue.append((item, pool.submit(work, item)))
        if len(queue) >= count:
            yield queue.popleft()
    while queue:
        yield queue.popleft()
