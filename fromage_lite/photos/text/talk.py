"""Everything that is said without a picture: the shared forms of talk with the words of the classes."""

from __future__ import annotations

import random

from fromage_lite.photos.text.questions import WHAT, yes_no_about
from fromage_lite.photos.text.strangers import STRANGERS, UNKNOWN, stranger
from fromage_lite.photos.text.words import NAMES, WORDS_OF_KINDS, members, words_of
from fromage_lite.photos.world.classes import CLASSES, KINDS
from fromage_lite.photos.world.nouns import article, has_article, plural, with_article
from fromage_lite.text.forms import remarks, talk
from fromage_lite.text.forms.talk import Exchange


class Photos:
    """The words of the classes for the shared forms (`fromage_lite.text.forms.world.World`)."""

    nouns = NAMES
    kinds = {kind: tuple(CLASSES[number].name for number in numbers) for kind, numbers in KINDS.items()}
    strangers = STRANGERS
    unknown = UNKNOWN

    def kinds_of(self, noun: str) -> tuple[str, ...]:
        return tuple(kind for number in members(noun) for kind in CLASSES[number].kinds)

    def article(self, word: str) -> str:
        return article(word)

    def plural(self, noun: str) -> str:
        return plural(noun)

    def plural_kind(self, kind: str) -> str:
        return plural(kind)


WORLD = Photos()


def small_talk(rng: random.Random) -> Exchange:
    return talk.small_talk(rng)


def unknown(rng: random.Random) -> Exchange:
    """A question that the model has no answer to."""
    if rng.random() < 0.5:
        return talk.unknown(WORLD, rng)
    return rng.choice(remarks.UNKNOWN_FORMS).format(x=stranger(rng)), UNKNOWN


def unknown_thing(rng: random.Random) -> Exchange:
    """A question about a picture that names what the model doesn't know."""
    return yes_no_about(stranger(rng), rng), UNKNOWN


def fact(rng: random.Random) -> Exchange:
    """A question about things in general: what a beagle is, whether a hammer is a tool, which birds there are."""
    number = rng.randrange(len(NAMES))
    word, kinds, draw = rng.choice(words_of(number)), CLASSES[number].kinds, rng.random()
    a = with_article(word)
    be = "are" if not has_article(word) and word.endswith("s") else "is"
    if draw < 0.3:
        form = rng.choice(("what {be} {a}?", "tell me what {a} {be}.", "what kind of thing {be} {a}?", "explain {a}."))
        at = min(members(word))
        return form.format(a=a, be=be), f"{with_article(NAMES[at])} is {with_article(CLASSES[at].kinds[0])}."
    if draw < 0.75:
        claimed = rng.choice(kinds) if rng.random() < 0.5 else rng.choice(list(KINDS))
        claimed = claimed if rng.random() < 0.8 else rng.choice(WORDS_OF_KINDS[claimed])
        is_so = set(members(word)) <= set(members(claimed))
        if not is_so and set(members(word)) & set(members(claimed)):
            return f"{be} {a} {with_article(claimed)}?", "sometimes."
        return f"{be} {a} {with_article(claimed)}?", "yes." if is_so else "no."
    question, answer = talk.fact(WORLD, rng)
    return " ".join(question.split()), " ".join(answer.split())  # what takes no article leaves two blanks


def no_picture_yet(rng: random.Random) -> Exchange:
    """A question about a picture where none was shown."""
    draw = rng.random()
    if draw < 0.35:
        return rng.choice((*remarks.ABOUT_NO_PICTURE, *WHAT)), remarks.SHOW_FIRST
    if draw < 0.6:
        word = rng.choice(NAMES) if rng.random() < 0.5 else rng.choice(list(KINDS))
        return f"{rng.choice(('is it', 'is this', 'is that'))} {with_article(word)}?", remarks.SHOW_FIRST
    if draw < 0.7:
        return rng.choice(remarks.COUNTING), remarks.count_answer(0)
    if draw < 0.78:
        return rng.choice(remarks.IN_ORDER).format(n=rng.choice(remarks.ORDINALS)), remarks.SHOW_FIRST
    return talk.ask_first(rng, (), ())
