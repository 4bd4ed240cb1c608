"""Drills: practice for the LM in what it learns last, reading its own context, with many answers in little text."""

from __future__ import annotations

import random

from fromage_lite.playground.text.document import Document, Picture, Words
from fromage_lite.playground.text.documents import described
from fromage_lite.playground.text.questions import ask
from fromage_lite.playground.world.scene import Split, sample_scene
from fromage_lite.playground.world.things import (
    CATEGORY_OF,
    COLOURS,
    NUMBERS,
    SETTINGS,
    SIZES,
    THINGS,
    THINGS_BY_CATEGORY,
    is_a,
)

_WORDS = (*THINGS, *COLOURS, *SIZES, *NUMBERS[1:], *SETTINGS)
_HARD_KINDS = ("is_there", "category", "yes_no", "side", "missing")


def echo(rng: random.Random, split: Split = "train") -> Document:
    """Lists of words, each said again: practice in copying from the context."""
    document: Document = []
    for _ in range(rng.randint(2, 4)):
        words = [rng.choice(_WORDS) for _ in range(rng.randint(2, rng.choice((3, 6, 16))))]
        document += [Words(f"say: {' '.join(words)}.\nsay:", label=False), Words(f" {' '.join(words)}.\n")]
    return document


def recall(rng: random.Random, split: Split = "train") -> Document:
    """Pairs of words, then the same pairs in another order: practice in looking up what stood beside a word."""
    document: Document = []
    for _ in range(rng.randint(1, 3)):
        keys = rng.sample(THINGS, rng.randint(1, rng.choice((2, 4, 10))))
        pairs = [(key, rng.choice(_WORDS)) for key in keys]
        document.append(
            Words("pairs: " + " ".join(f"{key} {value}" for key, value in pairs) + ".\npairs:", label=False)
        )
        for key, value in rng.sample(pairs, len(pairs)):
            document += [Words(f" {key}", label=False), Words(f" {value}")]
        document.append(Words(".\n"))
    return document


def membership(rng: random.Random, split: Split = "train") -> Document:
    """A list of things, then whether it holds this thing or a thing of that category."""
    things = rng.sample(THINGS, rng.randint(1, 6))
    document: Document = [Words(f"things: {' '.join(things)}.\n", label=False)]
    for _ in range(rng.randint(6, 14)):
        if rng.random() < 0.35:
            asked = rng.choice([CATEGORY_OF[t] for t in things] if rng.random() < 0.5 else list(THINGS_BY_CATEGORY))
            is_member = any(is_a(thing, asked) for thing in things)
        else:
            asked = rng.choice(things if rng.random() < 0.5 else THINGS)
            is_member = asked in things
        document += [Words(f" {asked}?", label=False), Words(" yes." if is_member else " no.")]
    return document


def neighbours(rng: random.Random, split: Split = "train") -> Document:
    """A row of things, then what stands to the left or to the right of each."""
    things = rng.sample(THINGS, rng.randint(2, 6))
    document: Document = [Words(f"row: {' '.join(things)}.\n", label=False)]
    for _ in range(rng.randint(5, 10)):
        i, side = rng.randrange(len(things)), rng.choice(("left", "right"))
        j = i - 1 if side == "left" else i + 1
        answer = things[j] if 0 <= j < len(things) else "nothing"
        document += [Words(f" {side} of {things[i]}?", label=False), Words(f" {answer}.")]
    return document


def hard_questions(rng: random.Random, split: Split = "train") -> Document:
    """A described or shown scene with many questions of the kinds that are learned last."""
    scene = sample_scene(rng, split)
    document: Document = [Picture(scene)] if rng.random() < 0.5 else [Words(described(scene, rng) + "\n", label=False)]
    for _ in range(rng.randint(6, 12)):
        question = ask(scene, rng, rng.choice(_HARD_KINDS))
        if question:
            document += [Words(f"Q: {question.text}\nA:", label=False), Words(f" {question.answer}\n")]
    return document
