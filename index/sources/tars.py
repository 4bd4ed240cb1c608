"""Pictures in tars: WebDataset's shards, and those that img2dataset makes of a table of addresses."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from index.errors import ImageError, StoreError, reason
from index.pictures.containers import TAR, Member, container_stamp, place_inside, read_member, split_place, tar_members
from index.pictures.images import is_picture_name
from index.sources.readers import FILES_AT_ONCE, MOST_CAPTION_BYTES, PictureFile
from index.sources.tables import decode
from index.text import one_line, sanitize

LARGEST_JSON = 1_000_000
"""Bytes of a sample's metadata."""

_CAPTION_KEYS = ("caption", "text", "TEXT", "alt_text")
_SUCCESS = "success"  # in img2dataset's column `status`


class TarReader:
    """The pictures of tars, as WebDataset groups them: `000012.jpg`, `000012.txt`, `000012.json` are one sample.

    The tars are read as they are; nothing is unpacked. The caption is the text file's, else that of the JSON file.
    Where img2dataset left its table beside a shard (`00003.parquet`), what it could not fetch is reported with the
    cause; that takes pyarrow.

    Args:
        path: a tar, or a folder with tars directly in it.

    Raises:
        StoreError: there is no tar.
    """

    at_once = FILES_AT_ONCE

    def __init__(self, path: str | Path) -> None:
        self._root = Path(os.path.abspath(path))  # noqa: PTH100 (links stay as they are)
        self.paths = shards(self._root) if self._root.is_dir() else [self._root]
        if not self.paths or not all(path.is_file() for path in self.paths):
            raise StoreError(f"There is no tar at {path}.", "Name one, or a folder of them.")

    def __len__(self) -> int:
        """About how many there are: the first tar is counted, the others are taken to be like it."""
        try:
            first = sum(map(_is_picture, tar_members(self.paths[0])))
        except StoreError:
            first = 0
        sizes = [path.stat().st_size for path in self.paths]
        return round(first * sum(sizes) / max(sizes[0], 1))

    def __iter__(self) -> Iterator[PictureFile]:
        for path in self.paths:
            yield from self._shard(path)
            table = path.with_suffix(".parquet")
            if table.is_file() and find_spec("pyarrow") is not None:
                yield from _unfetched(table)

    def covers(self, source: str) -> bool:
        """True for what is in the tar, or in any of the folder: one that left takes its pictures along."""
        place = split_place(source)
        return place is not None and self._root in ((container := Path(place[0])), container.parent)

    def _shard(self, path: Path) -> Iterator[PictureFile]:
        sample: list[Member] = []
        mtime_ns, problem = 0, ""
        try:
            _, mtime_ns = container_stamp(path)
            for member in tar_members(path):
                if sample and _key(member.name) != _key(sample[0].name):
                    yield from _pictures(path, sample, mtime_ns)
                    sample = []
                sample.append(member)
        except StoreError as error:
            problem = f"it {error.message.removeprefix(sanitize(str(path))).strip(' .')}"
        except OSError as error:
            problem = f"it can't be read: {reason(error)}"
        yield from _pictures(path, sample, mtime_ns)
        if problem:
            yield PictureFile(str(path), problem=problem, cause="damaged tar")


def shards(folder: Path) -> list[Path]:
    """The tars directly in a folder, sorted by name, without hidden ones."""
    try:
        files = sorted(folder.iterdir())
    except OSError:
        return []
    return [file for file in files if file.suffix.lower() == TAR and not file.name.startswith(".") and file.is_file()]


def _key(name: str) -> str:
    """What the files of a sample share: the name up to the first dot of its last part."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _is_picture(member: Member) -> bool:
    # A Mac's tar keeps attributes of `cat.jpg` as `._cat.jpg`.
    return is_picture_name(member.name) and not member.name.rpartition("/")[2].startswith(".")


def _pictures(path: Path, sample: list[Member], mtime_ns: int) -> Iterator[PictureFile]:
    pictures = [member for member in sample if _is_picture(member)]
    if not pictures:
        return
    caption, problem = _caption(path, sample)
    for member in pictures:
        yield PictureFile(
            place_inside(path, member.name),
            caption,
            stamp=(member.size, mtime_ns),
            read=partial(read_member, path, member),
        )
    if problem:
        yield PictureFile(place_inside(path, pictures[0].name), problem=problem, cause="caption that can't be read")


def _caption(path: Path, sample: list[Member]) -> tuple[str, str]:
    """The caption of a sample, and what is wrong with it."""
    problem = ""
    for suffix in (".txt", ".caption", ".json"):
        for member in sample:
            if not member.name.lower().endswith(suffix):
                continue
            try:
                if caption := _text(path, member, suffix):
                    return caption, ""
            except (ImageError, ValueError, RecursionError) as error:
                problem = f"the caption can't be read: {reason(error)}"
    return "", problem


def _text(path: Path, member: Member, suffix: str) -> str:
    limit = LARGEST_JSON if suffix == ".json" else MOST_CAPTION_BYTES
    data = read_member(path, Member(member.name, member.offset, min(member.size, limit)))
    if suffix != ".json":
        return one_line(decode(data, is_whole=member.size <= limit))
    if member.size > limit:
        raise ValueError(f"{member.size:,} bytes of JSON")
    fields = json.loads(data)
    values = (fields.get(key) for key in _CAPTION_KEYS) if isinstance(fields, dict) else ()
    return next((one_line(value) for value in values if isinstance(value, str) and value), "")


def _unfetched(table: Path) -> Iterator[PictureFile]:
    """What img2dataset tells in a shard's table that it could not fetch."""
    columns = ["url", "status", "error_message"]
    try:
        for batch in import_module("pyarrow.parquet").ParquetFile(table).iter_batches(columns=columns):
            for row in batch.to_pylist():
                if row["status"] != _SUCCESS:
                    cause = one_line(str(row["error_message"] or row["status"]), 100)
                    yield PictureFile(str(row["url"]), problem=f"img2dataset could not fetch it: {cause}", cause=cause)
    except Exception as error:  # a damaged table, or one of another program: the pictures are what matters
        problem = f"it can't be read: {reason(error)}"
        yield PictureFile(str(table), problem=problem, cause="table of img2dataset that can't be read")
