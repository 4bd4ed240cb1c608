"""The one event stream that every front end reads. Plain data: no tensor, no model."""

from __future__ import annotations

from dataclasses import dataclass

from fromage_lite.text.streaming import FinishReason
from index.errors import FromageError
from index.search.hits import Hit


@dataclass(frozen=True)
class TextDelta:
    """A piece of the reply's text; never part of a character."""

    text: str


@dataclass(frozen=True)
class ImagesFound:
    """The model said `[RET]` at this point of the reply.

    Attributes:
        hits: the pictures to show, best first; never one that was shown before.
        more: the next best of the same search, for users who want to look further; they don't count as shown.
    """

    hits: tuple[Hit, ...]
    more: tuple[Hit, ...] = ()


@dataclass(frozen=True)
class Notice:
    """Something the user should know that is not an error; for example, that the oldest turns were dropped."""

    message: str


@dataclass(frozen=True)
class ContextPart:
    """A turn that the model had read when it replied.

    Attributes:
        turn: its number in the dialogue, from 1.
        positions: how many of the language model's positions it takes, pictures included.
        pictures: paths of the pictures in its message.
    """

    turn: int
    positions: int
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True)
class RetTrace:
    """How close the model was to `[RET]` at each step of a reply, and what it had read.

    Attributes:
        probabilities: of `[RET]`, one for each generated token; the model's own, before bias and policy.
        texts: what each of these steps added to the text (may be empty); `[RET]` where it was said.
        context: the turns that were read, oldest first; the last is this reply's message. A query depends on all of
            them and on the reply up to its `[RET]`.
    """

    probabilities: tuple[float, ...]
    texts: tuple[str, ...]
    context: tuple[ContextPart, ...]


@dataclass(frozen=True)
class Statistics:
    """What the reply cost.

    Attributes:
        prompt_tokens: positions fed for this turn, without the cached ones.
        cached_tokens: positions already in the KV cache.
        new_tokens: generated tokens, `[RET]` included.
        time_to_first_token: seconds from the call to the first generated token.
        tokens_per_second: generated tokens per second after the first.
        retrieval_ms: milliseconds spent in the index, over all searches of this reply.
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


Event = TextDelta | ImagesFound | Notice | RetTrace | Statistics | Done | Failed
