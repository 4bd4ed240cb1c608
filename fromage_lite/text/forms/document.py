"""What the texts of a shipped world are made of: words and pictures, in turns or not."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from fromage_lite.text.forms import typed


@dataclass(frozen=True)
class Words:
    """Text; `label` tells whether a dialogue model is to learn saying it (answers, not questions)."""

    text: str
    label: bool = True


class AnyPicture(Protocol):
    """A picture in a document; the world says what it shows."""

    @property
    def answer(self) -> bool:
        """Given by the model (`[RET]`), not shown by the user."""

    @property
    def found(self) -> bool:
        """What the index had for the answer right before it."""


P = TypeVar("P", bound=AnyPicture)


def say(question: str, answer: str) -> list[Words]:
    """A turn in words."""
    return [Words(f"Q: {question}\nA:", label=False), Words(f" {answer}\n")]


def as_typed(
    document: Sequence[Words | P], rng: random.Random, vocabulary: Collection[str], slips: float = 0.07
) -> list[Words | P]:
    """The same document, its questions as people type them: without an end mark, shortened, with digits or a slip."""
    return [
        replace(piece, text=_typed(piece.text, rng, vocabulary, slips))
        if isinstance(piece, Words) and piece.text.endswith("\nA:")
        else piece
        for piece in document
    ]


def _typed(text: str, rng: random.Random, vocabulary: Collection[str], slips: float) -> str:
    start = "Q: " if text.startswith("Q: ") else " "
    return start + typed.as_typed(text.removeprefix(start).removesuffix("\nA:"), rng, vocabulary, slips) + "\nA:"


@dataclass(frozen=True)
class Turn(Generic[P]):
    """One message and its reply; pictures stand in place."""

    message: tuple[str | P, ...]
    reply: tuple[str | P, ...]


def as_turns(document: Sequence[Words | P]) -> list[Turn[P]]:
    """The turns of a document that is a dialogue (`Q: …\\nA: …\\n`), without the marks of the template."""
    turns: list[tuple[list[str | P], list[str | P]]] = []
    for piece in document:
        if not isinstance(piece, Words):
            turns[-1][1 if piece.answer or piece.found else 0].append(piece)
        elif piece.label:
            if text := piece.text.strip():
                turns[-1][1].append(text)
        else:
            if piece.text.startswith("Q:"):
                turns.append(([], []))
            if text := piece.text.removeprefix("Q:").removesuffix("\nA:").strip():
                turns[-1][0].append(text)
    return [Turn(tuple(message), tuple(reply)) for message, reply in turns]
