"""Questions about one scene, with their answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fromage_lite.playground.text.grammar import description, noun, phrase, setting_phrase
from fromage_lite.playground.world.scene import Scene
from fromage_lite.playground.world.things import (
    CATEGORY_OF,
    COLOURS,
    NUMBERS,
    SETTINGS,
    SIZES,
    THINGS,
    THINGS_BY_CATEGORY,
    TINTABLE,
    article,
    is_a,
    plural,
    plural_category,
)


@dataclass(frozen=True)
class Question:
    """A question with its one right answer."""

    kind: str
    text: str
    answer: str


MY_PICTURE = ("what is in my picture?", "describe my picture.", "what did i show you?")
"""Questions that mean the picture which the user has shown, whatever was found since."""


def _what(scene: Scene, rng: random.Random) -> Question:
    text = rng.choice(
        (
            "what is in the picture?",
            "what is in this picture?",
            "what do you see?",
            "what is this?",
            "describe the picture.",
            "what can you see in this picture?",
            "describe this.",
            "what is here?",
            "tell me what you see.",
            "describe it.",
            "what is on this picture?",
            "what is it?",
            "what is that?",
            "what did you find?",
            "what is shown?",
            "what is in it?",
            "what does it show?",
            "what is in the photo?",
            "tell me what is in the picture.",
            "what does the picture show?",
            *MY_PICTURE,
        )
    )
    return Question("what", text, description(scene))


def _where(scene: Scene, rng: random.Random) -> Question:
    group = rng.choice(scene.groups)
    be, it = ("is", "it") if group.count == 1 else ("are", "they")
    text = rng.choice(
        (
            f"where {be} the {noun(group)}?",
            "where is this?",
            f"where {be} {it}?",
            "what place is this?",
            "where are we?",
            "where was this?",
            "which place is it?",
        )
    )
    return Question("where", text, f"{setting_phrase(scene.setting)}.")


def _how_many(scene: Scene, rng: random.Random) -> Question:
    group = rng.choice(scene.groups)
    things = plural(group.thing)
    text = rng.choice(
        (
            f"how many {things} are there?",
            f"how many {things} do you see?",
            f"how many {things}?",
            f"count the {things}.",
            f"how many {things} are in the picture?",
            f"how many {things} can you see?",
            *(("how many are there?", "how many?") if len(scene.groups) == 1 else ()),
        )
    )
    return Question("how_many", text, f"{NUMBERS[group.count]}.")


def _colour(scene: Scene, rng: random.Random) -> Question | None:
    coloured = [group for group in scene.groups if group.colour]
    if not coloured:
        return None
    group = rng.choice(coloured)
    be = "is" if group.count == 1 else "are"
    word = rng.choice(("colour", "color"))
    it = "it" if group.count == 1 else "they"
    text = rng.choice(
        (
            f"what {word} {be} the {noun(group)}?",
            f"which {word} {be} the {noun(group)}?",
            *((f"what {word} {be} {it}?",) if len(scene.groups) == 1 else ()),
        )
    )
    return Question("colour", text, f"{group.colour}.")


def _size(scene: Scene, rng: random.Random) -> Question:
    group = rng.choice(scene.groups)
    be = "is" if group.count == 1 else "are"
    text = rng.choice(
        (
            f"{be} the {noun(group)} big or small?",
            f"what size {be} the {noun(group)}?",
            f"how big {be} the {noun(group)}?",
        )
    )
    return Question("size", text, f"{group.size}.")


def _side(scene: Scene, rng: random.Random) -> Question | None:
    if len(scene.groups) < 2:
        return None
    i = rng.randrange(len(scene.groups))
    side = rng.choice(("left", "right"))
    j = i - 1 if side == "left" else i + 1
    group = scene.groups[i]
    text = rng.choice(
        (
            f"what is to the {side} of the {noun(group)}?",
            f"what is {side} of the {noun(group)}?",
            f"what do you see to the {side} of the {noun(group)}?",
        )
    )
    answer = phrase(scene.groups[j]) if 0 <= j < len(scene.groups) else "nothing"
    return Question("side", text, f"{answer}.")


def _absent(scene: Scene, rng: random.Random, among: Sequence[str] = THINGS) -> str:
    return rng.choice([thing for thing in among if thing not in scene.things])


def _is_there(scene: Scene, rng: random.Random) -> Question:
    present = rng.random() < 0.5
    thing = rng.choice(scene.groups).thing if present else _absent(scene, rng)
    a = f"{article(thing)} {thing}"
    text = rng.choice(
        (
            f"is there {a}?",
            f"do you see {a}?",
            f"is there {a} in the picture?",
            f"can you see {a}?",
            f"is that {a}?",
            f"is it {a}?",
            f"is this {a}?",
        )
    )
    return Question("is_there", text, "yes." if present else "no.")


def _yes_no(scene: Scene, rng: random.Random) -> Question:
    true = rng.random() < 0.5
    coloured = [group for group in scene.groups if group.colour]
    if coloured and rng.random() < 0.4:
        group = rng.choice(coloured)
        colour = group.colour if true else rng.choice([c for c in COLOURS if c != group.colour])
        text = f"{'is' if group.count == 1 else 'are'} the {noun(group)} {colour}?"
    elif rng.random() < 0.2:
        group = rng.choice(scene.groups)
        size = group.size if true else next(size for size in SIZES if size != group.size)
        text = f"{'is' if group.count == 1 else 'are'} the {noun(group)} {size}?"
        if len(scene.groups) == 1 and group.count == 1 and rng.random() < 0.5:
            text = f"is it {size}?"
    else:
        setting = scene.setting if true else rng.choice([s for s in SETTINGS if s != scene.setting])
        text = f"is {rng.choice(('this', 'this', 'it'))} {setting_phrase(setting, rng)}?"
    return Question("yes_no", text, "yes." if true else "no.")


def _category(scene: Scene, rng: random.Random) -> Question:
    category = rng.choice([c for c in THINGS_BY_CATEGORY if c != "object"])
    members = [group for group in scene.groups if is_a(group.thing, category)]
    if not members and rng.random() < 0.5:
        category = CATEGORY_OF[rng.choice(scene.groups).thing]
        members = [group for group in scene.groups if is_a(group.thing, category)]
    a = f"{article(category)} {category}"
    if len(members) == 1 and rng.random() < 0.6:
        text = rng.choice((f"which {category} do you see?", f"which {category} is there?", f"what {category} is this?"))
        return Question("category", text, f"{phrase(members[0])}.")
    text = rng.choice((f"is there {a}?", f"do you see {a}?", f"are there any {plural_category(category)}?"))
    return Question("category", text, "yes." if members else "no.")


def _missing(scene: Scene, rng: random.Random) -> Question:
    """A question about something that isn't there, or that can't be seen: the answer says so."""
    pale = [group for group in scene.groups if not group.colour]
    if pale and rng.random() < 0.3:
        group = rng.choice(pale)
        be = "is" if group.count == 1 else "are"
        it = "it" if group.count == 1 else "they"
        asked = it if len(scene.groups) == 1 and rng.random() < 0.3 else f"the {noun(group)}"
        return Question("missing", f"what colour {be} {asked}?", "i can not tell.")
    thing = _absent(scene, rng, sorted(TINTABLE) if rng.random() < 0.3 else THINGS)
    text = rng.choice(
        (
            f"how many {plural(thing)} are there?",
            f"where is the {thing}?",
            f"what colour is the {thing}?",
            f"is the {thing} big or small?",
            f"what is to the left of the {thing}?",
        )
    )
    return Question("missing", text, f"there is no {thing}.")


_MAKERS: dict[str, tuple[float, Callable[[Scene, random.Random], Question | None]]] = {
    "what": (1.0, _what),
    "where": (0.6, _where),
    "how_many": (1.0, _how_many),
    "colour": (1.3, _colour),
    "size": (0.8, _size),
    "side": (2.0, _side),
    "is_there": (1.6, _is_there),
    "yes_no": (1.2, _yes_no),
    "category": (1.4, _category),
    "missing": (1.0, _missing),
}
KINDS: tuple[str, ...] = tuple(_MAKERS)


def ask(scene: Scene, rng: random.Random, kind: str | None = None) -> Question | None:
    """One question of a kind, or None if the scene can't be asked it (no coloured thing, a single thing)."""
    if kind is not None:
        return _MAKERS[kind][1](scene, rng)
    while True:
        drawn = rng.choices(KINDS, [weight for weight, _ in _MAKERS.values()])[0]
        question = _MAKERS[drawn][1](scene, rng)
        if question:
            return question


def questions(scene: Scene, rng: random.Random, n: int) -> list[Question]:
    """Up to `n` questions with different texts."""
    asked: dict[str, Question] = {}
    for _ in range(n):
        question = ask(scene, rng)
        if question:
            asked.setdefault(question.text, question)
    return list(asked.values())
