"""One exchange of a dialogue as plain data, and its JSON form. No model, no tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

from fromage_lite.chat.events import FinishReason
from fromage_lite.errors import DataError
from fromage_lite.text.message import ImageSegment, Segment
from index.errors import described
from index.hits import Hit

# Text, or the pictures that one [RET] brought (empty where none was left to show).
ReplyPart = str | tuple[Hit, ...]


@dataclass(frozen=True)
class Turn:
    """A message and its reply.

    Attributes:
        message: what the user said, text and pictures in their order.
        reply: what the model said: text as shown, and the hits of each `[RET]`, in their order.
        reason: why the reply ended.
    """

    message: tuple[Segment, ...]
    reply: tuple[ReplyPart, ...]
    reason: FinishReason

    @property
    def text(self) -> str:
        """The reply's words, pictures left out."""
        return reply_text(self.reply)

    @property
    def hits(self) -> tuple[Hit, ...]:
        """Every picture of the reply, in the order shown."""
        return tuple(hit for part in self.reply if not isinstance(part, str) for hit in part)


def reply_text(parts: Sequence[ReplyPart]) -> str:
    """The words of reply parts, stripped."""
    return "".join(part for part in parts if isinstance(part, str)).strip()


def turn_to_dict(turn: Turn) -> dict[str, Any]:
    """Plain JSON data of a turn; pictures of the message stand by their path."""
    message = [{"text": s} if isinstance(s, str) else {"image": s.path} for s in turn.message]
    reply = [
        {"text": part} if isinstance(part, str) else {"hits": [hit.to_dict() for hit in part]} for part in turn.reply
    ]
    return {"message": message, "reply": reply, "reason": turn.reason}


def turn_from_dict(data: Any) -> Turn:
    """The turn that `turn_to_dict` wrote.

    Raises:
        DataError: the data has another form.
    """
    try:
        if data["reason"] not in get_args(FinishReason):
            raise ValueError(f"unknown reason {data['reason']!r}")
        message = tuple(_text(s["text"]) if "text" in s else ImageSegment(_text(s["image"])) for s in data["message"])
        reply = tuple(
            _text(p["text"]) if "text" in p else tuple(Hit.from_dict(hit) for hit in p["hits"]) for p in data["reply"]
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise DataError(f"The saved dialogue can't be read: {described(error)}.") from error
    return Turn(message, reply, data["reason"])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
