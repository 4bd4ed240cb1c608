"""The one event stream that every front end reads. Plain data: no tensor, no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from index.errors import FromageError
from index.hits import Hit

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class TextDelta:
    """A piece of the reply, whole characters only."""

    text: str


@dataclass(frozen=True)
class ImagesFound:
    """The model said `[RET]` at this place of the reply; `hits` are best first and never repeat a shown image."""

    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class Notice:
    """Something the user should know that is no error (for example: the oldest turns were dropped)."""

    message: str


@dataclass(frozen=True)
class Statistics:
    """What the reply cost.

    Attributes:
        prompt_tokens: positions fed for this turn (the cached ones are not fed again).
        cached_tokens: positions that the KV cache already held.
        new_tokens: tokens generated, `[RET]` included.
        time_to_first_token: seconds from the call to the first generated token.
        tokens_per_second: generated tokens per second after the first one.
        retrieval_ms: milliseconds spent in the index, all searches of this reply together.
    """

    prompt_tokens: int
    cached_tokens: int
    new_tokens: int
    time_to_first_token: float
    tokens_per_second: float
    retrieval_ms: float


@dataclass(frozen=True)
class Done:
    """The end of a reply: its whole text (pictures left out) and why it ended."""

    text: str
    reason: FinishReason


@dataclass(frozen=True)
class Failed:
    """The reply could not be made or finished; the dialogue is as it was before the message."""

    error: FromageError


Event = TextDelta | ImagesFound | Notice | Statistics | Done | Failed
