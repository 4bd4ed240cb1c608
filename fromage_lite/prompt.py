"""Interleaved prompts: messages of text and images, and the templates that turn a dialogue into them. No torch here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fromage_lite.errors import ConfigError

RET = "[RET]"  # how the retrieval token is written in a text

# Control characters that enclose a special token of a template: no text of a user or a model has them.
MARK_OPEN, MARK_CLOSE = "\x02", "\x03"
NO_BOS = MARK_OPEN + MARK_CLOSE  # a text that begins so gets no beginning-of-text token: its template has seen to that

_MARKED = re.compile(f"{MARK_OPEN}([^{MARK_CLOSE}]*){MARK_CLOSE}")
_IMAGE_TAG = re.compile(r"<image:([^<>\n]+)>")


@dataclass(frozen=True)
class ImageSegment:
    """A picture inside a message, by the place it is read from."""

    path: str


Segment = str | ImageSegment


def parse_message(text: str, attachments: Iterable[str] = ()) -> tuple[Segment, ...]:
    """Splits a typed message into texts and images.

    Attachments come first, in their order; `<image:PATH>` stands for an image at its own place. Texts lose the blanks
    at both ends; empty ones are dropped.
    """
    segments: list[Segment] = [ImageSegment(path) for path in attachments]
    for position, piece in enumerate(_IMAGE_TAG.split(text)):  # odd pieces are the paths
        if not (piece := piece.strip()):
            continue
        segments.append(ImageSegment(piece) if position % 2 else piece)
    return tuple(segments)


def special(token: str) -> str:
    """A special token of the tokenizer, marked so that it counts as one."""
    return f"{MARK_OPEN}{token}{MARK_CLOSE}"


def split_marks(text: str) -> list[tuple[str, bool]]:
    """The parts of a text, and whether each is a marked special token."""
    return [(part, position % 2 == 1) for position, part in enumerate(_MARKED.split(text)) if part or position % 2]


def without_marks(text: str) -> str:
    """A foreign text, from which no special token can be made."""
    return text.replace(MARK_OPEN, "").replace(MARK_CLOSE, "")


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


TEMPLATES = {
    "qa": Template(before="Q: ", after="\nA:", turn_end="\n", stop_strings=("\n", "Q:")),
    "plain": Template(before="", after="", turn_end="\n", stop_strings=("\n",)),
}
FROM_TOKENIZER = ("chat", "inst")  # their special tokens are the tokenizer's


def get_template(name: str, tokenizer: Any = None) -> Template:
    """The template of that name (`FromageConfig.prompt_template`).

    Args:
        name: `qa`, `plain`, `chat` (the tokenizer's own chat template) or `inst` (`[INST] … [/INST]`).
        tokenizer: the language model's, for the last two.

    Raises:
        ConfigError: if this version has no such template, or the tokenizer does not have what it needs.
    """
    if name in FROM_TOKENIZER:
        from fromage_lite.chat_template import inst_template, read_chat_template

        return read_chat_template(tokenizer) if name == "chat" else inst_template(tokenizer)
    if name not in TEMPLATES:
        known = ", ".join([*TEMPLATES, *FROM_TOKENIZER])
        raise ConfigError(f"There is no prompt template {name!r}.", f"Choose one of: {known}.")
    return TEMPLATES[name]


def join_texts(segments: Iterable[Segment]) -> list[Segment]:
    """Joins neighbouring texts and drops empty ones, so that a tokenizer sees each stretch of text whole."""
    joined: list[Segment] = []
    for segment in segments:
        if isinstance(segment, str) and joined and isinstance(joined[-1], str):
            joined[-1] += segment
        elif segment != "":
            joined.append(segment)
    return joined


def before_prefix(text: str, prefix: str) -> str:
    """The text before an image whose prefix follows: a prefix that begins with a blank brings the only blank."""
    return text.rstrip(" ") if prefix.startswith(" ") else text
