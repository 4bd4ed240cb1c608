"""What is said of a picture that is a mixture of classes: in an answer, to a yes/no question, as a guess."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fromage_lite.photos.text.document import Mixture
from fromage_lite.photos.text.words import USES
from fromage_lite.photos.world.classes import CLASSES, KINDS
from fromage_lite.photos.world.nouns import with_article
from fromage_lite.photos.world.saying import Saying, saying

CAN_NOT_TELL = "i can't tell what this shows."
YES_WORD, NO_WORD, PERHAPS = "yes", "no", "perhaps."

YES, NO = 0.5, 0.2
"""From how much of the mixture on something is there, and below how much it is not; between them it is perhaps."""

_GUESS = 0.12  # the least probability of a guess
_SECOND_GUESS = 0.5  # of the first one's
_CERTAIN = 0.6  # the least mass of a kind for what is said of it


def mass(mixture: Mixture, classes: Sequence[int]) -> float:
    """The probability that it shows one of some classes."""
    return float(mixture[list(classes)].sum())


def phrase(said: Saying) -> str:
    """`a tabby`, `a tabby or an egyptian cat`, `some kind of cat`; empty where nothing can be said."""
    if said.names:
        return " or ".join(with_article(CLASSES[number].name) for number in said.names)
    return f"some kind of {said.kind}" if said.kind else ""


def description(mixture: Mixture) -> str:
    """The answer to what a picture shows."""
    words = phrase(saying(mixture))
    return f"{words}." if words else CAN_NOT_TELL


def nearest_kind(mixture: Mixture) -> str | None:
    """The narrowest kind that it certainly is; of two as narrow the likelier."""
    at = int(mixture.argmax())
    return next((kind for kind in CLASSES[at].kinds if mass(mixture, KINDS[kind]) >= _CERTAIN), None)


def kind_answer(mixture: Mixture) -> str:
    """The answer to what kind of thing it is."""
    kind = nearest_kind(mixture)
    return f"{with_article(kind)}." if kind else CAN_NOT_TELL


def yes_no(mixture: Mixture, asked: Sequence[int]) -> str:
    """The answer to whether it shows one of the classes `asked`; with what it shows if that says more."""
    share, words = mass(mixture, asked), phrase(saying(mixture))
    if NO < share < YES:
        return PERHAPS
    if share >= YES:
        said, wanted = saying(mixture), set(asked)
        shown = set(said.names or KINDS.get(said.kind or "", ()))
        says_more = len(wanted) > 1 and shown and (shown < wanted or (said.names and shown <= wanted))
        return f"{YES_WORD}, {words}." if says_more else f"{YES_WORD}."
    return f"{NO_WORD}, {words}." if words else f"{NO_WORD}."


def guess(mixture: Mixture) -> str:
    """The answer to what it could be."""
    said = saying(mixture)
    if said.names:
        return f"{phrase(said)}."
    first, second = (int(i) for i in np.argsort(-mixture)[:2])
    if mixture[first] < _GUESS:
        return CAN_NOT_TELL
    numbers = (first, second) if mixture[second] >= _SECOND_GUESS * mixture[first] else (first,)
    return "perhaps " + " or ".join(with_article(CLASSES[number].name) for number in numbers) + "."


def use(mixture: Mixture) -> str:
    """The answer to what one can do with it."""
    at = int(mixture.argmax())
    for kind in CLASSES[at].kinds:
        if kind in USES and mass(mixture, KINDS[kind]) >= _CERTAIN:
            return USES[kind]
    return "i do not know." if nearest_kind(mixture) else CAN_NOT_TELL


def sureness(mixture: Mixture) -> str:
    """The answer to how sure it is."""
    top = float(mixture.max())
    return "quite sure." if top >= 0.8 else "fairly sure." if top >= 0.5 else "not sure."
