"""A reply while it is being made: its parts, its clock, its trace."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from fromage_lite.chat.context import Prompt
from fromage_lite.chat.events import ContextPart, RetTrace, Statistics
from fromage_lite.chat.turns import ReplyPart
from fromage_lite.model.decoding import Token
from fromage_lite.text.marks import RET
from fromage_lite.text.message import ImageSegment, Segment
from index.search.hits import Hit


@dataclass
class ReplyDraft:
    """What has been said so far, and what it cost."""

    parts: list[ReplyPart] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)
    first: float | None = None  # when the first token came
    resumed: float = 0.0  # when the model was asked for the next token
    speaking_seconds: float = 0.0  # the model's own time after the first token, without searches and the caller
    new_tokens: int = 0
    retrieval_seconds: float = 0.0
    steps: list[tuple[float, str]] = field(default_factory=list)  # for the trace

    @property
    def hits(self) -> list[Hit]:
        """All pictures so far, in order."""
        return [hit for part in self.parts if not isinstance(part, str) for hit in part]

    def count(self, token: Token) -> None:
        """Counts a token and its time."""
        if token.id is None:
            return
        if token.ret_probability is not None:
            self.steps.append((token.ret_probability, RET if token.query_embeds is not None else token.text))
        now = time.perf_counter()
        if self.first is None:
            self.first = now
        else:
            self.speaking_seconds += now - self.resumed
        self.new_tokens += 1

    def say(self, text: str) -> None:
        """Adds text to the current part."""
        if self.parts and isinstance(self.parts[-1], str):
            self.parts[-1] += text
        else:
            self.parts.append(text)

    def trace(self, context: tuple[ContextPart, ...]) -> RetTrace:
        """How close each step was to `[RET]`."""
        return RetTrace(tuple(p for p, _ in self.steps), tuple(text for _, text in self.steps), context)

    def statistics(self, prompt: Prompt) -> Statistics:
        """The reply's tokens and times, from its start until now."""
        first = self.first or time.perf_counter()
        seconds = self.speaking_seconds
        return Statistics(
            prompt_tokens=prompt.fed,
            cached_tokens=prompt.cached,
            new_tokens=self.new_tokens,
            time_to_first_token=first - self.started,
            tokens_per_second=(self.new_tokens - 1) / seconds if seconds > 0 else 0.0,
            retrieval_ms=self.retrieval_seconds * 1000,
        )


def tidy(parts: Sequence[ReplyPart]) -> tuple[ReplyPart, ...]:
    """The parts without trailing blanks and without empty texts."""
    parts = list(parts)
    if parts and isinstance(parts[-1], str):
        parts[-1] = parts[-1].rstrip()
    return tuple(part for part in parts if part != "")


def pictures_of(message: Sequence[Segment]) -> tuple[str, ...]:
    """Paths of the pictures in a message."""
    return tuple(segment.path for segment in message if isinstance(segment, ImageSegment))
