"""What is typed into a search field, each with a picture that fits: `search: cats on a beach [ … ]`."""

from __future__ import annotations

import random
from dataclasses import replace

from fromage_lite.playground.text.document import Document, Picture, Words, allowed
from fromage_lite.playground.text.grammar import Style, caption, full_description, noun, things_phrase
from fromage_lite.playground.text.wishes import tinted, typed_place
from fromage_lite.playground.world.scene import Group, Scene, Split, sample_scene
from fromage_lite.playground.world.things import (
    CATEGORY_OF,
    SETTINGS,
    SIZES,
    THINGS,
    VOCABULARY,
    article,
    plural_category,
    wider_category,
)
from fromage_lite.text.forms.requests import SEARCHES
from fromage_lite.text.forms.typed import with_slip

SEARCH_FORM = "search: {}"
"""How the words of a search stand before `[RET]` (`FromageConfig.query_form`)."""

_BEFORE, _AFTER = SEARCH_FORM.split("{}")
_SLIPS = 0.05


def searches(rng: random.Random, split: Split = "train", slips: float = _SLIPS) -> Document:
    """Some searches one below the other, which have nothing to do with each other; a share of `slips` has a word
    misspelt."""
    document: Document = []
    for _ in range(rng.randint(1, 5)):
        document += [*search(rng, split, slips), Words("\n")]
    return document


def search(rng: random.Random, split: Split = "train", slips: float = _SLIPS) -> Document:
    """One search and its picture; seldom a picture and words, which together say what is wanted."""
    if rng.random() < 0.06:
        return _from_a_picture(rng, split)
    phrase, scene = search_phrase(rng, split, slips)
    return [Words(_BEFORE + phrase + _AFTER, label=False), Picture(scene, answer=True, told=True)]


def search_phrase(rng: random.Random, split: Split = "train", slips: float = _SLIPS) -> tuple[str, Scene]:
    """The words of a search, and a scene that fits."""
    kind = rng.random()
    if kind < 0.16:
        scene = sample_scene(rng, split)
        text = full_description(scene) if rng.random() < 0.4 else caption(scene, rng)
        return text.rstrip(".") if rng.random() < 0.3 else text, scene
    if kind < 0.36:
        scene = _anything(rng, split)
        phrase = _kind_phrase(scene, rng)
    elif kind < 0.44:
        scene = _anything(rng, split)
        where = typed_place(scene.setting, rng, bare=0.5)
        forms = ("{w}", "{w}", "{w}", "something {w}", "anything {w}", "a picture {w}", "pictures {w}", "{w}.")
        return rng.choice(forms).format(w=where), scene
    else:
        scene = sample_scene(rng, split, rng.choices((1, 2, 3), (0.7, 0.25, 0.05))[0])
        phrase = _things(scene, rng)
    if rng.random() < 0.5:
        where = typed_place(scene.setting, rng, bare=0.4)
        phrase = f"{where}{rng.choice((' ', ', '))}{phrase}" if rng.random() < 0.1 else f"{phrase} {where}"
    # "some", "any" and "the" stand before bare nouns only.
    is_bare = phrase.split()[0] in VOCABULARY
    wrappings = [form for form in SEARCHES if is_bare or form[:4] not in ("some", "any ", "the ")]
    phrase = rng.choice(wrappings).format(x=phrase)
    return (with_slip(phrase, rng, VOCABULARY) if rng.random() < slips else phrase), scene


def _things(scene: Scene, rng: random.Random) -> str:
    style = Style(rng.random() < 0.1, rng.random() < 0.6, rng.random() < 0.5, synonyms=0.12)
    if style.counts and rng.random() < 0.5:
        return things_phrase(scene, style, rng)
    words = []
    for group in scene.groups:
        adjectives = [group.size] if style.sizes else []
        adjectives += [group.colour] if style.colours and group.colour else []
        # "cats" may well be answered with one cat where there are no more.
        shown = replace(group, count=2) if rng.random() < 0.25 else group
        words.append(" ".join([*adjectives, noun(shown, rng, style.synonyms)]))
    return rng.choice((" and ", " and ", ", ", " ", " with ")).join(words)


def _kind_phrase(scene: Scene, rng: random.Random) -> str:
    group = scene.groups[0]
    if group.colour and rng.random() < 0.5:
        return rng.choice((f"something {group.colour}", f"anything {group.colour}", f"{group.colour} things",
                           f"a {group.colour} thing", group.colour))  # fmt: skip
    category = CATEGORY_OF[group.thing]
    if (wider := wider_category(category)) and rng.random() < 0.35:
        category = wider
    if group.count > 1 or rng.random() < 0.5:
        return plural_category(category)
    return rng.choice((category, f"{article(category)} {category}", f"any {category}"))


def _anything(rng: random.Random, split: Split) -> Scene:
    while True:
        group = tinted(Group(rng.choice(THINGS), rng.choice((1, 1, 2, 3)), rng.choice(SIZES)), rng)
        scene = Scene((group,), rng.choice(list(SETTINGS)))
        if allowed(scene, split):
            return scene


def _from_a_picture(rng: random.Random, split: Split) -> Document:
    scene = sample_scene(rng, split)
    changed = replace(scene, setting=rng.choice([s for s in SETTINGS if s != scene.setting]))
    if not allowed(changed, split):
        changed = scene
    where = typed_place(changed.setting, rng, bare=0.3)
    return [Words(_BEFORE.rstrip(), label=False), Picture(scene), Words(f" {where}{_AFTER}", label=False),
            Picture(changed, answer=True, told=True)]  # fmt: skip
