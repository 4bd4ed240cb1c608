"""Requests for pictures, with their follow-ups: what is asked for in words is answered with a picture."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from fromage_lite.photos.text import pictures
from fromage_lite.photos.text.document import Document, Mixture, Picture, Words, say
from fromage_lite.photos.text.questions import MY_PICTURE, ask
from fromage_lite.photos.text.strangers import UNKNOWN, stranger
from fromage_lite.photos.text.words import (
    ADJECTIVES,
    NAMES,
    PLACES,
    SOMETHING,
    WORDS_OF_KINDS,
    Members,
    members,
    words_of,
)
from fromage_lite.photos.world.classes import CLASSES, KINDS
from fromage_lite.photos.world.nouns import article, has_article, plural, with_article
from fromage_lite.text.forms.requests import AGAIN, CORRECTIONS, REQUESTS, SIMILAR, THING_CHANGES

_SEEN_SHARE = 0.85
"""How often the found picture stands in the context; a picture may have gone."""

_STRANGE_SHARE = 0.2
"""How often a dialogue of requests begins with one for what the model doesn't know."""

_NOT_THAT = ("not that one.", "no, another one.", "not this one.", "no, a different one.", "no, not that one.",
             "something like it.", "show me a different one.")  # fmt: skip
_LIKE_MINE = ("more like my picture.", "show me something like my picture.", "find pictures like mine.",
              "do you have one like mine?", "more like mine.", "show me a picture like mine.",
              "find one like my picture.", "something similar to my picture, please.")  # fmt: skip
_SAME_KIND = ("show me another {k}.", "another {k}.", "one more {k}, please.", "do you have another {k}?",
              "show me one more {k}.")  # fmt: skip


@dataclass(frozen=True)
class Wish:
    """What was asked for.

    Attributes:
        words: a name, a synonym or a kind; empty for what is like a picture.
        classes: the numbers of the classes that fit.
        like: the picture that it is to be like.
    """

    words: str
    classes: Members
    like: Mixture | None = None

    @property
    def answer(self) -> str:
        """What the model says before it gives a picture."""
        return f"here you are: {with_article(self.words)}." if self.words else "here you are."

    @property
    def target(self) -> Mixture:
        """The classes that fit, in equal parts; or what the picture is that it is to be like."""
        if self.like is not None:
            return self.like
        target = np.zeros(len(NAMES), dtype=np.float32)
        target[list(self.classes)] = 1 / len(self.classes)
        return target

    def found(self, rng: random.Random) -> Mixture:
        """What an index may have for it: mostly what fits, else something near, seldom anything."""
        draw = rng.random()
        if self.like is not None:
            number = int(self.like.argmax())
            return pictures.of_class(number if draw < 0.7 else rng.choice(KINDS[CLASSES[number].kinds[0]]), rng)
        number = rng.choice(self.classes)
        if 0.75 <= draw < 0.92:
            number = rng.choice(KINDS[CLASSES[number].kinds[0]])
        return pictures.anything(rng) if draw >= 0.92 else pictures.of_class(number, rng)


def any_wish(rng: random.Random) -> Wish:
    """A wish for a class, by name or synonym, or for anything of a kind."""
    draw = rng.random()
    if draw < 0.22:
        words = rng.choice(NAMES)
    elif draw < 0.65:
        words = rng.choice(words_of(rng.randrange(len(NAMES))))
    elif draw < 0.95:
        words = rng.choice(WORDS_OF_KINDS[rng.choice(list(KINDS))])
    else:
        words = rng.choice(SOMETHING)
    return Wish(words, members(words))


def wished(wish: Wish, rng: random.Random) -> str:
    """The noun phrase by which a wish is asked for, also with what the model doesn't see: `a big dog on the beach`."""
    words = wish.words
    if words.startswith("something"):
        return words
    draw = rng.random()
    if draw < 0.12:
        words = f"{rng.choice(ADJECTIVES)} {words}"
    if draw > 0.9:
        words = f"{words} {rng.choice(PLACES)}"
    if not has_article(wish.words):
        return words if rng.random() < 0.7 else f"some {words}"
    form = rng.random()
    if form < 0.62:
        return f"{article(words)} {words}"
    if form < 0.72:
        return f"{rng.choice(('any', 'some', 'the', 'my'))} {words}"
    return plural(words) if draw <= 0.9 and form < 0.88 else words


def request_text(wish: Wish, rng: random.Random) -> str:
    """A request for a wish."""
    return rng.choice(REQUESTS).format(x=wished(wish, rng))


def answer_turn(question: str, wish: Wish, rng: random.Random, shown: Mixture | None = None) -> Document:
    """A request in the user's words, answered with a picture: what was wished for, then what the index had.

    Args:
        question: the message.
        wish: what it asks for.
        rng: the source of all randomness.
        shown: a picture that the message begins with.
    """
    message = [Words(f"Q: {question}\nA:", label=False)]
    document: Document = [*message]
    if shown is not None:
        document = [Words("Q:", label=False), Picture(shown), Words(f" {question}\nA:", label=False)]
    document += [Words(" " + wish.answer), Picture(wish.target, answer=True)]
    if rng.random() < _SEEN_SHARE:
        document.append(Picture(wish.found(rng), found=True))
    return [*document, Words("\n")]


def requests(rng: random.Random, turns: int | None = None) -> Document:
    """A dialogue that asks for pictures and follows up with changes, or with questions about the last."""
    document: Document = []
    if rng.random() < _STRANGE_SHARE:
        document += say(rng.choice(REQUESTS).format(x=stranger(rng)), UNKNOWN)
    wish = any_wish(rng)
    document += answer_turn(request_text(wish, rng), wish, rng)
    document += _about_the_answer(document, rng)
    for _ in range(turns if turns is not None else rng.choice((0, 1, 1, 2, 3))):
        wish, question = follow_up(wish, rng)
        document += answer_turn(question, wish, rng)
        document += _about_the_answer(document, rng)
    return document


def follow_up(wish: Wish, rng: random.Random) -> tuple[Wish, str]:
    """A change of the wish, and the words for it."""
    draw = rng.random()
    if draw < 0.3:
        return wish, rng.choice(AGAIN if rng.random() < 0.75 else _NOT_THAT)
    other = any_wish(rng)
    if draw < 0.65:
        return other, rng.choice(THING_CHANGES).format(x=wished(other, rng))
    if draw < 0.82 and wish.words:
        not_wanted = rng.choice((with_article(wish.words), with_article(wish.words), "that", "this", wish.words))
        return other, rng.choice(CORRECTIONS).format(x=with_article(other.words), y=not_wanted)
    return other, request_text(other, rng)


def like_a_picture(rng: random.Random) -> Document:
    """A picture of the user's, and a wish for more like it, at once or later."""
    shown = pictures.certain(rng) if rng.random() < 0.8 else pictures.anything(rng)
    wish = Wish("", (), shown)
    if rng.random() < 0.5:
        return answer_turn(rng.choice((*SIMILAR, *_LIKE_MINE)), wish, rng, shown)
    question = ask(shown, rng)
    document: Document = [Words("Q:", label=False), Picture(shown)]
    document += [Words(f" {question.text}\nA:", label=False), Words(f" {question.answer}\n")]
    if rng.random() < 0.5:
        between = any_wish(rng)
        document += answer_turn(request_text(between, rng), between, rng)
        return document + answer_turn(rng.choice(_LIKE_MINE), wish, rng)
    return document + answer_turn(rng.choice((*SIMILAR, *_LIKE_MINE)), wish, rng)


def _about_the_answer(document: Document, rng: random.Random) -> Document:
    """Questions about the picture that was found last, if it is there."""
    last = next(piece for piece in reversed(document) if isinstance(piece, Picture))
    if not last.found or rng.random() > 0.4:
        return []
    about: Document = []
    for _ in range(rng.choice((1, 1, 2))):
        question = ask(last.mixture, rng)
        if question.text not in MY_PICTURE:
            about += [Words(f"Q: {question.text}\nA:", label=False), Words(f" {question.answer}\n")]
    return about
