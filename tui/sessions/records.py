"""What is kept of a conversation, as plain data. No widget, no model, no database."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fromage_lite.chat.events import FinishReason, Statistics
from fromage_lite.chat.turns import ReplyPart, Turn, reply_text, turn_from_dict, turn_to_dict
from fromage_lite.errors import DataError, FromageError
from fromage_lite.text.message import ImageSegment, Segment
from index.pictures.images import one_line
from index.search.hits import FOREIGN, Hit

UNREADABLE = "This turn can't be read."

TITLE_LIMIT = 60  # characters of a title made from the first words
LONGEST_TITLE = 200
MAX_PATH = 4_096  # characters of a path or URL
LAST_TIME = 2.5e11  # seconds since 1970: later than the year 9891, for which no calendar has a date


class SessionError(FromageError):
    """Saved conversations that can't be read or written, or a file of one that can't be used."""


@dataclass(frozen=True)
class SavedTurn:
    """A message and its reply, finished or not.

    Attributes:
        message: text and pictures in their order.
        reply: as far as it came.
        reason: why the reply ended; None where it never did (the app was killed, the model failed).
        created: when the message was sent, in seconds since 1970; 0 where that is not known.
        statistics: what the reply cost, where that is known.
        more: the next best pictures of each search that found any, in the reply's order.
        problem: what is wrong with a damaged one, to be put into brackets. It has no reason, what can't be read of it
            is empty, and the store keeps it as it is.
    """

    message: tuple[Segment, ...]
    reply: tuple[ReplyPart, ...] = ()
    reason: FinishReason | None = None
    created: float = 0.0
    statistics: Statistics | None = None
    more: tuple[tuple[Hit, ...], ...] = ()
    problem: str = ""

    @property
    def hits(self) -> tuple[Hit, ...]:
        """Every picture of the reply."""
        return tuple(hit for part in self.reply if not isinstance(part, str) for hit in part)

    @property
    def as_turn(self) -> Turn:
        """The turn as a dialogue has it.

        Raises:
            ValueError: it is unfinished or damaged.
        """
        if self.reason is None:
            raise ValueError("only a finished turn is part of a dialogue")
        return Turn(self.message, self.reply, self.reason)

    @classmethod
    def from_turn(cls, turn: Turn) -> SavedTurn:
        """What there is to keep of a dialogue's turn."""
        return cls(turn.message, turn.reply, turn.reason)


@dataclass(frozen=True)
class SavedSearch:
    """The pictures of a search outside the dialogue (`/find`, "more like this"); the model doesn't know of it.

    Attributes:
        words: what was looked for; empty where it was only pictures.
        hits: what was found, best first.
        like: whether a found picture was searched with; then the words are its caption.
        created: when, in seconds since 1970.
        after: how many of the conversation's turns come before it.
    """

    words: str
    hits: tuple[Hit, ...]
    like: bool = False
    created: float = 0.0
    after: int = 0


@dataclass(frozen=True)
class HeldWith:
    """What answers in a conversation.

    Attributes:
        model, index: their names, to be shown.
        model_path, index_path: as the options `--model` and `--index` take them; "none" where there was no index, empty
            where it is not known.
    """

    model: str = ""
    index: str = ""
    model_path: str = ""
    index_path: str = ""


@dataclass(frozen=True)
class SessionInfo:
    """One line of the list of conversations.

    Attributes:
        id: its number; never used again after it was deleted.
        title: what the user called it, else its first words.
        created, updated: seconds since 1970; 0 where that is not known.
        model, index: names of what it was held with; empty where that is not known.
        turns: how many messages it has.
        preview: the first words, or those of the first reply where the title says the first words already.
        model_path, index_path: as in `HeldWith`.
    """

    id: int
    title: str
    created: float
    updated: float
    model: str = ""
    index: str = ""
    turns: int = 0
    preview: str = ""
    model_path: str = ""
    index_path: str = ""


@dataclass(frozen=True)
class Session:
    """A whole conversation.

    Attributes:
        turns: what was said.
        hidden: the pictures that the user did not want to see in it; what is known of each is number and source.
        searches: what was searched for between the turns.
        problems: what of a file could not be read and was left out, one entry each, to be put into a sentence.
    """

    info: SessionInfo
    turns: tuple[SavedTurn, ...] = ()
    hidden: tuple[Hit, ...] = ()
    searches: tuple[SavedSearch, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def items(self) -> tuple[SavedTurn | SavedSearch, ...]:
        """Turns and searches as they followed each other."""
        items: list[SavedTurn | SavedSearch] = []
        waiting = sorted(self.searches, key=lambda search: search.after)
        for place, turn in enumerate(self.turns):
            while waiting and waiting[0].after <= place:
                items.append(waiting.pop(0))
            items.append(turn)
        return (*items, *waiting)

    def finished(self) -> Session:
        """The conversation without the turns that are unfinished or damaged; its searches stay between the others."""
        kept = [turn.reason is not None for turn in self.turns]
        return dataclasses.replace(
            self,
            turns=tuple(turn for turn, stays in zip(self.turns, kept, strict=True) if stays),
            searches=tuple(dataclasses.replace(s, after=sum(kept[: s.after])) for s in self.searches),
        )


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


def message_of_data(data: Any) -> tuple[Segment, ...]:
    """The message of such data.

    Raises:
        DataError: the data has another form, or names a picture by what is no path.
    """
    message = turn_of_data(data, [], None).message
    for segment in message:
        if isinstance(segment, ImageSegment) and not is_path(segment.path):
            raise DataError("A picture of the message has no path.")
    return message


def reply_of_data(data: Any) -> tuple[ReplyPart, ...]:
    """The reply of such data.

    Raises:
        DataError: the data has another form, or a hit that can't be one.
    """
    reply = turn_of_data([], data, None).reply
    for part in reply:
        for hit in () if isinstance(part, str) else part:
            if fault := fault_of(hit):
                raise DataError(f"A hit of the reply has {fault}.")
    return reply


def pictures_of_data(data: Any) -> tuple[tuple[Hit, ...], ...]:
    """The lists of such data.

    Raises:
        DataError: the data has another form, or a hit that can't be one.
    """
    if not isinstance(data, list):
        raise DataError("The series of pictures are no list.")
    parts = reply_of_data([{"hits": hits} for hits in data])
    return tuple(part for part in parts if not isinstance(part, str))


def turn_of_data(message: Any, reply: Any, reason: Any) -> Turn:
    """The turn of such data; an unfinished one gets the reason "stop".

    Raises:
        DataError: the data has another form.
    """
    return turn_from_dict({"message": message, "reply": reply, "reason": reason or "stop"})


def search_data(search: SavedSearch) -> dict[str, Any]:
    """A search as plain JSON data, but for its place in the conversation."""
    return {"words": search.words, "like": search.like, "hits": [hit.to_dict() for hit in search.hits]}


def fault_of(hit: Hit) -> str:
    """What a hit has that none can have; empty for a sound one. Numbers are drawn and handed to the index."""
    if not FOREIGN <= hit.id < 2**63 or not abs(hit.score) <= 1e6:  # NaN is not, either
        return "a number beyond all bounds"
    return "" if is_path(hit.source) else "no path"


def is_path(text: object) -> bool:
    """Whether a text can be a path or an address; whether anything is there is not asked."""
    return isinstance(text, str) and 0 < len(text) <= MAX_PATH and "\0" not in text


def is_time(value: object) -> bool:
    """Whether a value is a time in seconds since 1970 that a calendar has."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LAST_TIME


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
