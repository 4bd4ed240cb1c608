"""Generated ids -> text that may be shown: whole characters, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

FinishReason = Literal["stop", "length", "cancelled"]
"""Why a reply ended: by itself, for want of room, or because someone stopped it."""

_INCOMPLETE = "\ufffd"  # what a decoder gives for the first bytes of a character


class TextStream:
    """The text of one reply while it grows."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stop_strings: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stops = tuple(stop for stop in stop_strings if stop)
        self._ids: list[int] = []
        self._text = ""  # all that is decoded, the leading blanks included
        self._shown = 0  # how much of it was given out or is a leading blank
        self._end: int | None = None  # where the stop string begins

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string has come."""
        return self._end is not None

    @property
    def visible(self) -> str:
        """The reply so far as the model said it, up to the stop string."""
        return self._text[: self._end]

    def push(self, token_id: int) -> str:
        """Takes the next token and gives the text that may be shown now."""
        self._ids.append(token_id)
        self._text = self._decode(self._ids)
        if not self._text[: self._shown].strip(" "):  # nothing shown yet: the blank after "A:" is no part of the reply
            self._shown = len(self._text) - len(self._text.lstrip(" "))
        ends = [at for stop in self._stops if (at := self._text.find(stop, self._shown)) >= 0]
        if ends:
            self._end = min(ends)
            return self._show(self._end)
        return self._show(len(self._text.rstrip(_INCOMPLETE)) - self._held_back())

    def flush(self) -> str:
        """Gives out what was held back in case it was a stop string; halves of characters stay unsaid."""
        return self._show(len(self._text.rstrip(_INCOMPLETE)) if self._end is None else self._end)

    def _held_back(self) -> int:
        """Length of the longest end of the text with which a stop string could begin."""
        text = self._text[self._shown :].rstrip(_INCOMPLETE)
        lengths = range(max(map(len, self._stops), default=1) - 1, 0, -1)
        return next((n for n in lengths if n <= len(text) and any(s.startswith(text[-n:]) for s in self._stops)), 0)

    def _show(self, end: int) -> str:
        piece = self._text[self._shown : end]
        self._shown = max(self._shown, end)
        return piece
