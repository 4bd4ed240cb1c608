"""Rows of the database as records. What can't be read of a row is left out and named; it never raises."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast, get_args

from fromage_lite.chat.events import FinishReason, Statistics
from fromage_lite.errors import DataError
from index.pictures.images import one_line, sanitize
from index.search.hits import Hit
from tui.sessions import records
from tui.sessions.records import SavedSearch, SavedTurn, SessionInfo

Value = TypeVar("Value")
Row = Sequence[Any]

PREVIEW_LIMIT = 200
SEARCH = "search"  # the kind of an item that this version knows
NO_PICTURES: tuple[tuple[Hit, ...], ...] = ()
REPLACED = "\ufffd"  # stands for bytes that are no UTF-8; as JSON is written here, it is ASCII


@dataclass(frozen=True)
class ReadTurn:
    """A turn and what was wrong with its row.

    Attributes:
        turn: as much of it as can be read.
        faults: the names of the damaged fields.
    """

    turn: SavedTurn
    faults: tuple[str, ...]


class _Fields:
    """Reads the fields of one row and notes those that are damaged."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def read(self, name: str, value: object, reader: Callable[[Any], Value], otherwise: Value) -> Value:
        try:
            if isinstance(value, str) and REPLACED in value:
                self.faults.append(name)  # what is left of it may still be read
            return reader(value)
        except (DataError, ValueError, TypeError, RecursionError):
            if name not in self.faults:
                self.faults.append(name)
            return otherwise


def turn_of_row(row: Row) -> ReadTurn:
    """The turn of a row.

    Args:
        row: message, reply, reason, created, statistics, more.
    """
    message, reply, reason, created, statistics, more = row
    fields = _Fields()
    said = fields.read("message", message, lambda text: records.message_of_data(_json(text)), None)
    answered = fields.read("reply", reply, lambda text: records.reply_of_data(_json(text)), None)
    ended = fields.read("reason", reason, _reason, None)
    names = {"message": said is None, "reply": answered is None, "reason": "reason" in fields.faults}
    damaged = [name for name, is_damaged in names.items() if is_damaged]
    turn = SavedTurn(
        said or (),
        answered or (),
        None if damaged else ended,
        fields.read("created", created, _time, 0.0),
        fields.read("statistics", statistics, _statistics, None),
        fields.read("more", more, pictures_of_text, NO_PICTURES),
        f"its {' and '.join(damaged)} {'is' if len(damaged) == 1 else 'are'} damaged" if damaged else "",
    )
    return ReadTurn(turn, tuple(fields.faults))


def search_of_row(row: Row) -> SavedSearch | None:
    """The search of a row; None if it is damaged.

    Args:
        row: data, created, and how many turns come before it.
    """
    data, created, after = row
    fields = _Fields()
    search = fields.read("data", data, _search, None)
    if search is None:
        return None
    words, hits, like = search
    return SavedSearch(words, hits, like, fields.read("created", created, _time, 0.0), after)


def info_of_row(row: Row) -> SessionInfo:
    """A conversation's line.

    Args:
        row: id, title, created, updated, model, index, model_path, index_path, number of turns, and message and reply
            of the first turn, None if there is none.
    """
    id, title, created, updated, model, index, model_path, index_path, count, message, reply = row
    named = one_line(_text(title))
    created = created if records.is_time(created) else 0.0
    first, preview = "", ""
    if count:
        turn = turn_of_row((message, reply, None, 0.0, None, None)).turn
        first = records.title_of(turn.message) if turn.message or not turn.problem else ""
        # Where the title is the first words already, the first words of the reply say more.
        preview = "" if named else records.reply_words(turn.reply)
        preview = "damaged" if turn.problem else preview or records.words_of(turn.message)
    return SessionInfo(
        id,
        named or one_line(first) or "Untitled",
        created,
        updated if records.is_time(updated) else created,
        one_line(_text(model)),
        one_line(_text(index)),
        count,
        one_line(preview, PREVIEW_LIMIT),
        _text(model_path),
        _text(index_path),
    )


def faults_of_info(row: Row) -> tuple[str, ...]:
    """The damaged fields of a conversation's own row.

    Args:
        row: title, created, updated, model, index, hidden.
    """
    title, created, updated, model, index, hidden = row
    fields = _Fields()
    for name, value in (("created", created), ("updated", updated)):
        fields.read(name, value, _time, 0.0)
    for name, value in (("title", title or ""), ("model", model), ("index", index)):
        fields.read(name, (value,), lambda held: _as_text(held[0]), "")  # held: any character may be in these
    fields.read("hidden", hidden, pictures_of_text, NO_PICTURES)
    return tuple(fields.faults)


def words_of_row(message: object, reply: object) -> tuple[str, str]:
    """What of a turn can be searched for: the words of the message and of the reply, none where they are damaged."""
    turn = turn_of_row((message, reply, None, 0.0, None, None)).turn
    return sanitize(records.words_of(turn.message)), sanitize(records.reply_words(turn.reply))


def pictures_of_text(text: object) -> tuple[tuple[Hit, ...], ...]:
    """Lists of pictures from a column's JSON; none where it is NULL.

    Raises:
        DataError, ValueError, TypeError, RecursionError: it is damaged.
    """
    return records.pictures_of_data(_json(text)) if text is not None else ()


def hidden_of_text(text: object) -> tuple[Hit, ...]:
    """The hidden pictures of a column; none where it is damaged."""
    return tuple(hit for hits in _Fields().read("hidden", text, pictures_of_text, NO_PICTURES) for hit in hits)


def _json(text: object) -> Any:
    if not isinstance(text, str):
        raise TypeError("no text")
    return json.loads(text, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _reason(value: object) -> FinishReason | None:
    if value is not None and value not in get_args(FinishReason):
        raise ValueError("unknown reason")
    return cast("FinishReason | None", value)


def _time(value: object) -> float:
    if not records.is_time(value):
        raise ValueError("no time")
    return float(cast("float", value))


def _statistics(text: object) -> Statistics | None:
    return records.statistics_of(_json(text)) if text is not None else None


def _search(text: object) -> tuple[str, tuple[Hit, ...], bool]:
    data = _json(text)
    if not isinstance(data, dict) or not isinstance(data.get("words"), str):
        raise DataError("The search has no words.")
    (hits,) = records.pictures_of_data([data.get("hits")])
    return data["words"], hits, data.get("like") is True


def _as_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _text(value: object) -> str:
    """A text as it is, anything else as one that can be shown."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)
