"""Requests for pictures, with their follow-ups: what is asked for in words is answered with a picture."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from fromage_lite.playground.text.document import Document, Picture, Words, allowed, say
from fromage_lite.playground.text.grammar import Style, noun, setting_phrase, things_phrase
from fromage_lite.playground.text.questions import KINDS, MY_PICTURE, ask
from fromage_lite.playground.text.wishes import Wish, found_for, tinted, typed_place
from fromage_lite.playground.world.scene import Group, Scene, Split, sample_scene
from fromage_lite.playground.world.things import (
    CATEGORY_OF,
    COLOURS,
    SETTINGS,
    SIZES,
    THINGS,
    article,
    plural_category,
    wider_category,
)
from fromage_lite.text.forms.requests import (
    ADDITIONS,
    AGAIN,
    COLOUR_CHANGES,
    CORRECTIONS,
    PLACE_CHANGES,
    REMOVALS,
    REQUESTS,
    SIZE_CHANGES,
    THING_CHANGES,
)

_ANY_OF = {"food": "something to eat", "fruit": "some fruit", "clothing": "something to wear"}
_PLACE_ALONE = ("something {w}", "anything {w}", "a picture {w}", "{w}")
_SEEN_SHARE = 0.85
"""How often the found picture stands in the context; a picture may have gone."""


def request_text(scene: Scene, rng: random.Random, style: Style, with_setting: bool = True) -> str:
    """A spoken-style request for a picture of the scene."""
    return _request(scene, rng, style, setting_phrase(scene.setting, rng) if with_setting else "")


def _request(scene: Scene, rng: random.Random, style: Style, where: str) -> str:
    """Without counts, "some cats" may be plain "cats"; articles may be left out as in a search: "cat on the beach"."""
    wanted = things_phrase(scene, style, rng)
    if rng.random() < 0.07:
        wanted = " ".join(word for word in wanted.split() if word not in ("a", "an"))
    if not style.counts and rng.random() < 0.6:
        wanted = wanted.replace("some ", "")
    return rng.choice(REQUESTS).format(x=f"{wanted} {where}" if where else wanted)


def setting_change_text(setting: str, rng: random.Random) -> str:
    """`and at night?` and its like."""
    return rng.choice(PLACE_CHANGES).format(w=setting_phrase(setting, rng))


def answer_turn(question: str, wish: Wish, rng: random.Random, split: Split = "train") -> Document:
    """A request in the user's words, answered with a picture: what was wished for, then what the index had."""
    wish = wish.redrawn(rng, split)
    document: Document = [
        Words(f"Q: {question}\nA:", label=False),
        Words(" " + wish.answer),
        Picture(wish.scene, answer=True, told=True),
    ]
    if rng.random() < _SEEN_SHARE:
        document.append(Picture(found_for(wish.scene, rng, split), found=True))
    return [*document, Words("\n")]


def requests(rng: random.Random, split: Split = "train", turns: int | None = None) -> Document:
    """A dialogue that asks for pictures and follows up with changes, or with questions about the last."""
    wish, question = _any_of(rng, split) if rng.random() < 0.1 else _first_wish(rng, split)
    document = answer_turn(question, wish, rng, split)
    document += _about_the_answer(document, wish, rng)
    for _ in range(turns if turns is not None else rng.choice((0, 1, 1, 2, 3))):
        follow_up = _follow_up(wish, rng, split)
        if follow_up is None:
            continue
        wish, question = follow_up
        document += answer_turn(question, wish, rng, split)
        document += _about_the_answer(document, wish, rng)
    return document


def _first_wish(rng: random.Random, split: Split) -> tuple[Wish, str]:
    style = Style(sizes=rng.random() < 0.15, counts=rng.random() < 0.9, synonyms=0.1)
    while True:
        n_groups = rng.choices((1, 2, 3), (0.6, 0.3, 0.1))[0]
        scene = sample_scene(rng, split, n_groups if split != "unseen_pairs" else None)
        if style.counts or any(group.count > 1 for group in scene.groups):
            break
    wish = Wish(scene, style, with_place=rng.random() < 0.75)
    return wish, _request(scene, rng, style, typed_place(scene.setting, rng) if wish.with_place else "")


def _any_of(rng: random.Random, split: Split) -> tuple[Wish, str]:
    """A request that leaves the choice to the model: any animal, animals, anything red, anything on the beach."""
    style = Style(counts=rng.random() < 0.7)
    while True:
        thing = rng.choice(THINGS)
        group = tinted(Group(thing, 1 if style.counts else rng.randint(2, 4), rng.choice(SIZES)), rng)
        scene = Scene((group,), rng.choice(list(SETTINGS)))
        if allowed(scene, split):
            break
    category = CATEGORY_OF[thing]
    if (wider := wider_category(category)) and rng.random() < 0.3:
        category = wider
    with_place = rng.random() < 0.5
    where = typed_place(scene.setting, rng)
    if style.counts and rng.random() < 0.15:
        return Wish(scene, style), rng.choice(REQUESTS).format(x=rng.choice(_PLACE_ALONE).format(w=where))
    if not style.counts:
        wanted = rng.choice(("", "", "some ")) + plural_category(category)
    elif group.colour and rng.random() < 0.6:
        wanted = rng.choice((f"something {group.colour}", f"a {group.colour} thing", f"anything {group.colour}"))
    else:
        a = f"{article(category)} {category}"
        wanted = rng.choice((_ANY_OF.get(category, a), a, f"any {category}", category))
    return Wish(scene, style, with_place), rng.choice(REQUESTS).format(x=f"{wanted} {where}" if with_place else wanted)


def _follow_up(wish: Wish, rng: random.Random, split: Split) -> tuple[Wish, str] | None:
    """A change of the wish, and the words for it; None if the change drawn is not possible or not allowed."""
    single = len(wish.scene.groups) == 1
    kinds: dict[Callable[[Wish, random.Random], tuple[Wish, str]], float] = {
        _elsewhere: 1.2, _something_else: 1.6, _again: 0.9, _unrelated: 0.8,
    }  # fmt: skip
    if single:
        kinds[_other_size] = 0.5
        kinds[_together] = 0.3
        if wish.scene.groups[0].colour:
            kinds[_other_colour] = 1.5
    elif wish.style.counts:
        kinds[_without] = 0.6
    changed, question = rng.choices(list(kinds), list(kinds.values()))[0](wish, rng)
    return (changed, question) if allowed(changed.scene, split) else None


def _elsewhere(wish: Wish, rng: random.Random) -> tuple[Wish, str]:
    setting = rng.choice([s for s in SETTINGS if s != wish.scene.setting])
    form = rng.choice(PLACE_CHANGES)
    changed = replace(wish, scene=replace(wish.scene, setting=setting), with_place=True)
    return changed, form.format(w=typed_place(setting, rng))


def _something_else(wish: Wish, rng: random.Random) -> tuple[Wish, str]:
    thing = rng.choice([t for t in THINGS if t not in wish.scene.things])
    group = tinted(Group(thing, rng.choice((1, 1, 1, 2)), rng.choice(SIZES)), rng)
    changed = replace(wish, scene=replace(wish.scene, groups=(group,)))
    x = things_phrase(changed.scene, wish.style, rng)
    if rng.random() < 0.25:
        y = rng.choice((things_phrase(wish.scene, wish.style), noun(wish.scene.groups[0])))
        return changed, rng.choice(CORRECTIONS).format(x=x, y=y)
    if not wish.style.counts:
        x = x.replace("some ", rng.choice(("", "some ")))
    return changed, rng.choice(THING_CHANGES).format(x=x)


def _again(wish: Wish, rng: random.Random) -> tuple[Wish, str]:
    return wish, rng.choice(AGAIN)


def _unrelated(wish: Wish, rng: random.Random) -> tuple[Wish, str]:
    """A whole request; what was asked for before has no part in it."""
    if rng.random() < 0.3:  # one where there were two, two where there was one
        group = wish.scene.groups[0]
        other = replace(group, count=2 if group.count == 1 else 1)
        wish = Wish(Scene((other,), wish.scene.setting), Style(), with_place=False)
        return wish, request_text(wish.scene, rng, wish.style, with_setting=False)
    return _any_of(rng, "any") if rng.random() < 0.1 else _first_wish(rng, "any")


def _other_size(wish: Wish, rng: random.Random) -> tuple[Wish, str]:
    size = rng.choice(SIZES)
    group = replace(wish.scene.groups[0], size=size)
    style = replace(wish.style, sizes=True)
    return replace(wish, scene=replace(wish.scene, groups=(group,)), style=style), rng.choice(SIZE_CHANGES[size])


def _other_colour(wish: Wish, rng: random.Random) -> tuple[Wish, str]:
    group = wish.scene.groups[0]
    colour = rng.choice([c for c in COLOURS if c != group.colour])
    changed = replace(wish.scene, groups=(replace(group, colour=colour),))
    return replace(wish, scene=changed), rng.choice(COLOUR_CHANGES).format(c=colour)


def _together(wish: Wish, rng: random.Random) -> tuple[Wish, str]:
    thing = rng.choice([t for t in THINGS if t not in wish.scene.things])
    group = tinted(Group(thing, 1, rng.choice(SIZES)), rng)
    changed = replace(wish.scene, groups=(replace(wish.scene.groups[0], count=1), group))
    if wish.scene.groups[0].count != 1:
        changed = replace(changed, groups=(*wish.scene.groups, group))
    x = things_phrase(replace(wish.scene, groups=(group,)), wish.style, rng)
    return replace(wish, scene=changed), rng.choice(ADDITIONS).format(x=x)


def _without(wish: Wish, rng: random.Random) -> tuple[Wish, str]:
    groups = list(wish.scene.groups)
    gone = groups.pop(rng.randrange(len(groups)))
    y = rng.choice((f"the {noun(gone)}", noun(gone), f"the {noun(gone)}"))
    return replace(wish, scene=replace(wish.scene, groups=tuple(groups))), rng.choice(REMOVALS).format(y=y)


def _about_the_answer(document: Document, wish: Wish, rng: random.Random) -> Document:
    """Questions about the picture that was found last; where it is gone, about what the words have told."""
    last = next(piece for piece in reversed(document) if isinstance(piece, Picture))
    if rng.random() > (0.4 if last.found else 0.15):
        return []
    kinds = [kind for kind in KINDS if kind != "size" or wish.style.sizes]
    if not last.found and not (wish.style.counts and wish.style.colours and wish.with_place):
        return []
    scene = last.scene if last.found else wish.scene
    about: Document = []
    for _ in range(rng.choice((1, 1, 2)) if last.found else 1):
        question = ask(scene, rng, None if last.found else rng.choice(kinds))
        if question is not None and question.text not in MY_PICTURE:
            about += say(question.text, question.answer)
    return about
