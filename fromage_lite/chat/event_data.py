"""The event stream as plain JSON data: what `ask --events` prints, and what one process sends to another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from fromage_lite.chat.events import (
    ContextPart,
    Done,
    Event,
    Failed,
    ImagesFound,
    Notice,
    RetTrace,
    Statistics,
    TextDelta,
)
from fromage_lite.errors import DataError, FromageError
from index.errors import described
from index.search.hits import Hit

NAMES: dict[type, str] = {
    TextDelta: "text_delta",
    ImagesFound: "images_found",
    Notice: "notice",
    RetTrace: "ret_trace",
    Statistics: "statistics",
    Done: "done",
    Failed: "failed",
}


def event_to_dict(event: Event) -> dict[str, Any]:
    """`{"event": NAME, ...}` with the event's own fields; hits have the form of `Hit.to_dict`."""
    named = {"event": NAMES[type(event)]}
    match event:
        case ImagesFound(hits, more):
            return {**named, "images": [hit.to_dict() for hit in hits], "more": [hit.to_dict() for hit in more]}
        case Failed(error):
            return {**named, **error_to_dict(error)}
    return {**named, **dataclasses.asdict(event)}


def event_from_dict(data: Mapping[str, Any]) -> Event:
    """The inverse of `event_to_dict`.

    Raises:
        DataError: the data has another form.
    """
    try:
        fields = dict(data)
        return _READERS[fields.pop("event")](fields)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(f"The event can't be read: {described(error)}.") from error


def error_to_dict(error: FromageError) -> dict[str, Any]:
    """`{"message": …, "hint": …}`: what is wrong, and what to do next."""
    return {"message": error.message, "hint": error.hint}


def error_from_dict(data: Mapping[str, Any]) -> FromageError:
    """An error with the same words; its class is lost."""
    return FromageError(str(data["message"]), str(data.get("hint", "")))


def _trace(fields: Mapping[str, Any]) -> RetTrace:
    context = (ContextPart(part["turn"], part["positions"], tuple(part["pictures"])) for part in fields["context"])
    return RetTrace(tuple(fields["probabilities"]), tuple(fields["texts"]), tuple(context))


_READERS: dict[str, Callable[[Mapping[str, Any]], Event]] = {
    "text_delta": lambda fields: TextDelta(**fields),
    "images_found": lambda fields: ImagesFound(
        tuple(Hit.from_dict(hit) for hit in fields["images"]), tuple(Hit.from_dict(hit) for hit in fields["more"])
    ),
    "notice": lambda fields: Notice(**fields),
    "ret_trace": _trace,
    "statistics": lambda fields: Statistics(**fields),
    "done": lambda fields: Done(**fields),
    "failed": lambda fields: Failed(error_from_dict(fields)),
}
