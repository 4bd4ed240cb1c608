"""What the playground's texts are made of: words and pictures, in turns or not.

For the LM's text every picture becomes a picture span of tags; for a bridge a shown picture becomes an image and a
picture given in answer becomes `[RET]`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from fromage_lite.playground.world.scene import Scene, Split, has_held_out_pair, has_held_out_setting


@dataclass(frozen=True)
class Words:
    """Text; `label` tells whether a dialogue model is to learn saying it (answers, not questions)."""

    text: str
    label: bool = True


@dataclass(frozen=True)
class Picture:
    """A picture in a document.

    Attributes:
        scene: what it shows.
        answer: given by the model (`[RET]`), not shown by the user.
        told: the text before it says what it shows.
    """

    scene: Scene
    answer: bool = False
    told: bool = False


Piece = Words | Picture
Document = list[Piece]


def allowed(scene: Scene, split: Split) -> bool:
    """Whether a scene may occur in a split's texts."""
    return split == "any" or not (has_held_out_pair(scene) or has_held_out_setting(scene))


def say(question: str, answer: str) -> Document:
    """A turn in words."""
    return [Words(f"Q: {question}\nA:", label=False), Words(f" {answer}\n")]


_SHORT = (("what is ", "what's "), ("where is ", "where's "), ("two ", "2 "), ("three ", "3 "), ("four ", "4 "))


def as_typed(document: Document, rng: random.Random) -> Document:
    """The same document, its questions as people type them: some without an end mark, some shortened or with digits."""
    return [
        replace(piece, text=_typed(piece.text.removesuffix("\nA:"), rng) + "\nA:")
        if isinstance(piece, Words) and piece.text.endswith("\nA:")
        else piece
        for piece in document
    ]


def _typed(question: str, rng: random.Random) -> str:
    if rng.random() < 0.3:
        question = question.rstrip(".?!")
    for words, short in _SHORT:
        if rng.random() < 0.1:
            question = question.replace(words, short)
    return question
