"""Searches in plain words as people type them: is the first picture right where the index has such a picture?"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fromage_lite.chat.agent import Agent
from fromage_lite.evaluate.metrics import mean
from fromage_lite.playground.evaluation.named import setting_named, things_named
from fromage_lite.playground.pictures import gallery
from fromage_lite.playground.text.grammar import setting_phrase
from fromage_lite.playground.world.things import (
    COLOURS,
    SETTINGS,
    THINGS,
    THINGS_BY_CATEGORY,
    TINTABLE,
    TYPED_PLACES,
    VOCABULARY,
    article,
    is_a,
    plural,
    plural_category,
)
from fromage_lite.text.forms.typed import with_slip

UNSEEN_FORMS = ("pics of {}", "looking for {}", "{} pics", "i'd love to see {}", "gimme {}", "let me look at {}")
"""Wrappings that no training text has."""

_PLACED, _PAIRS = 80, 40


@dataclass(frozen=True)
class Phrase:
    """One thing to search for.

    Attributes:
        forms: the ways to type it.
        fits: whether a picture with this caption is right.
    """

    forms: tuple[str, ...]
    fits: Callable[[str], bool]


def phrases() -> list[Phrase]:
    """More than 250 searches, each in six forms and more; the gallery has a right picture for every one."""
    rng = random.Random("search phrases")
    scenes = gallery()
    made = [_single(thing, "", _shows({thing})) for thing in THINGS]
    for scene in rng.sample([s for s in scenes if len(s.groups) == 1], _PLACED):
        thing, where = scene.groups[0].thing, rng.choice((setting_phrase(scene.setting), *_typed(scene.setting)))
        made.append(_single(thing, " " + where, _shows({thing}, scene.setting)))
    for scene in rng.sample([s for s in scenes if [g.count for g in s.groups] == [1, 1]], _PAIRS):
        made.append(_pair(*(group.thing for group in scene.groups)))
    made += [_coloured(colour, thing) for colour in COLOURS for thing in sorted(TINTABLE)[::2]]
    made += [_kind(category) for category in THINGS_BY_CATEGORY if category != "object"]
    made += [_place(setting) for setting in SETTINGS]
    made += [_something(colour) for colour in COLOURS]
    return made


def search_figures(agent: Agent) -> dict[str, float]:
    """`search_phrases`: all forms; `search_unseen_forms`: in wrappings that no training had; `search_slips`: with one
    word misspelt."""
    rng = random.Random("slips")
    plain: list[bool] = []
    unseen: list[bool] = []
    slips: list[bool] = []
    for phrase in phrases():
        plain += [_is_right(agent, form, phrase) for form in phrase.forms]
        unseen.append(_is_right(agent, rng.choice(UNSEEN_FORMS).format(phrase.forms[rng.randrange(3)]), phrase))
        slips.append(_is_right(agent, with_slip(phrase.forms[0], rng, VOCABULARY), phrase))
    return {"search_phrases": mean(plain), "search_unseen_forms": mean(unseen), "search_slips": mean(slips)}


def _is_right(agent: Agent, text: str, phrase: Phrase) -> bool:
    hits = agent.search((text,), 1)
    return bool(hits) and phrase.fits(hits[0].caption)


def _typed(setting: str) -> Sequence[str]:
    return [wording for wording in TYPED_PLACES[setting] if " " in wording]


def _shows(things: set[str], setting: str | None = None) -> Callable[[str], bool]:
    return lambda caption: things <= things_named(caption) and setting in (None, setting_named(caption))


def _forms(bare: str, many: str, one: str) -> tuple[str, ...]:
    return (bare, many, one, f"{one}.", one.upper(), bare.capitalize(), f"show me {one}", f"{many}.", f"Find {many}!")


def _single(thing: str, where: str, fits: Callable[[str], bool]) -> Phrase:
    return Phrase(_forms(thing + where, plural(thing) + where, f"{article(thing)} {thing}{where}"), fits)


def _pair(first: str, second: str) -> Phrase:
    one = f"{article(first)} {first} and {article(second)} {second}"
    return Phrase(_forms(f"{first} {second}", f"{plural(first)} and {plural(second)}", one), _shows({first, second}))


def _coloured(colour: str, thing: str) -> Phrase:
    forms = _forms(f"{colour} {thing}", f"{colour} {plural(thing)}", f"a {colour} {thing}")
    pattern = re.compile(rf"\b{colour} ({thing}|{plural(thing)})\b")
    return Phrase(forms, lambda caption: bool(pattern.search(caption)))


def _kind(category: str) -> Phrase:
    forms = _forms(category, plural_category(category), f"{article(category)} {category}")
    return Phrase(forms, lambda caption: any(is_a(thing, category) for thing in things_named(caption)))


def _place(setting: str) -> Phrase:
    where, bare = setting_phrase(setting), setting if setting != "night" else "at night"
    forms = (where, bare, bare.upper(), f"{where}.", f"something {where}", f"pictures {where}", where.capitalize())
    return Phrase(forms, lambda caption: setting_named(caption) == setting)


def _something(colour: str) -> Phrase:
    forms = _forms(f"something {colour}", f"{colour} things", f"a {colour} thing")
    return Phrase(forms, lambda caption: f" {colour} " in caption)
