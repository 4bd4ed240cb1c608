"""How the turns of a dialogue are written for a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fromage_lite.text.marks import without_marks
from fromage_lite.text.message import Segment, join_texts


@dataclass(frozen=True)
class Template:
    """How the turns of a dialogue are written for the language model.

    Attributes:
        before: text before a message.
        after: text after it, up to where the reply begins.
        turn_end: text that ends a reply; the model learns to say it.
        stop_strings: a reply ends before the first of these; they are never shown.
        before_next: text before a later message, after `turn_end`; None: as before the first.
        reply_start: blanks with which a reply begins.
        stop_tokens: special tokens that end a reply, as the end of text always does.
    """

    before: str
    after: str
    turn_end: str
    stop_strings: tuple[str, ...]
    before_next: str | None = None
    reply_start: str = " "
    stop_tokens: tuple[str, ...] = ()

    def render_turn(self, segments: Sequence[Segment], is_first: bool) -> list[Segment]:
        """The prompt of one turn, up to and including the place where the reply begins.

        The reply before it is already in the language model's cache, so a later turn begins by ending that reply.
        Line breaks inside a message become blanks where a line break ends a turn; neighbouring texts are joined.
        """
        one_line = "\n" in self.stop_strings
        before_next = self.before if self.before_next is None else self.before_next
        rendered: list[Segment] = [self.before if is_first else self.turn_end + before_next]
        for position, segment in enumerate(segments):
            blank = " " if position else ""
            if isinstance(segment, str):
                segment = without_marks(" ".join(segment.split()) if one_line else segment)
                rendered.append(blank + segment)
            else:
                rendered += [blank, segment] if blank else [segment]
        rendered.append(self.after)
        return join_texts(rendered)

    def render_reply(self, text: str) -> str:
        """The words of a reply as the model says them: with the blank that `A:` leaves to it."""
        text = without_marks(text)
        return text if text[:1].isspace() else self.reply_start + text
