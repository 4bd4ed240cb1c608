"""Foreign JSON with types: a value that knows where it stands in its file, so that a fault can be named."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from fromage_lite.errors import DataError
from fromage_lite.text.marks import without_marks
from index.errors import reason

LARGEST = 2 << 30
"""Bytes of a file that is read whole. VQA v2's training annotations, the largest of all published ones, have 0.4 GB."""
_LONGEST_KEY = 60


@dataclass(frozen=True)
class Node:
    """A value of a JSON file.

    Attributes:
        value: as `json` has it.
        file: where it stands, for messages.
        place: the keys that lead to it, such as `annotations[3].caption`.
    """

    value: object
    file: Path
    place: str = ""

    def __getitem__(self, key: str) -> Node:
        """The value of a key.

        Raises:
            DataError: this is no object, or it has no such key.
        """
        found = self.get(key)
        if found is None:
            self._fail(f"has no {key}")
        return found

    def get(self, key: str) -> Node | None:
        """The value of a key; None where it is missing or null.

        Raises:
            DataError: this is no object.
        """
        if not isinstance(self.value, dict):
            self._fail("is no object")
        value = self.value.get(key)
        return None if value is None else Node(value, self.file, f"{self.place}.{key}".lstrip("."))

    def items(self) -> Iterator[Node]:
        """The values of a list.

        Raises:
            DataError: this is no list.
        """
        if not isinstance(self.value, list):
            self._fail("is no list")
        for number, value in enumerate(self.value):
            yield Node(value, self.file, f"{self.place}[{number}]")

    def pairs(self) -> Iterator[tuple[str, Node]]:
        """The keys and values of an object.

        Raises:
            DataError: this is none.
        """
        if not isinstance(self.value, dict):
            self._fail("is no object")
        for key, value in self.value.items():
            yield key, Node(value, self.file, f"{self.place}.{key[:_LONGEST_KEY]}".lstrip("."))

    def text(self) -> str:
        """A text on one line, from which no special token can be made.

        Raises:
            DataError: this is none.
        """
        if not isinstance(self.value, str):
            self._fail("is no text")
        return " ".join(without_marks(self.value).split())

    def id(self) -> str:
        """A text or a whole number, as text.

        Raises:
            DataError: this is neither.
        """
        if isinstance(self.value, bool) or not isinstance(self.value, (str, int)):
            self._fail("is neither a text nor a whole number")
        return str(self.value).strip()

    def integer(self, least: int = 0, below: int | None = None) -> int:
        """A whole number from `least` on, and less than `below`.

        Raises:
            DataError: this is none, or out of range.
        """
        value = self.value
        if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self._fail("is no whole number")
        if value < least or (below is not None and value >= below):
            self._fail(f"is {str(value)[:20]}, which is out of range")
        return value

    def number(self) -> float:
        """A finite number.

        Raises:
            DataError: this is none.
        """
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)) or not math.isfinite(self.value):
            self._fail("is no finite number")
        return float(self.value)

    def _fail(self, fault: str) -> NoReturn:
        raise DataError(f"{self.file}: {self.place or 'the file'} {fault}.")


def read_json(path: str | Path) -> Node:
    """A JSON file.

    Raises:
        DataError: it is missing, too large, or no JSON.
    """
    file = Path(path).expanduser()
    try:
        size = file.stat().st_size
        if size > LARGEST:
            raise DataError(f"{file} has {size / 1e9:.1f} GB, more than any data set of captions or questions.")
        return Node(json.loads(file.read_bytes()), file)
    except FileNotFoundError:
        raise DataError(f"There is no file {file}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} can't be read: {reason(error)}.") from error
