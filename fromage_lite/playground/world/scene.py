"""Scene descriptions: what is in a picture, and which combinations are held out of all training.

A scene is a row of groups from left to right, each one kind of thing, in one setting. Three kinds of combinations never
occur in training, neither in text nor in pictures: *held-out pairs* of things, *held-out thing-setting* combinations
and the render seeds from `HELD_OUT_SEED` on.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from fromage_lite.playground.world.things import COLOURS, MAX_INSTANCES, SETTINGS, SIZES, THINGS, TINTABLE

Split = Literal["train", "val", "unseen_pairs", "unseen_settings", "any"]

HELD_OUT_SEED = 1_000_000_000
"""Render seeds from here on are used by evaluation alone."""


@dataclass(frozen=True)
class Group:
    """One kind of thing, `count` times, all of one size; `colour` only for things that can be tinted."""

    thing: str
    count: int = 1
    size: str = "big"
    colour: str = ""


@dataclass(frozen=True)
class Scene:
    """Groups from left to right in one setting. Two scenes are equal if their full descriptions are."""

    groups: tuple[Group, ...]
    setting: str

    @property
    def things(self) -> frozenset[str]:
        return frozenset(group.thing for group in self.groups)


def is_held_out_pair(first: str, second: str) -> bool:
    """Whether two things never occur together in training (about one pair in twenty)."""
    return first != second and zlib.crc32("|".join(sorted((first, second))).encode()) % 20 == 0


def is_held_out_setting(thing: str, setting: str) -> bool:
    """Whether a thing never occurs in a setting in training (about one combination in twenty)."""
    return zlib.crc32(f"{thing}@{setting}".encode()) % 20 == 1


def has_held_out_pair(scene: Scene) -> bool:
    return any(is_held_out_pair(a, b) for a, b in combinations(sorted(scene.things), 2))


def has_held_out_setting(scene: Scene) -> bool:
    return any(is_held_out_setting(thing, scene.setting) for thing in scene.things)


def is_trainable(scene: Scene) -> bool:
    """Whether training may see this scene."""
    return not has_held_out_pair(scene) and not has_held_out_setting(scene)


_COUNTS_BY_GROUPS: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((1,), (1,), (2,), (3,), (4,)),
    2: ((1, 1), (1, 1), (1, 1), (2, 1), (1, 2), (2, 2), (3, 1), (1, 3)),
    3: ((1, 1, 1), (1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2)),
    4: ((1, 1, 1, 1),),
}
assert all(sum(c) <= MAX_INSTANCES for counts in _COUNTS_BY_GROUPS.values() for c in counts)


def random_group(rng: random.Random, thing: str, count: int = 1) -> Group:
    return Group(thing, count, rng.choice(SIZES), rng.choice(list(COLOURS)) if thing in TINTABLE else "")


def _draw(rng: random.Random, n_groups: int) -> Scene:
    # Things that can be tinted are drawn twice as often: they carry the colour questions.
    weights = [2.0 if thing in TINTABLE else 1.0 for thing in THINGS]
    things: list[str] = []
    while len(things) < n_groups:
        thing = rng.choices(THINGS, weights)[0]
        if thing not in things:
            things.append(thing)
    counts = rng.choice(_COUNTS_BY_GROUPS[n_groups])
    groups = tuple(random_group(rng, thing, count) for thing, count in zip(things, counts, strict=True))
    return Scene(groups, rng.choice(list(SETTINGS)))


def sample_scene(rng: random.Random, split: Split = "train", n_groups: int | None = None) -> Scene:
    """Draw a scene.

    Args:
        rng: the source of all randomness.
        split: `train` and `val` never hold a held-out combination; `unseen_pairs` always holds a held-out pair (and no
            held-out setting), `unseen_settings` always a held-out thing-setting combination (and no held-out pair);
            `any` is unrestricted.
        n_groups: kinds of things, 1 to 4; drawn if not given.
    """
    while True:
        kinds = n_groups or rng.choices((1, 2, 3, 4), (0.3, 0.35, 0.2, 0.15))[0]
        if split == "unseen_pairs" and kinds == 1:
            kinds = 2
        scene = _draw(rng, kinds)
        pair, setting = has_held_out_pair(scene), has_held_out_setting(scene)
        if split == "any" or (pair, setting) == (split == "unseen_pairs", split == "unseen_settings"):
            return scene
