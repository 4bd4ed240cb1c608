"""How many more pictures the model can read with the draft, said in the composer's frame."""

from __future__ import annotations

from collections.abc import Sequence

from fromage_lite.errors import FromageError
from fromage_lite.text.message import ImageSegment, Segment, parse_message
from tui.screens.interface import ROOM, Chat

REFUSED = "The last picture doesn't fit any more"


class Room:
    """Counts anew whenever the draft, the conversation or the model has changed."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._counted = 0  # pictures of the draft when they were counted last

    def update(self) -> None:
        """Counts in the background, if there is a picture to count with and the model is free."""
        if not _pictures(self._draft()):
            self._show(None)
        elif self._chat.conversation.agent is not None and not self._chat.busy:
            self._chat.start(self._count(), "room")

    def _draft(self) -> tuple[Segment, ...]:
        composer = self._chat.composer
        return parse_message(composer.prompt.text, [picture.path for picture in composer.pictures])

    async def _count(self) -> None:
        draft = self._draft()
        try:
            left = await self._chat.conversation.pictures_left(draft)
        except FromageError:
            left = None  # the model's process is busy or gone; sending says so
        if draft == self._draft():  # else it is counted again
            self._show(left)

    def _show(self, left: int | None) -> None:
        count = _pictures(self._draft())
        if left is not None and left < 0 and count > self._counted:
            self._chat.hint(REFUSED, ROOM)
        elif left is None or left >= 0:
            self._chat.forget(ROOM)
        self._counted = count if left is not None else 0
        self._chat.composer.border_title = in_words(left, count) if left is not None else ""
        self._chat.composer.set_class(left is not None and left < 0, "-overfull")


def in_words(left: int, count: int) -> str:
    """What is left, for a draft with `count` pictures."""
    if left > 0:
        return f"{left:,} more picture{'s' * (left > 1)} fit{'s' * (left == 1)}"
    if not left:
        return "no more pictures fit"
    if -left > count:
        return "too long, even without pictures"
    return f"{-left:,} picture{'s' * (left < -1)} too many"


def _pictures(draft: Sequence[Segment]) -> int:
    return sum(isinstance(segment, ImageSegment) for segment in draft)
