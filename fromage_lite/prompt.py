"""Interleaved prompts: messages of text and images, and the templates that turn a dialogue into them. No torch here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fromage_lite.errors import ConfigError

RET = "[RET]"  # how the retrieval token is written in a text

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


@dataclass(frozen=True)
class Template:
    """How the turns of a dialogue are written for the language model.

    Attributes:
        before: text before a message.
        after: text after it, up to where the reply begins.
        turn_end: text between a reply and the next message.
        stop_strings: a reply ends before the first of these; they are never shown.
    """

    before: str
    after: str
    turn_end: str
    stop_strings: tuple[str, ...]

    def render_turn(self, segments: Sequence[Segment], is_first: bool) -> list[Segment]:
        """The prompt of one turn, up to and including the place where the reply begins.

        The reply before it is already in the language model's cache, so a later turn begins by ending that reply.
        Line breaks inside a message become blanks where a line break ends a turn; neighbouring texts are joined.
        """
        one_line = any("\n" in stop for stop in self.stop_strings)
        rendered: list[Segment] = [self.before if is_first else self.turn_end + self.before]
        for position, segment in enumerate(segments):
            blank = " " if position else ""
            if isinstance(segment, str):
                segment = " ".join(segment.split()) if one_line else segment
                rendered.append(blank + segment)
            else:
                rendered += [blank, segment] if blank else [segment]
        rendered.append(self.after)
        return join_texts(rendered)


TEMPLATES = {
    "qa": Template(before="Q: ", after="\nA:", turn_end="\n", stop_strings=("\n", "Q:")),
    "plain": Template(before="", after="", turn_end="\n", stop_strings=("\n",)),
}


def get_template(name: str) -> Template:
    """The template of that name (`FromageConfig.prompt_template`).

    Raises:
        ConfigError: if this version has no such template.
    """
    if name not in TEMPLATES:
        raise ConfigError(f"There is no prompt template {name!r}.", f"Choose one of: {', '.join(TEMPLATES)}.")
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
