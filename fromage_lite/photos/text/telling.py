"""What is said of a picture that is a mixture of classes: in an answer, to a yes/no question, as a guess."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fromage_lite.photos.text.document import Mixture
from fromage_lite.photos.text.words import USES
from fromage_lite.photos.world.classes import CLASSES, KINDS
from fromage_lite.photos.world.nouns import with_article
from fromage_lite.photos.world.saying import CANT_TELL, Saying, certain_kind, saying

CAN_NOT_TELL = f"{CANT_TELL}."
YES_WORD, NO_WORD, MAYBE = "yes", "no", "maybe."

YES, NO = 0.5, 0.2
"""From how much of the mixture on something is there, and below how much it is not; between them it may be."""

_GUESS = 0.12  # the least probability of a guess
_SECOND_GUESS = 0.5  # of the first one's


def mass(mixture: Mixture, classes: Sequence[int]) -> float:
    """The probability that it shows one of some classes."""
    return float(mixture[list(classes)].sum())


def short(said: Saying) -> str:
    """What can be said, as a part of a longer answer; empty where nothing can be said."""
    if said.sure or len(said.names) == 2:
        return said.text()
    if said.kind:
        return f"some kind of {said.kind}"
    return said.text() if said.names else ""


def description(mixture: Mixture) -> str:
    """The answer to what a picture shows."""
    return f"{saying(mixture).text()}."


def nearest_kind(mixture: Mixture) -> str | None:
    """The narrowest kind that it certainly is."""
    said = saying(mixture)
    return CLASSES[said.names[0]].kinds[0] if said.sure else certain_kind(mixture)


def kind_answer(mixture: Mixture) -> str:
    """The answer to what kind of thing it is."""
    kind = nearest_kind(mixture)
    return f"{with_article(kind)}." if kind else CAN_NOT_TELL


def yes_no(mixture: Mixture, asked: Sequence[int]) -> str:
    """The answer to whether it shows one of the classes `asked`; with what it shows if that says more."""
    share, said = mass(mixture, asked), saying(mixture)
    words = short(said)
    if NO < share < YES:
        return MAYBE
    if share < YES:
        return f"{NO_WORD}, {words}." if words else f"{NO_WORD}."
    wanted = set(asked)
    is_named = said.sure or len(said.names) == 2
    shown = set(said.names if is_named else KINDS.get(said.kind or "", ()))
    says_more = len(wanted) > 1 and shown and (shown < wanted or (is_named and shown <= wanted))
    return f"{YES_WORD}, {words}." if says_more else f"{YES_WORD}."


def choice(mixture: Mixture, words: Sequence[str], asked: Sequence[Sequence[int]]) -> str:
    """The answer to which of two things it is.

    Args:
        mixture: the picture.
        words: the two.
        asked: the classes that each of them means.
    """
    shares = [mass(mixture, classes) for classes in asked]
    right = [word for word, share in zip(words, shares, strict=True) if share >= YES]
    if right:
        return f"{with_article(right[0])}." if len(right) == 1 else "both."
    if max(shares) > NO:
        return MAYBE
    what = short(saying(mixture))
    return f"neither, {what}." if what else "neither."


def guess(mixture: Mixture) -> str:
    """The answer to what it could be."""
    said = saying(mixture)
    if said.names:
        return description(mixture)
    second, first = (int(i) for i in np.argsort(mixture)[-2:])
    if mixture[first] < _GUESS:
        return CAN_NOT_TELL
    numbers = (first, second) if mixture[second] >= _SECOND_GUESS * mixture[first] else (first,)
    return "maybe " + " or ".join(with_article(CLASSES[number].name) for number in numbers) + "."


def use(mixture: Mixture) -> str:
    """The answer to what one can do with it."""
    kind = nearest_kind(mixture)
    if kind is None:
        return CAN_NOT_TELL
    kinds = CLASSES[KINDS[kind][0]].kinds  # all that are wider than a kind are the same for its classes
    return next((USES[wider] for wider in kinds[kinds.index(kind) :] if wider in USES), "i do not know.")


def sureness(mixture: Mixture) -> str:
    """The answer to how sure it is."""
    top = float(mixture.max())
    return "quite sure." if top >= 0.8 else "fairly sure." if top >= 0.5 else "not sure."
