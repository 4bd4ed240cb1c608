"""What the texts about photographs are made of: words and pictures, in turns or not.

A picture is a mixture of classes, as the encoder sees it. For the LM's text it becomes a span of visual tokens; for a
bridge a shown picture becomes an image, and a picture given in answer becomes `[RET]`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fromage_lite.photos.text.words import N_TAGS, VOCABULARY, Members
from fromage_lite.text.forms import document as forms
from fromage_lite.text.forms.document import Words

Mixture = npt.NDArray[np.float32]
"""Probabilities of the classes, `(1000,)`."""


@dataclass(frozen=True)
class Picture:
    """A picture in a document.

    Attributes:
        mixture: what the encoder sees in it; of an `answer`, the classes that were asked for, in equal parts.
        answer: given by the model (`[RET]`), not shown by the user.
        found: what the index had for the `answer` right before it.
    """

    mixture: Mixture = field(repr=False)
    answer: bool = False
    found: bool = False


@dataclass(frozen=True)
class Asked:
    """A thing that a question asks for.

    Attributes:
        thing: its word, as it stands in the question.
        classes: the classes that it means.
        shares: how much of it the picture has that is meant; or both pictures.
    """

    thing: str
    classes: Members
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Question(Words):
    """The words of a question that asks for a thing."""

    asked: Asked | None = None


Piece = Words | Picture
Document = list[Piece]


def say(question: str, answer: str, asked: Asked | None = None) -> Document:
    """A turn in words; `asked` is what the question asks for, if it is known."""
    return [_question(f"Q: {question}\nA:", asked), Words(f" {answer}\n")]


def say_with(pictures: list[Picture], question: str, answer: str, asked: Asked | None = None) -> Document:
    """A turn whose message begins with pictures."""
    document: Document = [Words("Q:", label=False), *pictures]
    return [*document, _question(f" {question}\nA:", asked), Words(f" {answer}\n")]


def _question(text: str, asked: Asked | None) -> Words:
    return Words(text, label=False) if asked is None else Question(text, label=False, asked=asked)


def length(document: Document) -> int:
    """About how many tokens a document has: words, marks, and a picture's span."""
    words = (len(re.findall(r"\w+|[^\w\s]|\n", piece.text)) for piece in document if isinstance(piece, Words))
    return sum(words) + (N_TAGS + 2) * sum(isinstance(piece, Picture) for piece in document)


def as_typed(document: Document, rng: random.Random, slips: float = 0.05) -> Document:
    """The same document, its questions as people type them: without an end mark, shortened, with digits or a slip."""
    return forms.as_typed(document, rng, VOCABULARY, slips)
