"""Rows of a collection in Milvus: its fields, and which rows pass filters.

Milvus leaves out what it can; what is left passes through the very conditions that a store's rows pass, in SQLite, so
that filters mean the same everywhere.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from index.pictures.facts import Facts
from index.store.filters import Filters

ID, EMBEDDING, THUMBNAIL, CONTENT = "id", "embedding", "thumbnail", "content"
SOURCE, CAPTION, TAKEN, MODIFIED = "source", "caption", "taken", "file_mtime_ns"
NUMBERS = ("width", "height", "bytes", "phash", MODIFIED)
"""Fields that may be null. Names are those of the columns of a store's rows, which filters speak of."""
FACTS = (*NUMBERS, TAKEN, CONTENT)
FILTERED = (ID, SOURCE, CAPTION, "width", "height", "bytes", TAKEN, MODIFIED)
LONGEST_TEXT = 65_535  # bytes of a varchar

_WORDS = {"AND": "and", "OR": "or", "=": "==", "E": '""'}
_COMPARISON = re.compile(rf"(?:{SOURCE}|{TAKEN}|{MODIFIED}|width|height|AND|OR|E|>=|<=|[<>=?()]|\s)+")


def entity_of(facts: Facts) -> dict[str, Any]:
    """The facts' fields of an entity."""
    numbers = (facts.width, facts.height, facts.file_bytes, facts.phash, facts.modified_ns)
    content = facts.content.hex() if facts.content else ""
    return {**dict(zip(NUMBERS, numbers, strict=True)), TAKEN: facts.taken or "", CONTENT: content}


def facts_in(entity: dict[str, Any]) -> Facts:
    """The facts of an entity."""
    content = bytes.fromhex(entity[CONTENT]) or None
    width, height, file_bytes, phash, modified = (entity[name] for name in NUMBERS)
    return Facts(width, height, file_bytes, entity[TAKEN] or None, phash, modified, content)


def narrowed(filters: Filters) -> str:
    """Milvus' filter for what may pass; "" where nothing can be left out. What it lets through need not pass."""
    rules = (_rule(condition, values) for condition, values in filters.clauses())
    return " and ".join(f"({rule})" for rule in rules if rule)


def _rule(condition: str, values: list[Any]) -> str:
    # A picture without a date has an empty text in Milvus.
    condition = condition.replace(f"{TAKEN} IS NOT NULL", f"{TAKEN} > E").replace(f"{TAKEN} IS NULL", f"{TAKEN} = E")
    if not _COMPARISON.fullmatch(condition):
        return ""
    literals = iter(json.dumps(value, ensure_ascii=False) for value in values)
    words = re.findall(r"[A-Za-z_]+|>=|<=|[<>=?()]", condition)
    return " ".join(next(literals) if word == "?" else _WORDS.get(word, word) for word in words)


class Passing:
    """Which of the rows that are added pass filters."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self._ids: list[int] = []
        self._rows = sqlite3.connect(":memory:", isolation_level=None)
        columns = ", ".join(name for name in FILTERED if name != ID)
        self._rows.execute(f"CREATE TABLE rows (id INTEGER PRIMARY KEY, {columns}, file_size)")

    def add(self, entities: Iterable[dict[str, Any]]) -> None:
        """Look at some rows, with the fields `FILTERED`."""
        marks = ", ".join("?" * len(FILTERED))
        rows = ([entity[name] if name != TAKEN else entity[name] or None for name in FILTERED] for entity in entities)
        self._rows.executemany(f"INSERT INTO rows ({', '.join(FILTERED)}) VALUES ({marks})", rows)
        conditions, values = ["1"], []
        for condition, parameters in self._filters.clauses():
            conditions.append(condition)
            values += parameters
        found = self._rows.execute(f"SELECT id, caption FROM rows WHERE {' AND '.join(conditions)}", values)
        self._ids += [id for id, text in found if not self._filters.caption or self._filters.passes_caption(text)]
        self._rows.execute("DELETE FROM rows")

    def ids(self) -> npt.NDArray[np.int64]:
        """Of those that pass, ascending; the end."""
        self._rows.close()
        return np.sort(np.array(self._ids, dtype=np.int64))
