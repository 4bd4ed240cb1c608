"""What is typed into a search field, each with what fits: `search: dogs [`."""

from __future__ import annotations

import random

from fromage_lite.photos.text import pictures
from fromage_lite.photos.text.asking import Wish, any_wish
from fromage_lite.photos.text.document import Document, Picture, Words
from fromage_lite.photos.text.words import (
    ADJECTIVES,
    NAMES,
    PLACES,
    VOCABULARY,
    members,
    words_of,
)
from fromage_lite.photos.world.classes import CLASSES
from fromage_lite.photos.world.nouns import has_article, plural, with_article
from fromage_lite.text.forms.requests import SEARCHES
from fromage_lite.text.forms.typed import with_slip

SEARCH_FORM = "search: {}"
"""How the words of a search stand before `[RET]` (`FromageConfig.query_form`)."""

_BEFORE, _AFTER = SEARCH_FORM.split("{}")
_SLIPS = 0.04


def searches(rng: random.Random) -> Document:
    """Some searches one below the other, which have nothing to do with each other."""
    document: Document = []
    for _ in range(rng.randint(2, 6)):
        document += [*search(rng), Words("\n")]
    return document


def search(rng: random.Random) -> Document:
    """One search and its picture; seldom a picture and words, which together say what is wanted."""
    if rng.random() < 0.05:
        shown = pictures.certain(rng)
        kind = rng.choice(CLASSES[int(shown.argmax())].kinds)
        words = rng.choice((kind, f"another {kind}", "more like this", "similar"))
        return [Words(_BEFORE.rstrip(), label=False), Picture(shown), Words(f" {words}{_AFTER}", label=False),
                Picture(shown, answer=True)]  # fmt: skip
    wish = any_wish(rng)
    return [Words(_BEFORE + search_phrase(wish, rng) + _AFTER, label=False), Picture(wish.target, answer=True)]


def search_phrase(wish: Wish, rng: random.Random) -> str:
    """A wish as it is typed into a search field."""
    draw, words = rng.random(), wish.words
    if words.startswith("something"):
        return words
    if draw < 0.08:
        words = f"{rng.choice(ADJECTIVES)} {words}"
    elif draw > 0.94:
        words = f"{words} {rng.choice(PLACES)}"
    bare = rng.random() < 0.75
    if rng.random() < 0.3 and draw <= 0.94:
        words = plural(words) if has_article(wish.words) else words
    elif not bare and has_article(wish.words):
        words = with_article(words)
    # "some", "any" and "the" stand before bare nouns only.
    forms = [form for form in SEARCHES if bare or form[:4] not in ("some", "any ", "the ")]
    phrase = rng.choice(forms).format(x=words)
    return with_slip(phrase, rng, VOCABULARY) if rng.random() < _SLIPS else phrase


def illustrated(rng: random.Random) -> Document:
    """The words for a class or a kind with its picture after them, as on a page."""
    number = rng.randrange(len(NAMES))
    words = rng.choice(words_of(number)) if rng.random() < 0.8 else rng.choice(CLASSES[number].kinds)
    return [Words(f"{with_article(words)}."), Picture(Wish(words, members(words)).target, answer=True)]
