"""Which pictures may be found at all: by folder, date, size, shape and the words of their captions."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from index.errors import FilterError
from index.pictures.images import is_url
from index.store.dates import period
from index.text import one_line

ORIENTATIONS = {"landscape": "width > height", "portrait": "width < height", "square": "width = height"}

Clause = tuple[str, list[Any]]
"""An SQL condition on a row, and its parameters."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(px|mp|b|kb|mb|gb)?", re.IGNORECASE)
_BOX = re.compile(r"(\d+) ?[x×] ?(\d+)", re.IGNORECASE)  # noqa: RUF001
_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_WORD = re.compile(r"\w+\*?")
_UNSURE = re.compile("[^a-z0-9]+|ss")
_MOST = 2**62  # SQLite's numbers end there; no picture is as large


@dataclass(frozen=True)
class Filters:
    """What a picture must have, as it was typed; an empty text asks for nothing. All of it must hold, exactly.

    Attributes:
        folder: a path (`/home/me/Pictures`, `~/Pictures`, `./2024`) or the start of a web address: everything below
            it; or a folder's name (`holiday`, `2024/holiday`): everything below a folder that is called so. A tar
            counts as a folder.
        date: a year, month or day (`index.store.dates.period`) in which it was taken.
        after: likewise: taken then or later.
        before: likewise: taken before that began.
        caption: words that its caption has, in any order, as whole words whatever their case; `sun*` is every word
            that begins so.
        min_size: `1000` or `1000px` (longer side), `1920x1080` (upright or lying), `2mp` (million pixels), or `500kb`,
            `2mb` (its file); a picture whose size isn't known passes neither.
        max_size: likewise.
        orientation: `landscape`, `portrait` or `square`.

    A date is that of the camera's clock; for a picture without one it is when the file was changed, in local time.

    Raises:
        FilterError: a value can't be understood.
    """

    folder: str = ""
    date: str = ""
    after: str = ""
    before: str = ""
    caption: str = ""
    min_size: str = ""
    max_size: str = ""
    orientation: str = ""

    def __post_init__(self) -> None:
        for _ in self.clauses():
            pass

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def to_dict(self) -> dict[str, str]:
        """What is asked for, as plain JSON data."""
        values = {field.name: str(getattr(self, field.name)) for field in fields(self)}
        return {name: value for name, value in values.items() if value}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Filters:
        """The inverse of `to_dict`.

        Raises:
            FilterError: the data has another form.
        """
        known = {field.name for field in fields(cls)}
        for name, value in data.items():
            if name not in known or not isinstance(value, str):
                raise FilterError(f"There is no filter {one_line(str(name), 40)!r} of this kind.")
        return cls(**data)

    def clauses(self) -> Iterator[Clause]:
        """Conditions of SQL on the columns of `rows`, which SQLite can answer with its indexes where there are any.

        Raises:
            FilterError: a value can't be understood.
        """
        if self.folder:
            yield _folder(self.folder.strip())
        yield from self._dates()
        if self.caption:
            yield _caption(self.caption)
        if self.min_size:
            yield _size(self.min_size, ">=")
        if self.max_size:
            yield _size(self.max_size, "<=")
        if self.orientation:
            yield _orientation(self.orientation), []

    def passes_caption(self, caption: str) -> bool:
        """Whether a caption has the words that are asked for; `clauses` can't tell where a word ends."""
        found = {word.rstrip("*") for word in _words(caption)}
        return all(
            any(word.startswith(asked[:-1]) for word in found) if asked.endswith("*") else asked in found
            for asked in _words(self.caption)
        )

    def _dates(self) -> Iterator[Clause]:
        starts, ends = [], []
        if self.date:
            start, end = period(self.date)
            starts.append(start)
            ends.append(end)
        if self.after:
            starts.append(period(self.after)[0])
        if self.before:
            ends.append(period(self.before)[0])
        if starts or ends:
            yield _between(max(starts, default=None), min(ends, default=None))


def _folder(folder: str) -> Clause:
    if is_url(folder):
        return _prefixed(folder)
    if folder.startswith(("/", "~")) or folder.split("/")[0] in (".", ".."):
        path = os.path.abspath(os.path.expanduser(folder)).rstrip("/")  # noqa: PTH100, PTH111
        inside, in_tar = _prefixed(path + "/"), _prefixed(path + "#")
        return f"({inside[0]} OR {in_tar[0]})", [*inside[1], *in_tar[1]]
    if not (name := folder.strip("/")):
        raise FilterError("The folder has no name.", "Name one: folder:holiday")
    patterns = [f"%/{_escaped(name)}{end}%" for end in "/#"]
    return "('/' || source LIKE ? ESCAPE '\\' OR '/' || source LIKE ? ESCAPE '\\')", patterns


def _prefixed(start: str) -> Clause:
    # A range, which the index of the sources answers; the end is the first text that doesn't begin so.
    return "(source >= ? AND source < ?)", [start, start[:-1] + chr(ord(start[-1]) + 1)]


def _escaped(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


def _between(start: datetime | None, end: datetime | None) -> Clause:
    taken, modified, dates, times = ["taken IS NOT NULL"], ["taken IS NULL"], [], []
    for sign, date in ((">=", start), ("<", end)):
        if date is not None:
            taken.append(f"taken {sign} ?")
            modified.append(f"file_mtime_ns {sign} ?")
            dates.append(date.isoformat())
            times.append(_nanoseconds(date))
    return f"(({' AND '.join(taken)}) OR ({' AND '.join(modified)}))", [*dates, *times]


def _nanoseconds(date: datetime) -> int:
    try:
        return int(date.timestamp()) * 10**9
    except (OverflowError, OSError, ValueError):  # beyond what the machine's calendar has
        return -_MOST if date.year < 2000 else _MOST


def _caption(caption: str) -> Clause:
    if not (words := _words(caption)):
        raise FilterError("There is no word to look for in the captions.", "Say one: caption:beach")
    # Only narrows down: LIKE knows upper and lower case of ASCII alone, and nothing of words. ("ss" may be an "ß".)
    return " AND ".join(["caption LIKE ?"] * len(words)), [f"%{_UNSURE.sub('%', word)}%" for word in words]


def _words(text: str) -> set[str]:
    return set(_WORD.findall(unicodedata.normalize("NFC", text).casefold()))


def _size(text: str, sign: str) -> Clause:
    if match := _BOX.fullmatch(text.strip()):
        short, long = sorted(min(int(side), _MOST) for side in match.groups())
        return f"(min(width, height) {sign} ? AND max(width, height) {sign} ?)", [short, long]
    if match := _SIZE.fullmatch(text.strip()):
        number, unit = float(match[1]), (match[2] or "px").lower()
        if unit == "px":
            return f"max(width, height) {sign} ?", [min(number, _MOST)]
        if unit == "mp":
            return f"width * height {sign} ?", [min(number * 10**6, _MOST)]
        return f"coalesce(bytes, file_size) {sign} ?", [min(number * _UNITS[unit], _MOST)]
    raise FilterError(
        f"I can't read the size {one_line(text, 40)!r}.",
        "Write it as 1000 (longer side), 1920x1080, 2mp (million pixels) or 500kb.",
    )


def _orientation(text: str) -> str:
    if (condition := ORIENTATIONS.get(text.strip().lower())) is None:
        raise FilterError(f"There is no orientation {one_line(text, 40)!r}.", f"There are {', '.join(ORIENTATIONS)}.")
    return condition
