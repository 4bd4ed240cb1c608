"""Which things and which setting a text of the playground names."""

from __future__ import annotations

import re
from functools import cache

from fromage_lite.playground.world.scene import Scene
from fromage_lite.playground.world.things import SETTINGS, SYNONYMS, THINGS, plural


@cache
def _nouns() -> dict[str, str]:
    nouns: dict[str, str] = {}
    for thing in THINGS:
        for word in {thing, SYNONYMS.get(thing, thing)}:
            nouns[word] = nouns[plural(word)] = thing
    return nouns


def things_named(text: str) -> frozenset[str]:
    """All things that a text names, in either number or by synonym."""
    return frozenset(_nouns()[word] for word in re.findall(r"[a-z]+", text.lower()) if word in _nouns())


def setting_named(text: str) -> str | None:
    """The one setting that a text names; None if it names none or several."""
    found = {setting for setting, wordings in SETTINGS.items() if any(w in text.lower() for w in wordings)}
    return found.pop() if len(found) == 1 else None


def names_exactly(text: str, scene: Scene) -> bool:
    """Every thing of the scene named and none invented."""
    return things_named(text) == scene.things
