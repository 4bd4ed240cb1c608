"""One exchange of a dialogue as plain data, and its JSON form. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from fromage_lite.chat.events import FinishReason
from fromage_lite.errors import DataError
from fromage_lite.text.message import ImageSegment, Segment, parse_message
from index.errors import described
from index.search.hits import FOREIGN, Hit

ReplyPart = str | tuple[Hit, ...]
"""Text, or the pictures of one `[RET]` (empty if none was left to show)."""


@dataclass(frozen=True)
class Turn:
    """A message and its reply.

    Attributes:
        message: what the user said: text and pictures, in order.
        reply: what the model said: text as shown, and the hits of each `[RET]`, in order.
        reason: why the reply ended.
    """

    message: tuple[Segment, ...]
    reply: tuple[ReplyPart, ...]
    reason: FinishReason

    @property
    def text(self) -> str:
        """The reply's words, without its pictures."""
        return reply_text(self.reply)

    @property
    def hits(self) -> tuple[Hit, ...]:
        """All pictures of the reply, in the order shown."""
        return tuple(hit for part in self.reply if not isinstance(part, str) for hit in part)


def reply_text(parts: Sequence[ReplyPart]) -> str:
    """The words of reply parts, stripped."""
    return "".join(part for part in parts if isinstance(part, str)).strip()


def message_segments(message: str | Sequence[Segment], attachments: Sequence[str] = ()) -> tuple[Segment, ...]:
    """A message as segments.

    Args:
        message: text, in which `<image:PATH>` stands for a picture, or segments.
        attachments: paths of pictures to put before it.
    """
    if isinstance(message, str):
        return parse_message(message, attachments)
    return (*parse_message("", attachments), *message)


def without_ids(turns: Sequence[Turn]) -> list[Turn]:
    """The turns with the ids of their pictures removed. In another index these ids mean other pictures, which must not
    count as shown."""
    return [replace(turn, reply=tuple(_foreign(part) for part in turn.reply)) for turn in turns]


def _foreign(part: ReplyPart) -> ReplyPart:
    return part if isinstance(part, str) else tuple(replace(hit, id=FOREIGN) for hit in part)


# --- JSON ---


def turn_to_dict(turn: Turn) -> dict[str, Any]:
    """A turn as plain JSON data, with the message's pictures as paths."""
    return {"message": message_to_data(turn.message), "reply": reply_to_data(turn.reply), "reason": turn.reason}


def message_to_data(message: Sequence[Segment]) -> list[dict[str, Any]]:
    """A message as plain JSON data: `{"text": …}` or `{"image": PATH}` for each segment."""
    return [{"text": s} if isinstance(s, str) else {"image": s.path} for s in message]


def reply_to_data(reply: Sequence[ReplyPart]) -> list[dict[str, Any]]:
    """A reply as plain JSON data: `{"text": …}` or `{"hits": […]}` for each part."""
    return [{"text": part} if isinstance(part, str) else {"hits": [hit.to_dict() for hit in part]} for part in reply]


def turn_from_dict(data: Any) -> Turn:
    """The inverse of `turn_to_dict`.

    Raises:
        DataError: the data has another form.
    """
    try:
        reason, message, reply = data["reason"], data["message"], data["reply"]
    except (KeyError, TypeError) as error:
        raise _unreadable(error) from error
    if reason not in get_args(FinishReason):
        raise _unreadable(ValueError(f"unknown reason {reason!r}"))
    return Turn(message_from_data(message), reply_from_data(reply), reason)


def message_from_data(data: Any) -> tuple[Segment, ...]:
    """The inverse of `message_to_data`.

    Raises:
        DataError: the data has another form.
    """
    try:
        return tuple(_text(s["text"]) if "text" in s else ImageSegment(_text(s["image"])) for s in data)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise _unreadable(error) from error


def reply_from_data(data: Any) -> tuple[ReplyPart, ...]:
    """The inverse of `reply_to_data`.

    Raises:
        DataError: the data has another form.
    """
    try:
        return tuple(_text(p["text"]) if "text" in p else tuple(Hit.from_dict(hit) for hit in p["hits"]) for p in data)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise _unreadable(error) from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _unreadable(error: Exception) -> DataError:
    return DataError(f"The saved dialogue can't be read: {described(error)}.")
