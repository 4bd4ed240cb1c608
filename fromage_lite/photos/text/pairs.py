"""Questions about two pictures in one message: which is the bird, what is in the first."""

from __future__ import annotations

import random

from fromage_lite.photos.text import telling
from fromage_lite.photos.text.document import Asked, Document, Mixture, Picture, say, say_with
from fromage_lite.photos.text.questions import asked_thing
from fromage_lite.photos.text.words import members
from fromage_lite.photos.world.nouns import with_article
from fromage_lite.photos.world.saying import saying
from fromage_lite.text.forms import remarks

_WHICH_ONE = (
    "which one is {the}?", "which is {the}?", "which of them is {a}?", "which picture shows {a}?", "where is {the}?",
    "which one is {a}?", "in which picture is {the}?", "which one shows {a}?", "which of the two is {a}?",
    "which picture has {a}?", "where do you see {a}?", "which photo shows {the}?", "on which one is {a}?",
)  # fmt: skip
_BOTH = ("what are they?", "what do they show?", "what do you see?", "what are these?", "what is in the pictures?",
         "what do the two pictures show?", "describe them.", "what is in these pictures?")  # fmt: skip
_PLACE_FORMS = ("what is in the {n} picture?", "what is the {n} one?", "what does the {n} picture show?",
                "and the {n} one?", "what is in the {n} one?", "what is the {n} picture?", "describe the {n} one.",
                "what is in the {n} photo?", "the {n} one?", "and in the {n}?")  # fmt: skip
FIRST, SECOND, BOTH, NEITHER = "the first one.", "the second one.", "both.", "neither."
_UNNAMED = "something that i can't name"


def which_one(first: Mixture, second: Mixture, rng: random.Random) -> tuple[str, str, Asked | None]:
    """A question that asks which of two pictures shows something, its answer, and what it asks for; asked only where it
    is certain."""
    for _ in range(50):
        word = asked_thing(rng.choice((first, second)), rng)
        shares = [telling.mass(mixture, members(word)) for mixture in (first, second)]
        if any(telling.NO < share < telling.YES for share in shares):
            continue
        here, there = (share >= telling.YES for share in shares)
        if here == there and rng.random() < 0.55:  # both or neither are less to learn from
            continue
        answer = (BOTH if there else FIRST) if here else SECOND if there else NEITHER
        the = "the " + word if not word.startswith("some") else word
        return (
            rng.choice(_WHICH_ONE).format(the=the, a=with_article(word)),
            answer,
            Asked(word, members(word), tuple(shares)),
        )
    return rng.choice(_BOTH), both(first, second), None


def both(first: Mixture, second: Mixture) -> str:
    """What two pictures show: `a tabby and some kind of bird.`"""
    return " and ".join(telling.short(saying(mixture)) or _UNNAMED for mixture in (first, second)) + "."


def place_question(pictures: list[Mixture], rng: random.Random) -> tuple[str, str]:
    """What is in the first picture, or another by its place."""
    ordinal = rng.choice((*remarks.ORDINALS[: len(pictures)] * 3, *remarks.ORDINALS[: len(pictures) + 1], "last"))
    at = -1 if ordinal == "last" else remarks.ORDINALS.index(ordinal)
    answer = telling.description(pictures[at]) if at < len(pictures) else remarks.no_such_picture(ordinal)
    forms = (*_PLACE_FORMS, *remarks.IN_ORDER)
    return rng.choice(forms).format(n=ordinal), answer


def pair_questions(first: Mixture, second: Mixture, rng: random.Random, n: int, which: float = 0.5) -> Document:
    """Two pictures in one message, and `n` questions about them, a share `which` of them on which one shows a thing."""
    document: Document = []
    for number in range(n):
        draw, asked = rng.random(), None
        if draw < which:
            question, answer, asked = which_one(first, second, rng)
        elif draw < which + 0.12:
            question, answer = rng.choice(_BOTH), both(first, second)
        else:
            question, answer = place_question([first, second], rng)
        if number == 0:
            document += say_with([Picture(first), Picture(second)], question, answer, asked)
        else:
            document += say(question, answer, asked)
    return document
