"""Wishes for pictures: the scene that was asked for, what of it was said, and what an index may have for it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from fromage_lite.playground.text.document import allowed
from fromage_lite.playground.text.grammar import PLAIN, Style, setting_phrase, things_phrase
from fromage_lite.playground.world.scene import Group, Scene, Split, random_group, sample_scene
from fromage_lite.playground.world.things import COLOURS, MAX_INSTANCES, SETTINGS, SIZES, THINGS, TINTABLE, TYPED_PLACES


@dataclass(frozen=True)
class Wish:
    """What was asked for.

    Attributes:
        scene: a scene that fits the words.
        style: what the words say of its things.
        with_place: whether they say where.
    """

    scene: Scene
    style: Style = PLAIN
    with_place: bool = True

    @property
    def answer(self) -> str:
        """What the model says before it gives a picture."""
        where = " " + setting_phrase(self.scene.setting) if self.with_place else ""
        return f"here you are: {things_phrase(self.scene, replace(self.style, synonyms=0.0))}{where}."

    def redrawn(self, rng: random.Random, split: Split) -> Wish:
        """The same wish with everything that was not said drawn anew: another picture that fits."""
        for _ in range(10):
            groups = tuple(self._redrawn_group(group, rng) for group in self.scene.groups)
            setting = self.scene.setting if self.with_place else rng.choice(list(SETTINGS))
            if allowed(scene := Scene(groups, setting), split):
                return replace(self, scene=scene)
        return self

    def _redrawn_group(self, group: Group, rng: random.Random) -> Group:
        size = group.size if self.style.sizes else rng.choice(SIZES)
        count = group.count
        if not self.style.counts and count > 1 and len(self.scene.groups) == 1:
            count = rng.randint(2, MAX_INSTANCES)
        colour = group.colour if self.style.colours or not group.colour else rng.choice(list(COLOURS))
        return Group(group.thing, count, size, colour)


def found_for(scene: Scene, rng: random.Random, split: Split) -> Scene:
    """What an index gives for a scene: mostly it, else something near, seldom anything."""
    for _ in range(20):
        kind = rng.random()
        if kind < 0.68:
            return scene
        if kind < 0.88:
            found = _nearly(scene, rng)
        elif kind < 0.95:
            found = _partly(scene, rng)
        else:
            found = sample_scene(rng, split)
        if len(found.things) == len(found.groups) and allowed(found, split):
            return found
    return scene


def is_near(found: Scene, wanted: Scene) -> bool:
    """Whether a found picture has all that was wanted, in whatever number, size and colour."""
    return wanted.things <= found.things and found.setting == wanted.setting


def _nearly(scene: Scene, rng: random.Random) -> Scene:
    """The right things in the right place in another number, size or colour, or with something beside them."""
    groups = list(scene.groups)
    at = rng.randrange(len(groups))
    group, kind = groups[at], rng.random()
    if kind < 0.3 and len(groups) < 3:
        groups.insert(rng.randint(0, len(groups)), random_group(rng, rng.choice(THINGS)))
    elif kind < 0.6 and group.colour:
        groups[at] = replace(group, colour=rng.choice(list(COLOURS)))
    elif kind < 0.9 and sum(g.count for g in groups) - group.count <= 1:
        groups[at] = replace(group, count=rng.randint(1, 3))
    else:
        groups[at] = replace(group, size=rng.choice(SIZES))
    return Scene(tuple(groups), scene.setting)


def _partly(scene: Scene, rng: random.Random) -> Scene:
    """One thing left out, another in its stead, or the right things elsewhere."""
    groups = list(scene.groups)
    at = rng.randrange(len(groups))
    if len(groups) > 1 and rng.random() < 0.6:
        del groups[at]
        return Scene(tuple(groups), scene.setting)
    if rng.random() < 0.6:
        return replace(scene, setting=rng.choice(list(SETTINGS)))
    groups[at] = random_group(rng, rng.choice(THINGS), groups[at].count)
    return Scene(tuple(groups), scene.setting)


def typed_place(setting: str, rng: random.Random, bare: float = 0.0) -> str:
    """A place as people type it; with probability `bare` perhaps without its preposition."""
    if rng.random() < 0.65:
        return setting_phrase(setting, rng)
    wordings = TYPED_PLACES[setting]
    if rng.random() >= bare:
        wordings = tuple(wording for wording in wordings if " " in wording)
    return rng.choice(wordings)


def tinted(group: Group, rng: random.Random) -> Group:
    """The group in a colour, if it can have one."""
    return replace(group, colour=rng.choice(list(COLOURS))) if group.thing in TINTABLE else group
