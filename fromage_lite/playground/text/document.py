"""What the playground's texts are made of: words and pictures, in turns or not.

For the LM's text every picture becomes a picture span of tags; for a bridge a shown picture becomes an image and a
picture given in answer becomes `[RET]`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from fromage_lite.playground.world.scene import Scene, Split, has_held_out_pair, has_held_out_setting
from fromage_lite.playground.world.things import VOCABULARY
from fromage_lite.text.forms import document as forms
from fromage_lite.text.forms.document import Words


@dataclass(frozen=True)
class Picture:
    """A picture in a document.

    Attributes:
        scene: what it shows.
        answer: given by the model (`[RET]`), not shown by the user; the scene is what was asked for.
        told: the text before it says what it shows.
        found: what the index had for the `answer` right before it.
    """

    scene: Scene
    answer: bool = False
    told: bool = False
    found: bool = False


Piece = Words | Picture
Document = list[Piece]


def allowed(scene: Scene, split: Split) -> bool:
    """Whether a scene may occur in a split's texts."""
    return split == "any" or not (has_held_out_pair(scene) or has_held_out_setting(scene))


def say(question: str, answer: str) -> Document:
    """A turn in words."""
    return [*forms.say(question, answer)]


_PICTURE_TOKENS = 20


def length(document: Document) -> int:
    """About how many tokens a document has: words, marks, and twenty a picture. Misspelt words have a few more."""
    words = (len(re.findall(r"\w+|[^\w\s]|\n", piece.text)) for piece in document if isinstance(piece, Words))
    return sum(words) + _PICTURE_TOKENS * sum(isinstance(piece, Picture) for piece in document)


SLIPS = 0.07
"""The share of questions with one misspelt word."""


def as_typed(document: Document, rng: random.Random, slips: float = SLIPS) -> Document:
    """The same document, its questions as people type them: without an end mark, shortened, with digits or a slip."""
    return forms.as_typed(document, rng, VOCABULARY, slips)
