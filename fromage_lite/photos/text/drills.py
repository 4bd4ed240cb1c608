"""Drills: practice for the LM in what it learns last, with many answers in little text."""

from __future__ import annotations

import random

from fromage_lite.photos.text import pictures
from fromage_lite.photos.text.document import Document, Picture, Words, say, say_with
from fromage_lite.photos.text.pairs import pair_questions
from fromage_lite.photos.text.questions import ask
from fromage_lite.photos.text.talk import fact
from fromage_lite.photos.text.words import NAMES, tags
from fromage_lite.photos.world.classes import CLASSES


def yes_no(rng: random.Random) -> Document:
    """A picture with many yes/no questions, near misses among them."""
    mixture = pictures.anything(rng)
    document: Document = []
    for number in range(rng.randint(5, 10)):
        question = ask(mixture, rng, rng.choices(("yes_no", "choice", "which", "ability"), (0.64, 0.14, 0.16, 0.06))[0])
        if number == 0:
            document += say_with([Picture(mixture)], question.text, question.answer, question.asked)
        else:
            document += say(question.text, question.answer, question.asked)
    return document


def naming(rng: random.Random) -> Document:
    """Many pictures, each with one question: what it is, what kind, what it could be."""
    document: Document = []
    for _ in range(rng.randint(3, 8)):
        mixture = pictures.anything(rng)
        question = ask(mixture, rng, rng.choices(("what", "kind", "guess"), (0.75, 0.15, 0.1))[0])
        document += say_with([Picture(mixture)], question.text, question.answer, question.asked)
    return document


def which_one(rng: random.Random) -> Document:
    """Two pictures and many questions on which of them shows something."""
    return pair_questions(*pictures.pair(rng), rng, rng.randint(4, 8), which=0.8)


def facts(rng: random.Random) -> Document:
    """Facts about classes, one after the other."""
    document: Document = []
    for _ in range(rng.randint(3, 8)):
        document += say(*fact(rng))
    return document


def copying(rng: random.Random) -> Document:
    """Lists of names with their kinds, each said again: practice in copying from the context."""
    document: Document = []
    for _ in range(rng.randint(2, 3)):
        words = [rng.choice(NAMES) for _ in range(rng.randint(2, 6))]
        document += [Words(f"say: {', '.join(words)}.\nsay:", label=False), Words(f" {', '.join(words)}.\n")]
    return document


def tagged(rng: random.Random) -> Document:
    """Names with all their kinds: what stands in a picture span, in words."""
    rows = [CLASSES[rng.randrange(len(CLASSES))] for _ in range(rng.randint(3, 8))]
    lines = [f"{row.name}: {', '.join(tag for tag in tags(row)[3:] if tag != '-')}.\n" for row in rows]
    return [Words(line) for line in lines]
