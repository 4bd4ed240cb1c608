"""The words of the 1,000 classes as the grammar uses them: tags, sets of classes by word, what things are for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fromage_lite.photos.world.classes import CLASSES, KIND_SYNONYMS, KINDS, ImageClass, known_words, meaning

PICTURE_START, PICTURE_END = " [", " ]"
"""What stands round the visual tokens of an image, and round the tags of a picture in text."""

EMPTY_TAG = "-"
N_NAME_TAGS, N_KIND_TAGS = 3, 3
N_TAGS = N_NAME_TAGS + N_KIND_TAGS
"""Tags in a picture span: the name, its last word last, then kinds from near to far."""

Members = tuple[int, ...]
"""The numbers of some classes."""


def tags(image_class: ImageClass) -> tuple[str, ...]:
    """The `N_TAGS` tags of a class: always all slots, `-` where there is nothing to say.

    Name and kinds stand at the end of their slots, so that head nouns share a slot, and so does each level of kinds: in
    a mixture of classes what they have in common adds up.
    """
    return (*_padded(image_class.name.split(" "), N_NAME_TAGS), *_padded(image_class.kinds, N_KIND_TAGS))


def _padded(words: Sequence[str], length: int) -> tuple[str, ...]:
    return (*[EMPTY_TAG] * (length - len(words)), *words)


def members(word: str) -> Members:
    """The classes that a known word means.

    Raises:
        KeyError: it means nothing.
    """
    if word not in _MEMBERS:
        found = meaning(word)
        if not found:
            raise KeyError(word)
        _MEMBERS[word] = tuple(sorted(found))
    return _MEMBERS[word]


_MEMBERS: dict[str, Members] = {}

NAMES: tuple[str, ...] = tuple(row.name for row in CLASSES)
SOMETHING = ("something to eat", "something to drink", "something to wear", "something to ride")

WORDS_OF_KINDS: dict[str, tuple[str, ...]] = {
    kind: (kind, *(word for word in KIND_SYNONYMS[kind] if not word.startswith("some"))) for kind in KINDS
}
"""Every kind with all words for it that follow an article."""


def words_of(number: int) -> tuple[str, ...]:
    """The name of a class and its synonyms."""
    return (CLASSES[number].name, *CLASSES[number].synonyms)


VOCABULARY: frozenset[str] = frozenset(word for phrase in known_words() for word in phrase.split())
"""Every single word with a meaning: a slip of the finger never makes one of them into another."""

ADJECTIVES = (
    "big", "small", "little", "cute", "nice", "beautiful", "old", "young", "new", "black", "white", "red", "green",
    "blue", "yellow", "brown", "grey", "dark", "bright", "funny", "huge", "tiny", "real", "good", "pretty", "large",
    "lovely", "fat", "wild", "happy", "colourful",
)  # fmt: skip
"""What people say of things and the model doesn't see."""

PLACES = (
    "on the beach", "in the snow", "at night", "in the city", "in the garden", "on a table", "in the water", "outside",
    "in the kitchen", "on the grass", "in the sky", "at home", "in the forest", "in the park", "on the street",
    "in summer", "in the sun", "from last year", "in my pictures", "on a tree", "in a box", "from my holidays",
)  # fmt: skip

USES: dict[str, str] = {
    "food": "one can eat it.", "drink": "one can drink it.", "vehicle": "one can ride in it.",
    "bicycle": "one can ride it.", "motorcycle": "one can ride it.", "boat": "one can sail with it.",
    "aircraft": "one can fly with it.", "clothing": "one can wear it.", "glasses": "one can look through them.",
    "musical instrument": "one can play music on it.", "ball": "one can play with it.", "toy": "one can play with it.",
    "sports equipment": "one can do sports with it.", "gym equipment": "one can do sports with it.",
    "furniture": "it furnishes a room.", "chair": "one can sit on it.", "bed": "one can sleep in it.",
    "lamp": "it gives light.", "kitchenware": "one can cook or eat with it.",
    "kitchen appliance": "one can cook with it.",
    "appliance": "it helps in the house.", "container": "one can put things into it.",
    "bag": "one can carry things in it.", "tool": "one can work with it.", "cutting tool": "one can cut with it.",
    "garden tool": "one can work in the garden with it.", "weapon": "one can fight with it.",
    "computer": "one can work on it.", "phone": "one can call someone with it.",
    "audio device": "one can listen to it.", "camera equipment": "one can take pictures with it.",
    "measuring device": "one can measure with it.", "clock": "it tells the time.",
    "stationery": "one can write with it.",
    "building": "one can go into it.", "shop": "one can buy things there.", "house": "one can live in it.",
    "religious building": "one can pray in it.", "bridge": "one can cross it.", "bird": "one can watch it.",
    "animal": "one can watch it.", "fruit": "one can eat it.", "bedding": "one can sleep with it.",
    "cosmetics": "one can put it on.", "printed page": "one can read it.", "medical equipment": "it helps the sick.",
    "bathroom item": "one can use it in the bathroom.", "flower": "one can smell it.", "optical instrument":
    "one can look through it.", "landscape": "one can walk there.",
}  # fmt: skip
"""What one can do with things of a kind; of several kinds the nearest counts."""

ABILITIES: dict[str, tuple[str, ...]] = {
    "can one eat it?": ("food",), "can i eat it?": ("food",), "can you eat it?": ("food",),
    "can one drink it?": ("drink",), "can i drink it?": ("drink",), "is it alive?": ("animal", "plant", "person"),
    "can one wear it?": ("clothing",), "can i wear it?": ("clothing",), "is it a living thing?":
    ("animal", "plant", "person"), "can one play music on it?": ("musical instrument",),
    "does it have wheels?": ("car", "truck", "bus", "bicycle", "motorcycle", "cart"),
    "does it have four legs?": ("dog", "cat", "big cat", "bear", "hoofed animal", "wolf", "fox", "antelope"),
    "does it have feathers?": ("bird",), "is it man-made?": ("vehicle", "structure", "clothing", "household item",
    "equipment"), "can one ride in it?": ("vehicle",),
}  # fmt: skip
"""Questions that a kind answers."""

_ABLE = {question: tuple(sorted({n for kind in kinds for n in KINDS[kind]})) for question, kinds in ABILITIES.items()}


def able(question: str) -> Members:
    """The classes for which a question of `ABILITIES` is answered with yes."""
    return _ABLE[question]


def bare(words: str) -> str:
    """A phrase without its article."""
    return re.sub(r"^(a|an|some|any|the) ", "", words)
