"""Questions about one picture and their answers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fromage_lite.photos.text import telling
from fromage_lite.photos.text.document import Asked, Mixture
from fromage_lite.photos.text.strangers import UNKNOWN, stranger
from fromage_lite.photos.text.words import (
    ABILITIES,
    ADJECTIVES,
    NAMES,
    WORDS_OF_KINDS,
    able,
    members,
    words_of,
)
from fromage_lite.photos.world.classes import CLASSES, KINDS
from fromage_lite.photos.world.nouns import has_article, plural, with_article

Exchange = tuple[str, str] | tuple[str, str, Asked]
"""A question, its answer, and what it asks for."""


@dataclass(frozen=True)
class Question:
    """A question and its answer; `kind` is one of `KINDS_OF_QUESTIONS`."""

    text: str
    answer: str
    kind: str
    asked: Asked | None = None


WHAT = (
    "what is this?", "what is it?", "what is in the picture?", "what do you see?", "what does the picture show?",
    "describe the picture.", "what is that?", "what can you see?", "what is in this picture?", "tell me what this is.",
    "what is on the picture?", "what am i looking at?", "do you know what this is?", "what is this thing?",
    "what does it show?", "can you tell me what this is?", "what is here?", "describe it.", "what is shown?",
    "what is in the photo?", "what does this photo show?", "what is in this photo?", "what is on the photo?",
    "and this?",
    "what is in the image?", "describe this picture.", "what do we see here?", "and what is this?", "name it.",
    "what is that thing?", "who is this?", "what did i take a picture of?", "what could you see in it?",
    "what about this?",
)  # fmt: skip
MY_PICTURE = (
    "what is in my picture?", "what does my picture show?", "what was in my picture?", "describe my picture.",
    "what is in my photo?", "and in my picture?", "what did i show you?", "what is on my picture?",
    "what was in my photo?", "and my picture?", "what is in mine?", "tell me about my picture.",
)  # fmt: skip
"""What can only mean the user's own picture."""

_KIND = (
    "what kind of thing is it?", "what kind of thing is this?", "what sort of thing is it?", "what kind is it?",
    "what sort of thing is this?", "what kind of thing is that?", "which kind of thing is it?",
    "what is it in general?", "what kind of thing is in the picture?",
)  # fmt: skip
_WHICH = (
    "what kind of {k} is it?", "what kind of {k} is this?", "which {k} is it?", "which {k} is this?",
    "what {k} is this?",
    "what {k} is it?", "what kind of {k} is that?", "what sort of {k} is it?", "what kind of {k} is in the picture?",
    "which {k} do you see?",
)  # fmt: skip
_YES_NO = (
    "is it {a}?", "is this {a}?", "is that {a}?", "is there {a}?", "is there {a} in the picture?", "do you see {a}?",
    "is it {a}?", "is this {a}?", "can you see {a}?", "does it show {a}?", "is it a picture of {a}?",
    "could it be {a}?", "is that really {a}?", "is there {a} in it?", "does the picture show {a}?", "so it is {a}?",
    "might it be {a}?", "is there {a} here?", "isn't it {a}?", "is there {a} in the photo?",
)  # fmt: skip
_YES_NO_MANY = (
    "are there any {s}?", "do you see any {s}?", "are there {s} in the picture?", "are these {s}?", "any {s}?",
    "are there {s}?", "can you see any {s}?",
)  # fmt: skip
_GUESS = (
    "what could it be?", "what might it be?", "take a guess.", "guess what it is.", "what do you think it is?",
    "any guess?", "what could this be?", "can you guess?", "just guess.", "what might this be?", "have a guess.",
    "what is your guess?", "what does it look like?",
)  # fmt: skip
_USE = (
    "what can one do with it?", "what can i do with it?", "what is it for?", "what is it good for?",
    "what can you do with it?", "what do people do with it?", "what is that for?", "what is it used for?",
)  # fmt: skip
_CHOICE = ("is it {a} or {b}?", "is this {a} or {b}?", "is that {a} or {b}?", "{a} or {b}?",
           "what is it, {a} or {b}?", "does it show {a} or {b}?")  # fmt: skip
_BEYOND = (
    "what colour is it?", "how many are there?", "where is it?", "where is this?", "is it big?", "how old is it?",
    "how big is it?", "what is its name?", "is it day or night?", "who took this picture?", "when was this?",
    "is it a nice picture?", "what is in the background?", "what is it doing?", "how much does it cost?",
    "is it male or female?", "what is next to it?", "is it far away?", "what is behind it?", "how many do you see?",
    "which colour does it have?", "what is the weather like in the picture?", "what is written there?",
    "is it happy?", "where was this taken?", "how many people are there?", "what is on the left?", "is it heavy?",
    "what colour is this?", "is it old?", "is it beautiful?", "what is it made of?",
)  # fmt: skip
BEYOND = "i can only tell what things are."
"""The answer to what class probabilities don't say."""
_SURE = ("how sure are you?", "how sure?", "how certain are you?", "how sure are you about it?")

_STRANGE_SHARE, _DESCRIBED_SHARE = 0.04, 0.05
"""Of yes/no questions: about what the model doesn't know, and with an adjective, which it doesn't see."""

WEIGHTS: dict[str, float] = {
    "what": 3.0, "kind": 1.2, "which": 1.0, "yes_no": 4.5, "guess": 0.7, "use": 0.7, "ability": 0.7, "sure": 0.2,
    "choice": 0.7, "beyond": 0.35,
}  # fmt: skip
KINDS_OF_QUESTIONS = tuple(WEIGHTS)


def ask(mixture: Mixture, rng: random.Random, kind: str | None = None) -> Question:
    """A question about a picture, of a kind or any."""
    kind = kind or rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    text, answer, *asked = _ASK[kind](mixture, rng)
    return Question(text, answer, kind, *asked)


def questions(mixture: Mixture, rng: random.Random, n: int) -> list[Question]:
    """Several; what it is comes first half of the time, as in life."""
    first = "what" if rng.random() < 0.5 else None
    return [ask(mixture, rng, first if i == 0 else None) for i in range(n)]


def asked_thing(mixture: Mixture, rng: random.Random) -> str:
    """A word to ask for: what the picture shows, by any of its words or kinds, or what it doesn't, often nearly so."""
    draw = rng.random()
    likely = _likely(mixture, rng)
    if draw < 0.2:
        return rng.choice(words_of(likely)) if rng.random() < 0.4 else NAMES[likely]
    if draw < 0.48:
        return _word_of_kind(rng.choice(CLASSES[likely].kinds), rng)
    if draw < 0.62:  # a near miss: another of the same kind
        siblings = [n for n in KINDS[CLASSES[likely].kinds[0]] if n != likely] or range(len(NAMES))
        number = rng.choice(siblings)
        return rng.choice(words_of(number)) if rng.random() < 0.3 else NAMES[number]
    if draw < 0.76:  # a kind beside its own
        wider = CLASSES[likely].kinds[-1]
        beside = [k for k in KINDS if likely not in KINDS[k] and KINDS[k][0] in KINDS[wider]]
        return _word_of_kind(rng.choice(beside), rng) if beside else _any_kind(rng)
    if draw < 0.9:
        return _any_kind(rng)
    return rng.choice(words_of(rng.randrange(len(NAMES))))


def _likely(mixture: Mixture, rng: random.Random) -> int:
    """Mostly the likeliest class, else one drawn from the mixture."""
    if rng.random() < 0.75:
        return int(mixture.argmax())
    cumulated = np.cumsum(mixture)
    return min(int(np.searchsorted(cumulated, rng.random() * float(cumulated[-1]))), len(NAMES) - 1)


def _word_of_kind(kind: str, rng: random.Random) -> str:
    return kind if rng.random() < 0.75 else rng.choice(WORDS_OF_KINDS[kind])


def _any_kind(rng: random.Random) -> str:
    """A kind, wide ones more often."""
    kind = rng.choice(list(KINDS))
    if rng.random() < 0.4:
        kind = CLASSES[KINDS[kind][0]].kinds[-1]
    return _word_of_kind(kind, rng)


def _what(mixture: Mixture, rng: random.Random) -> tuple[str, str]:
    return rng.choice(WHAT), telling.description(mixture)


def _kind(mixture: Mixture, rng: random.Random) -> tuple[str, str]:
    return rng.choice(_KIND), telling.kind_answer(mixture)


def _which(mixture: Mixture, rng: random.Random) -> tuple[str, str]:
    """What kind of cat it is; of what is none, that it is none."""
    own = rng.random() < 0.75
    kind = rng.choice(CLASSES[int(mixture.argmax())].kinds) if own else rng.choice(list(KINDS))
    word = _word_of_kind(kind, rng)
    share = telling.mass(mixture, members(word))
    if share >= telling.YES:
        answer = telling.description(mixture)
    else:
        answer = f"it is no {word}." if share <= telling.NO else telling.CAN_NOT_TELL
    return rng.choice(_WHICH).format(k=word), answer


def yes_no_text(word: str, rng: random.Random) -> str:
    """A yes/no question for a word."""
    if rng.random() < 0.12:
        return rng.choice(_YES_NO_MANY).format(s=plural(word))
    return yes_no_about(with_article(word), rng)


def yes_no_about(phrase: str, rng: random.Random) -> str:
    """A yes/no question for a noun phrase that has its article."""
    return rng.choice(_YES_NO).format(a=phrase)


def _yes_no(mixture: Mixture, rng: random.Random) -> Exchange:
    draw = rng.random()
    if draw < _STRANGE_SHARE:
        return yes_no_about(stranger(rng), rng), UNKNOWN
    word = asked_thing(mixture, rng)
    answer = telling.yes_no(mixture, members(word))
    asked = Asked(word, members(word), (telling.mass(mixture, members(word)),))
    if draw < _STRANGE_SHARE + _DESCRIBED_SHARE and has_article(word):
        described = f"{rng.choice(ADJECTIVES)} {word}"
        return yes_no_about(with_article(described), rng), answer, asked
    return yes_no_text(word, rng), answer, asked


def _choice(mixture: Mixture, rng: random.Random) -> tuple[str, str]:
    while True:
        words = [asked_thing(mixture, rng), asked_thing(mixture, rng)]
        asked = [members(word) for word in words]
        if asked[0] != asked[1]:
            break
    text = rng.choice(_CHOICE).format(a=with_article(words[0]), b=with_article(words[1]))
    return text, telling.choice(mixture, words, asked)


def _beyond(mixture: Mixture, rng: random.Random) -> tuple[str, str]:
    return rng.choice(_BEYOND), BEYOND


def _guess(mixture: Mixture, rng: random.Random) -> tuple[str, str]:
    return rng.choice(_GUESS), telling.guess(mixture)


def _use(mixture: Mixture, rng: random.Random) -> tuple[str, str]:
    return rng.choice(_USE), telling.use(mixture)


def _ability(mixture: Mixture, rng: random.Random) -> tuple[str, str]:
    fitting = [question for question in ABILITIES if telling.mass(mixture, able(question)) >= telling.YES]
    question = rng.choice(fitting if fitting and rng.random() < 0.5 else list(ABILITIES))
    share = telling.mass(mixture, able(question))
    return question, "yes." if share >= telling.YES else "no." if share <= telling.NO else telling.MAYBE


def _sure(mixture: Mixture, rng: random.Random) -> tuple[str, str]:
    return rng.choice(_SURE), telling.sureness(mixture)


_ASK: dict[str, Callable[[Mixture, random.Random], Exchange]] = {
    "what": _what, "kind": _kind, "which": _which, "yes_no": _yes_no, "guess": _guess, "use": _use,
    "ability": _ability, "sure": _sure, "choice": _choice, "beyond": _beyond,
}  # fmt: skip
