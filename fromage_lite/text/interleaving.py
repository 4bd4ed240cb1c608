"""How texts, pictures and `[RET]`s become one sequence: the same for prompts, for training and for the length check.

Each text is tokenized on its own. Only the prefix and suffix that stand round every picture are joined to the texts
beside them, so that a tokenizer sees them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

IMAGE_SLOT = -1  # stands in the ids of a sequence where a visual token goes
IGNORED = -100  # stands in the labels of a sequence where nothing is learnt


@dataclass(frozen=True)
class Text:
    """Words.

    Attributes:
        text: tokenized on its own, as a prompt's texts and a generated reply are.
        label: true where the language model learns to say them (an answer), false where it only reads them.
        joined: true if it is tokenized together with the text after it, as the end of a reply and the next question
            are when they are fed as one prompt.
    """

    text: str
    label: bool = False
    joined: bool = False


@dataclass(frozen=True)
class Ret:
    """A `[RET]` that the language model learns to say (always a label); its query is to find row `row`'s picture."""

    row: int


P = TypeVar("P")  # a picture in the caller's own form, or a `Ret`


def interleave(segments: Iterable[Text | P], prefix: str, suffix: str) -> Iterator[list[Text] | P]:
    """The pieces of a sequence in their order: texts that the tokenizer sees as one, pictures, `[RET]`s.

    An empty text stays a piece of its own: alone it stands for the beginning of a text.

    Args:
        segments: in reading order; what is neither `Text` nor `Ret` is a picture.
        prefix: `FromageConfig.image_prefix`; one that begins with a blank replaces the blanks before it.
        suffix: `FromageConfig.image_suffix`.
    """
    stretch: list[Text] = []
    is_open = False  # whether the next text is joined to the stretch
    for segment in segments:
        if isinstance(segment, Text):
            if stretch and not is_open:
                yield stretch
                stretch = []
            stretch = [*stretch, segment]
            is_open = segment.joined
            continue
        is_picture = not isinstance(segment, Ret)
        if is_picture and prefix:
            stretch = [*(_without_blanks(stretch) if prefix.startswith(" ") else stretch), Text(prefix)]
        if stretch:
            yield stretch
        yield segment
        is_open = is_picture and bool(suffix)
        stretch = [Text(suffix)] if is_open else []
    if stretch:
        yield stretch


def joined(stretch: Iterable[Text]) -> str:
    """The whole text of a stretch."""
    return "".join(part.text for part in stretch)


def _without_blanks(stretch: list[Text]) -> list[Text]:
    """The stretch without the blanks at its end."""
    kept = list(stretch)
    for number in reversed(range(len(kept))):
        kept[number] = replace(kept[number], text=kept[number].text.rstrip(" "))
        if kept[number].text:
            break
    return kept
