"""Reads an exported conversation. The file may come from anybody: its size, its form and every type are checked."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from fromage_lite.chat.events import FinishReason
from fromage_lite.chat.turns import ReplyPart
from fromage_lite.text.message import ImageSegment, Segment
from index.errors import described, reason
from index.pictures.images import one_line, sanitize
from index.search.hits import Hit
from tui.sessions.export import FORMAT, FORMAT_VERSION
from tui.sessions.records import (
    LONGEST_TITLE,
    SavedSearch,
    SavedTurn,
    Session,
    SessionError,
    SessionInfo,
    fault_of,
    is_path,
    is_time,
    statistics_of,
)
from tui.sessions.rows import SEARCH

MAX_BYTES = 20_000_000
MAX_TURNS = 10_000
MAX_PARTS = 1_000  # texts and pictures of one message or reply


class _Wrong(Exception):
    """What is wrong with the file, to be put into a sentence."""


def read_session(path: Path) -> Session:
    """The conversation in a file that `export` wrote as JSON. Nothing that it names is opened here.

    A damaged turn or search is left out and named in `Session.problems`.

    Raises:
        SessionError: the file can't be read, is too large, or isn't such a file, or none of its turns can be read;
            says where it is wrong.
    """
    name = sanitize(str(path))
    try:
        data = json.loads(_read(path, name), parse_constant=_refuse)
        return _session(data)
    except _Wrong as error:
        raise SessionError(
            f"{name} is no exported conversation: {sanitize(str(error))}.", "Nothing was imported."
        ) from None
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, nested without end
        raise SessionError(f"{name} is no JSON file that can be read.", "Nothing was imported.") from error


def _read(path: Path, name: str) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device could go on for ever
            raise SessionError(f"{name} is no regular file.", "Name a file that /export wrote.")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SessionError(f"{name} can't be read: {reason(error)}.", "Check the path.") from error
    if len(data) > MAX_BYTES:
        raise SessionError(f"{name} is larger than {MAX_BYTES // 10**6} MB.", "Nothing was imported.")
    return data


def _refuse(constant: str) -> None:
    raise _Wrong(f"{constant} is no number")


def _session(data: Any) -> Session:
    fields = _object(data, "the file")
    if fields.get("format") != FORMAT:
        raise _Wrong("it doesn't say that it is one")
    if fields.get("version") != FORMAT_VERSION or isinstance(fields["version"], bool):
        raise _Wrong(f"it is of version {fields.get('version')!r:.40}; this program reads version {FORMAT_VERSION}")
    problems: list[str] = []
    turns: list[SavedTurn] = []
    places = [0]  # how many turns are kept before and after each turn of the file
    for number, turn in enumerate(_list(fields.get("turns"), "turns", MAX_TURNS), start=1):
        with _noted(problems):
            turns.append(_turn(turn, f"turn {number}", problems))
        places.append(len(turns))
    if not turns:
        raise _Wrong(problems[0] if problems else "it has no turns")
    info = SessionInfo(
        0,
        one_line(_text(fields.get("title", ""), "title"), LONGEST_TITLE),
        _time(fields.get("created"), "created"),
        time.time(),
        one_line(_text(fields.get("model", ""), "model"), LONGEST_TITLE),
        one_line(_text(fields.get("index", ""), "index"), LONGEST_TITLE),
        len(turns),
    )
    searches = _searches(fields.get("items", []), places, problems)
    hidden: tuple[Hit, ...] = ()
    with _noted(problems):
        hidden = _hits(fields.get("hidden", []), "the file")
    return Session(info, tuple(turns), hidden, searches, tuple(map(sanitize, problems)))


@contextmanager
def _noted(problems: list[str]) -> Iterator[None]:
    """Goes on without what is damaged, and notes why."""
    try:
        yield
    except _Wrong as error:
        problems.append(str(error))


def _turn(data: Any, where: str, problems: list[str]) -> SavedTurn:
    fields = _object(data, where)
    message = tuple(_segment(part, where) for part in _list(fields.get("message"), f"message of {where}", MAX_PARTS))
    reply = tuple(_part(part, where) for part in _list(fields.get("reply"), f"reply of {where}", MAX_PARTS))
    reason = fields.get("reason")
    if reason is not None and reason not in get_args(FinishReason):
        raise _Wrong(f"{where} ended for an unknown reason")
    created = _time(fields.get("created"), f"created of {where}")
    more: tuple[tuple[Hit, ...], ...] = ()
    with _noted(problems):
        series = _list(fields.get("more", []), f"further pictures of {where}", MAX_PARTS)
        more = tuple(_hits(hits, where) for hits in series)
    return SavedTurn(message, reply, reason, created, statistics_of(fields.get("statistics")), more)


def _searches(data: Any, places: Sequence[int], problems: list[str]) -> tuple[SavedSearch, ...]:
    """What stands between the turns; kinds that only a later version knows are passed over."""
    found: list[SavedSearch] = []
    with _noted(problems):
        items = _list(data, "items", MAX_TURNS)
        for number, item in enumerate(items, start=1):
            if not isinstance(item, dict) or item.get("kind") == SEARCH:
                with _noted(problems):
                    found.append(_search(item, f"item {number}", places))
    return tuple(found)


def _search(data: Any, where: str, places: Sequence[int]) -> SavedSearch:
    fields = _object(data, where)
    after = fields.get("after")
    if not isinstance(after, int) or isinstance(after, bool) or not 0 <= after < len(places):
        raise _Wrong(f"{where} stands at no place between the turns")
    return SavedSearch(
        _text(fields.get("words"), f"words of {where}"),
        _hits(fields.get("hits"), where),
        fields.get("like") is True,
        _time(fields.get("created"), f"created of {where}"),
        places[after],
    )


def _segment(data: Any, where: str) -> Segment:
    fields = _object(data, f"message of {where}")
    if fields.keys() == {"text"}:
        return _text(fields["text"], f"text of {where}")
    if fields.keys() == {"image"}:
        return ImageSegment(_path(fields["image"], f"picture of {where}"))
    raise _Wrong(f"the message of {where} has a part that is neither text nor picture")


def _part(data: Any, where: str) -> ReplyPart:
    fields = _object(data, f"reply of {where}")
    if fields.keys() == {"text"}:
        return _text(fields["text"], f"text of {where}")
    if fields.keys() == {"hits"}:
        return _hits(fields["hits"], where)
    raise _Wrong(f"the reply of {where} has a part that is neither text nor pictures")


def _hits(data: Any, where: str) -> tuple[Hit, ...]:
    return tuple(_hit(hit, where) for hit in _list(data, f"hits of {where}", MAX_PARTS))


def _hit(data: Any, where: str) -> Hit:
    try:
        hit = Hit.from_dict(_object(data, f"a hit of {where}"))
    except (KeyError, TypeError, OverflowError) as error:
        raise _Wrong(f"a hit of {where} is damaged ({described(error)})") from error
    if fault := fault_of(hit):
        raise _Wrong(f"a hit of {where} has {fault}")
    return replace(hit, caption=sanitize(hit.caption))


def _object(data: Any, what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise _Wrong(f"{what} is no object")
    return data


def _list(data: Any, what: str, most: int) -> list[Any]:
    if not isinstance(data, list):
        raise _Wrong(f"the {what} is no list")
    if len(data) > most:
        raise _Wrong(f"the {what} has more than {most:,} entries")
    return data


def _text(data: Any, what: str) -> str:
    if not isinstance(data, str):
        raise _Wrong(f"the {what} is no text")
    return sanitize(data)


def _path(data: Any, what: str) -> str:
    if not is_path(data):
        raise _Wrong(f"the {what} is no path")
    return str(data)


def _time(data: Any, what: str) -> float:
    if data is None:
        return 0.0
    if not is_time(data):
        raise _Wrong(f"the time {what} is none")
    return float(data)
