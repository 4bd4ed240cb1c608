"""Messages as people type them: without end marks, shortened, with digits, with a slip of the finger."""

from __future__ import annotations

import random
import re
from collections.abc import Collection

_SHORT = (
    ("what is ", "what's "), ("where is ", "where's "), ("two ", "2 "), ("three ", "3 "), ("four ", "4 "),
    ("what is ", "whats "), ("that is ", "that's "), (" you ", " u "), (" please", " pls"), ("i am ", "i'm "),
    (", ", " "),
)  # fmt: skip
_OPENERS = frozenset(
    "what where how is are do can could which who show find describe tell count i please let give".split()
)
_BEFORE = ("so ", "and ", "ok, ", "well, ", "now ", "please ", "but ", "then ", "and now ", "so now ", "hm, ")
_AFTER = (" then", " now", " please", " here", " again", " for me", " really", " exactly", ", please")
_LEAST_LETTERS = 3  # shorter words are not misspelt: too little is left to tell them by


def as_typed(message: str, rng: random.Random, words: Collection[str] = (), slips: float = 0.07) -> str:
    """The same message as it may be typed.

    Args:
        message: lower case, with an end mark.
        rng: the source of all randomness.
        words: the world's words; a slip never makes one of them into another.
        slips: the share of messages with one misspelt word.
    """
    if rng.random() < 0.1 and message.split(" ", 1)[0] in _OPENERS:
        message = _padded(message, rng)
    if rng.random() < 0.4:
        message = message.rstrip(".?!")
    for long, short in _SHORT:
        if rng.random() < 0.08:
            message = message.replace(long, short)
    return with_slip(message, rng, words) if rng.random() < slips else message


def _padded(message: str, rng: random.Random) -> str:
    """The message with a word before or behind it that says nothing."""
    if rng.random() < 0.6:
        return rng.choice(_BEFORE) + message
    end = message[-1] if message[-1] in ".?!" else ""
    return message.removesuffix(end) + rng.choice(_AFTER) + end


def with_slip(message: str, rng: random.Random, words: Collection[str] = ()) -> str:
    """The message with one word misspelt: letters swapped, one left out, or one doubled."""
    places = [m for m in re.finditer(r"[a-z]+", message) if len(m[0]) >= _LEAST_LETTERS]
    if not places:
        return message
    place = rng.choice(places)
    slip = misspelt(place[0], rng)
    return message if slip in words else message[: place.start()] + slip + message[place.end() :]


def misspelt(word: str, rng: random.Random) -> str:
    """One slip in a word of at least three letters, behind its first."""
    at = rng.randrange(1, len(word) - 1)
    kind = rng.random()
    if kind < 0.5:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind < 0.8 and len(word) > _LEAST_LETTERS:
        return word[: at + 1] + word[at + 2 :]
    return word[: at + 1] + word[at:]
