"""Tables of captions as people have them: Google's plain lines, and what spreadsheets and pandas write.

A row is `caption<TAB>image`, or a web address alone. What can't be read without guessing is refused, with its line and
the reason.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from index.errors import StoreError, reason
from index.pictures.images import is_picture_name, is_url

LONGEST_LINE = 1_000_000
"""Characters; a file without line ends must not fill the memory."""
LONGEST_CELL = 100
"""Lines of a quoted cell; further on its closing quotation mark is not looked for."""

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins alike
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_IMAGE_NAMES = ("image", "url", "image_url")
_CAPTION_NAMES = ("caption", "text")
_SNIFFED = 1 << 16  # bytes
_OPENED = r'"[^"]*(?:""[^"]*)*'  # a quotation mark and what it encloses; a doubled mark inside stands for one
_QUOTED = re.compile(rf'{_OPENED}"(?=\t|\Z)')
_UNCLOSED = re.compile(rf"{_OPENED}\Z")
_CELL = rf'(?:{_OPENED}"(?=[\t\r\n]|\Z)|[^\t\r\n]*)'
_FIRST_ROW = re.compile(rf"{_CELL}(?:\t{_CELL})*")
_CR = re.compile(r"\r(?!\r*\n)")  # CR CR LF is what Windows makes of CR LF
_LINE_BREAK = re.compile("\r\n?|\n")
_ZEROS = "it holds zero bytes, as UTF-16 without a byte order mark does; save it as UTF-8"
_UNDECODED = re.compile("[\udc80-\udcff]")  # a byte that is no UTF-8, as `surrogateescape` writes it


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table.

    Attributes:
        line: the number of its first line, from 1.
        caption: its quotation marks taken off; may have tabs, and line breaks as `\\n`.
        image: the name of a file.
        problem: why it can't be used; empty if it can.
    """

    line: int
    caption: str = ""
    image: str = ""
    problem: str = ""


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a table, streamed; blank lines and the heading are left out.

    Cells may be quoted as spreadsheets and pandas do it: marks inside are doubled, and tabs and line breaks may stand
    between them. A mark in a cell that is not quoted as a whole (`a 12" pizza`) is a character like any other. A
    heading with the names `caption` and `image` (or `text`; `url`, `image_url`) says where they stand; without one the
    image is the last cell, and the caption all before it; or the first, where that alone is a web address, as in CC12M.
    A line that is nothing but a web address has no caption. Lines end in LF, CR LF or CR. The encoding is UTF-8, or
    UTF-16 or UTF-32 with their byte order marks.

    Raises:
        StoreError: the file can't be read.
    """
    try:
        encoding, newline = _dialect(path)
        # Without an exception, which would end the table: a bad byte spoils one row.
        errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
        with path.open(encoding=encoding, errors=errors, newline=newline) as file:
            yield from _rows(_Lines(file, encoding, newline))
    except OSError as error:
        raise StoreError(f"{path} can't be read: {reason(error)}.") from error


def decode(data: bytes, is_whole: bool = True) -> str:
    """The text of a small file, by its byte order mark, else as UTF-8; its lines end in `\\n`.

    Args:
        data: the file's bytes.
        is_whole: false if they are its beginning alone, which may end within a character.

    Raises:
        ValueError: it is not in that encoding; the text says why.
    """
    encoding = _encoding(data)
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data, final=is_whole)
    except UnicodeDecodeError as error:
        raise ValueError(_not_in(encoding, f"byte 0x{error.object[error.start]:02X}")) from error
    if "\0" in text:
        raise ValueError(_ZEROS)
    return _LINE_BREAK.sub("\n", text)


def _encoding(start: bytes) -> str:
    return next((name for mark, name in _BYTE_ORDER_MARKS if start.startswith(mark)), "utf-8")


def _not_in(encoding: str, where: str) -> str:
    return f"it is not {encoding.removesuffix('-sig').upper()} ({where}); save it as UTF-8"


def _dialect(path: Path) -> tuple[str, str]:
    """The encoding, and what ends the first row: line breaks inside its quoted cells don't."""
    with path.open("rb") as file:
        start = file.read(_SNIFFED)
    encoding = _encoding(start)
    text = start.decode(encoding, "replace")
    first = _FIRST_ROW.match(text)
    is_mac = first is not None and _CR.match(text, first.end())
    return encoding, "\r" if is_mac else "\n"


class _Lines:
    """The numbered lines of a file without their ends; lines that were looked at may be put back."""

    def __init__(self, file: TextIO, encoding: str, newline: str) -> None:
        self.encoding = encoding
        self._file, self._newline = file, newline
        self._number = 0
        self._waiting: deque[tuple[int, str]] = deque()

    def __iter__(self) -> Iterator[tuple[int, str]]:
        while True:
            if self._waiting:
                yield self._waiting.popleft()
                continue
            line = self._file.readline(LONGEST_LINE)
            if not line:
                return
            self._number += 1
            piece = line
            while len(piece) == LONGEST_LINE and not piece.endswith(self._newline):
                piece = self._file.readline(LONGEST_LINE)
            # A byte order mark stands inside where files were joined.
            yield self._number, line.removeprefix("\ufeff").removesuffix(self._newline).rstrip("\r")

    def put_back(self, lines: list[tuple[int, str]]) -> None:
        self._waiting.extendleft(reversed(lines))


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where caption and image stand, and how many cells a row has."""

    caption: int
    image: int
    count: int


class _BadRow(Exception):
    """Its text says why."""


def _rows(lines: _Lines) -> Iterator[Row]:
    columns: _Columns | None = None
    is_first = True
    for number, line in lines:
        if not line.strip():
            continue
        try:
            cells = _cells(line, lines)
            if is_first and _is_heading(cells):
                columns = _columns(cells)
            else:
                caption, image = _caption_and_image(cells, columns)
                yield Row(number, caption, image)
        except _BadRow as problem:
            yield Row(number, problem=str(problem))
        is_first = False


def _is_heading(cells: list[str]) -> bool:
    names = [cell.strip().lower() for cell in cells]
    images = sum(name in _IMAGE_NAMES for name in names)
    return images == 1 and (len(names) == 1 or sum(name in _CAPTION_NAMES for name in names) == 1)


def _columns(heading: list[str]) -> _Columns | None:
    """None for the plain forms, in which a caption may have tabs."""
    names = [cell.strip().lower() for cell in heading]
    image = next(column for column, name in enumerate(names) if name in _IMAGE_NAMES)
    caption = next((column for column, name in enumerate(names) if name in _CAPTION_NAMES), None)
    return None if caption is None or (image, len(names)) == (1, 2) else _Columns(caption, image, len(names))


def _caption_and_image(cells: list[str], columns: _Columns | None) -> tuple[str, str]:
    if columns is None:
        image = cells[-1].strip()
        if len(cells) == 1 and is_url(image):
            return "", image
        if is_url(cells[0]) and not is_url(image) and not is_picture_name(image):
            return "\t".join(cells[1:]), cells[0].strip()
        caption = "\t".join(cells[:-1])
    elif len(cells) != columns.count:
        raise _BadRow(f"it has {len(cells)} columns, but the heading {columns.count}")
    else:
        caption, image = cells[columns.caption], cells[columns.image].strip()
    if len(cells) < 2 or not image:
        raise _BadRow("it is not a line `caption<TAB>image`")
    return caption, image


def _cells(line: str, lines: _Lines) -> list[str]:
    """The cells of a row that begins with `line`; takes further lines if a quoted cell goes on there."""
    _check_text(line, lines.encoding)
    if '"' not in line:
        if _LINE_BREAK.search(line):
            raise _BadRow("a line break of another kind stands in it; quote the cell")
        return line.split("\t")
    cells = _split(line)
    return cells if cells is not None else _continued(line, lines)


def _check_text(line: str, encoding: str) -> None:
    if len(line) >= LONGEST_LINE:
        raise _BadRow("it is too long to be a row")
    if "\0" in line:
        raise _BadRow(_ZEROS)
    if line.isascii():
        return
    if match := _UNDECODED.search(line):
        raise _BadRow(_not_in(encoding, f"byte 0x{ord(match[0]) - 0xDC00:02X}"))
    if "\ufffd" in line and not encoding.startswith("utf-8"):
        raise _BadRow(_not_in(encoding, "bytes that mean nothing"))


def _split(text: str) -> list[str] | None:
    """The cells of a row; None if the last one is quoted and not closed."""
    cells = []
    start = 0
    while True:
        if match := _QUOTED.match(text, start):
            cells.append(_LINE_BREAK.sub("\n", match[0][1:-1].replace('""', '"')))
            end = match.end()
        elif text.startswith('"', start) and _UNCLOSED.match(text, start):
            return None
        else:
            tab = text.find("\t", start)
            end = tab if tab >= 0 else len(text)
            if _LINE_BREAK.search(text, start, end):
                raise _BadRow("a line break of another kind stands in it; quote the cell")
            cells.append(text[start:end])
        if end == len(text):
            return cells
        start = end + 1


def _continued(line: str, lines: _Lines) -> list[str]:
    """The cells of a row over several lines; if it can't be one, only its first line is refused."""
    text, taken = line, []
    if not _looks_whole(line):
        for number, following in islice(lines, LONGEST_CELL):
            taken.append((number, following))
            text = f"{text}\n{following}"
            try:
                _check_text(text, lines.encoding)
                if cells := _split(text):
                    return cells
            except _BadRow:
                break
            if _looks_whole(following):
                break
    lines.put_back(taken)
    raise _BadRow("its quotation mark is not closed")


def _looks_whole(line: str) -> bool:
    """Whether a line ends in a cell that names a picture, as rows do and lines inside a cell don't."""
    _, tab, image = line.rpartition("\t")
    return bool(tab) and ("://" in image or is_picture_name(image.strip()))
