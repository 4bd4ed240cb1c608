"""Words for scenes: noun phrases, captions, and the tags of a picture span."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from fromage_lite.playground.world.scene import Group, Scene
from fromage_lite.playground.world.things import MAX_GROUPS, NUMBERS, SETTINGS, SYNONYMS, article, plural

PICTURE_START, PICTURE_END = " [", " ]"
"""What stands round the tags of a picture in text, and round the visual tokens of an image."""

EMPTY_TAG = "-"
TAGS_PER_GROUP = 4
N_TAGS = 1 + MAX_GROUPS * TAGS_PER_GROUP
"""Tags in a picture span: the setting, then count, size, colour and name of each group."""


@dataclass(frozen=True)
class Style:
    """Which attributes a phrase spells out, and whether it may use a synonym."""

    sizes: bool = False
    colours: bool = True
    counts: bool = True
    synonyms: float = 0.0


PLAIN = Style()
FULL = Style(sizes=True)


def tags(scene: Scene) -> list[str]:
    """The `N_TAGS` tags of a scene: always all slots, `-` where there is nothing to say."""
    words = [scene.setting]
    for group in scene.groups:
        words += [NUMBERS[group.count], group.size, group.colour or EMPTY_TAG, group.thing]
    return words + [EMPTY_TAG] * (N_TAGS - len(words))


def span(scene: Scene) -> str:
    """The picture span that stands for a picture of this scene in text."""
    return f"{PICTURE_START} {' '.join(tags(scene))}{PICTURE_END}"


def noun(group: Group, rng: random.Random | None = None, synonyms: float = 0.0) -> str:
    """The group's noun in the right number."""
    word = group.thing
    if rng and word in SYNONYMS and rng.random() < synonyms:
        word = SYNONYMS[word]
    return word if group.count == 1 else plural(word)


def phrase(group: Group, style: Style = PLAIN, rng: random.Random | None = None) -> str:
    """A noun phrase: `a cat`, `two small red cars`."""
    adjectives = [group.size] if style.sizes else []
    if style.colours and group.colour:
        adjectives.append(group.colour)
    words = [*adjectives, noun(group, rng, style.synonyms)]
    if group.count == 1:
        determiner = article(words[0])
    else:
        determiner = NUMBERS[group.count] if style.counts else "some"
    return " ".join([determiner, *words])


def enumerate_phrases(phrases: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(phrases) == 1:
        return phrases[0]
    return ", ".join(phrases[:-1]) + " and " + phrases[-1]


def things_phrase(scene: Scene, style: Style = PLAIN, rng: random.Random | None = None) -> str:
    """All groups of a scene from left to right."""
    return enumerate_phrases([phrase(group, style, rng) for group in scene.groups])


def setting_phrase(setting: str, rng: random.Random | None = None) -> str:
    """Where the scene is: the first wording, or any if a source of randomness is given."""
    wordings = SETTINGS[setting]
    return rng.choice(wordings) if rng else wordings[0]


def description(scene: Scene, style: Style = PLAIN) -> str:
    """The plain sentence for a scene, always in the same words: `a cat and two red cars at night.`"""
    return f"{things_phrase(scene, style)} {setting_phrase(scene.setting)}."


def full_description(scene: Scene) -> str:
    """The sentence that spells out everything: two scenes are equal if and only if these are."""
    return description(scene, FULL)


_CAPTIONS = (
    "{things} {where}.",
    "{things} {where}.",
    "a picture of {things} {where}.",
    "there {be} {things} {where}.",
    "{where} there {be} {things}.",
    "{where}, {things}.",
)


def random_style(rng: random.Random, synonyms: float = 0.1) -> Style:
    return Style(sizes=rng.random() < 0.5, colours=rng.random() < 0.85, synonyms=synonyms)


def caption(scene: Scene, rng: random.Random, style: Style | None = None) -> str:
    """A caption in one of many wordings; it may leave sizes and colours out."""
    style = style or random_style(rng)
    be = "is" if scene.groups[0].count == 1 else "are"
    things = things_phrase(scene, style, rng)
    return rng.choice(_CAPTIONS).format(things=things, where=setting_phrase(scene.setting, rng), be=be)
