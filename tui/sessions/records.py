"""What is kept of a conversation, as plain data. No widget, no model, no database."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fromage_lite.chat.events import Statistics
from fromage_lite.chat.turns import ReplyPart, Turn, reply_text, turn_from_dict, turn_to_dict
from fromage_lite.errors import FromageError
from fromage_lite.text.message import ImageSegment, Segment
from index.hits import Hit
from index.images import one_line

TITLE_LIMIT = 60  # characters of a title made from the first words
LONGEST_TITLE = 200


class SessionError(FromageError):
    """Saved conversations that can't be read or written, or a file of one that can't be used."""


@dataclass(frozen=True)
class SavedTurn:
    """A message and its reply, finished or not.

    Attributes:
        message: text and pictures in their order.
        reply: as far as it came.
        reason: why the reply ended; None where it never did (the app was killed, the model failed).
        created: when the message was sent, in seconds since 1970.
        statistics: what the reply cost, where that is known.
        more: the next best pictures of each search that found any, in the reply's order.
    """

    message: tuple[Segment, ...]
    reply: tuple[ReplyPart, ...] = ()
    reason: Any = None
    created: float = 0.0
    statistics: Statistics | None = None
    more: tuple[tuple[Hit, ...], ...] = ()

    @property
    def hits(self) -> tuple[Hit, ...]:
        """Every picture of the reply."""
        return tuple(hit for part in self.reply if not isinstance(part, str) for hit in part)

    @property
    def as_turn(self) -> Turn:
        """The turn as a dialogue has it; only for finished ones."""
        return Turn(self.message, self.reply, self.reason)

    @classmethod
    def from_turn(cls, turn: Turn, created: float = 0.0) -> SavedTurn:
        """What there is to keep of a dialogue's turn."""
        return cls(turn.message, turn.reply, turn.reason, created)


@dataclass(frozen=True)
class SessionInfo:
    """One line of the list of conversations.

    Attributes:
        id: its number; never used again after it was deleted.
        title: what the user called it, else its first words.
        created, updated: seconds since 1970.
        model, index: what it was held with; empty where that is not known.
        turns: how many messages it has.
        preview: the first words, or those of the first reply where the title says the first words already.
    """

    id: int
    title: str
    created: float
    updated: float
    model: str = ""
    index: str = ""
    turns: int = 0
    preview: str = ""


@dataclass(frozen=True)
class Session:
    """A whole conversation.

    Attributes:
        hidden: the pictures that the user did not want to see in it; what is known of each is number and source.
    """

    info: SessionInfo
    turns: tuple[SavedTurn, ...] = field(default=())
    hidden: tuple[Hit, ...] = ()


def title_of(message: Sequence[Segment]) -> str:
    """The first words of a message; the names of its pictures where it has no words."""
    words = one_line(" ".join(s for s in message if isinstance(s, str)), 4 * TITLE_LIMIT)
    if not words:
        words = one_line(", ".join(Path(s.path).name for s in message if isinstance(s, ImageSegment)), 4 * TITLE_LIMIT)
    return shorten(words, TITLE_LIMIT) or "Untitled"


def shorten(text: str, limit: int) -> str:
    """The text cut between words to at most `limit` characters."""
    if len(text) <= limit:
        return text
    cut = text[: limit - 1]
    at_word = cut.rsplit(" ", 1)[0] if " " in cut[limit // 2 :] else cut
    return f"{at_word.rstrip(' ,;:')}…"


def words_of(message: Sequence[Segment]) -> str:
    """The words of a message, with the file names of its pictures."""
    return " ".join(s if isinstance(s, str) else Path(s.path).name for s in message)


def reply_words(reply: Sequence[ReplyPart]) -> str:
    """The words of a reply, with the captions of its pictures."""
    captions = (hit.caption for part in reply if not isinstance(part, str) for hit in part)
    return " ".join([reply_text(reply), *captions]).strip()


def message_data(message: Sequence[Segment]) -> Any:
    """A message as plain JSON data."""
    return turn_to_dict(Turn(tuple(message), (), "stop"))["message"]


def absolute(message: Sequence[Segment]) -> tuple[Segment, ...]:
    """A message whose pictures can be found from any folder."""
    return tuple(s if isinstance(s, str) else ImageSegment(str(Path(s.path).absolute())) for s in message)


def reply_data(reply: Sequence[ReplyPart]) -> Any:
    """A reply as plain JSON data."""
    return turn_to_dict(Turn((), tuple(reply), "stop"))["reply"]


def pictures_data(series: Sequence[Sequence[Hit]]) -> Any:
    """Several lists of pictures as plain JSON data."""
    return [part["hits"] for part in reply_data([tuple(hits) for hits in series])]


def pictures_of_data(data: Any) -> tuple[tuple[Hit, ...], ...]:
    """The lists of such data.

    Raises:
        DataError: the data has another form.
    """
    parts = turn_of_data([], [{"hits": hits} for hits in data or ()], None).reply
    return tuple(part for part in parts if not isinstance(part, str))


def turn_of_data(message: Any, reply: Any, reason: Any) -> Turn:
    """The turn of such data; an unfinished one gets the reason "stop".

    Raises:
        DataError: the data has another form.
    """
    return turn_from_dict({"message": message, "reply": reply, "reason": reason or "stop"})


def statistics_of(data: Any) -> Statistics | None:
    """Statistics from plain data; None where there are none, or another version's."""
    if not isinstance(data, dict):
        return None
    known = {f.name: data.get(f.name) for f in dataclasses.fields(Statistics) if f.name in data}
    # Bounded, since they are drawn: a file may hold anything.
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e12 for v in known.values()):
        return None
    try:
        return Statistics(**known)  # type: ignore[arg-type]
    except TypeError:  # one is missing
        return None
