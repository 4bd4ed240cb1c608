"""Requests for pictures, with their follow-ups: what is asked for in words is answered with a picture."""

from __future__ import annotations

import random
from dataclasses import replace

from fromage_lite.playground.text.document import Document, Picture, Words, allowed, say
from fromage_lite.playground.text.grammar import Style, setting_phrase, things_phrase
from fromage_lite.playground.text.questions import MY_PICTURE, ask
from fromage_lite.playground.world.scene import Group, Scene, Split, sample_scene
from fromage_lite.playground.world.things import (
    CATEGORY_OF,
    COLOURS,
    SETTINGS,
    THINGS,
    TINTABLE,
    article,
    plural_category,
)

_REQUESTS = (
    "show me {x}.", "can you show me {x}?", "find {x}.", "find me {x}.", "i want to see {x}.",
    "i would like to see {x}.",
    "do you have a picture of {x}?", "show me a picture of {x}.", "a picture of {x}, please.", "give me {x}.",
    "search for {x}.", "please show me {x}.", "could you find a picture of {x}?", "let me see {x}.", "show {x}.",
    "i need a picture of {x}.", "got a photo of {x}?", "{x}, please.", "draw {x}.", "draw me {x}.", "pictures of {x}.",
    "find pictures of {x}.", "can i see {x}?", "{x}.",
)  # fmt: skip
_SETTING_CHANGES = (
    "and {w}?", "now {w}.", "the same {w}, please.", "what about {w}?", "and {w}, please.", "show me the same {w}.",
    "now show it {w}.",
)  # fmt: skip
_THING_CHANGES = (
    "and {x}?",
    "now {x}.",
    "what about {x}?",
    "and {x}, please.",
    "now with {x}.",
    "{x} instead, please.",
)
SIMILAR = (
    "more like this.",
    "show me a similar picture.",
    "find a picture like this.",
    "show me something like this.",
    "a similar picture, please.",
)
_ANY_OF = {"food": "something to eat", "fruit": "some fruit", "clothing": "something to wear"}
_COLOUR_CHANGES = ("a {c} one, please.", "in {c}.", "now in {c}.", "the same in {c}, please.", "and a {c} one?")
_AGAIN = (
    "another one.",
    "one more.",
    "another one, please.",
    "show me another one.",
    "more like this.",
    "again, please.",
    "show me a similar one.",
    "show me a similar picture.",
)


def request_text(scene: Scene, rng: random.Random, style: Style, with_setting: bool = True) -> str:
    """A spoken-style request for a picture of the scene. Without counts, "some cats" may be plain "cats"; articles may
    be left out as in a search: "cat on the beach"."""
    wanted = things_phrase(scene, style, rng)
    if rng.random() < 0.07:
        wanted = " ".join(word for word in wanted.split() if word not in ("a", "an"))
    if not style.counts and rng.random() < 0.6:
        wanted = wanted.replace("some ", "")
    if with_setting:
        wanted += " " + setting_phrase(scene.setting, rng)
    return rng.choice(_REQUESTS).format(x=wanted)


def setting_change_text(setting: str, rng: random.Random) -> str:
    """`and at night?` and its like."""
    return rng.choice(_SETTING_CHANGES).format(w=setting_phrase(setting, rng))


def answer_text(scene: Scene, style: Style = Style(), with_setting: bool = True) -> str:  # noqa: B008  (frozen)
    """What the model says before it gives a picture."""
    where = " " + setting_phrase(scene.setting) if with_setting else ""
    return f"here you are: {things_phrase(scene, style)}{where}."


def request_turn(scene: Scene, question: str, style: Style, with_setting: bool = True) -> Document:
    """A request in the user's words, answered with a picture."""
    return [
        Words(f"Q: {question}\nA:", label=False),
        Words(" " + answer_text(scene, style, with_setting)),
        Picture(scene, answer=True, told=True),
        Words("\n"),
    ]


def requests(rng: random.Random, split: Split = "train", turns: int | None = None) -> Document:
    """A dialogue that asks for pictures and follows up with changes, or with questions about the last."""
    if rng.random() < 0.08:
        return _any_of(rng, split)
    style = Style(sizes=rng.random() < 0.15, counts=rng.random() < 0.9, synonyms=0.1)
    while True:
        n_groups = rng.choices((1, 2, 3), (0.6, 0.3, 0.1))[0]
        scene = sample_scene(rng, split, n_groups if split != "unseen_pairs" else None)
        if style.counts or any(group.count > 1 for group in scene.groups):
            break
    with_setting = rng.random() < 0.8
    document = request_turn(
        scene, request_text(scene, rng, style, with_setting), replace(style, synonyms=0.0), with_setting
    )
    for _ in range(turns if turns is not None else rng.choice((0, 1, 1, 2, 3))):
        kind, changed, with_place = rng.random(), scene, with_setting
        if scene.groups[0].colour and len(scene.groups) == 1 and kind < 0.4:
            colour = rng.choice([c for c in COLOURS if c != scene.groups[0].colour])
            changed = replace(scene, groups=(replace(scene.groups[0], colour=colour),))
            question = rng.choice(_COLOUR_CHANGES).format(c=colour)
        elif kind < 0.5:
            changed = replace(scene, setting=rng.choice([s for s in SETTINGS if s != scene.setting]))
            question, with_place = setting_change_text(changed.setting, rng), True
        elif kind < 0.8:
            thing = rng.choice([t for t in THINGS if t not in scene.things])
            changed = replace(scene, groups=(Group(thing, rng.choice((1, 1, 1, 2)), rng.choice(("small", "big"))),))
            changed = replace(changed, groups=(_tint(changed.groups[0], rng),))
            question = rng.choice(_THING_CHANGES).format(x=things_phrase(changed, style, rng))
        else:
            question = rng.choice(_AGAIN)
        if not allowed(changed, split):
            continue
        document += request_turn(changed, question, replace(style, synonyms=0.0), with_place)
        scene, with_setting = changed, with_place
    if style.counts and with_setting and rng.random() < 0.25:
        document += _about_the_answer(scene, rng)
    return document


def _about_the_answer(scene: Scene, rng: random.Random) -> Document:
    """A question about a picture that was given: as far as the words of the request tell."""
    kind = rng.choice(("what", "what", "where", "how_many", "is_there", "colour"))
    question = ask(scene, rng, kind)
    if question is None or question.text in MY_PICTURE:
        return []
    return say(question.text, question.answer)


def _any_of(rng: random.Random, split: Split) -> Document:
    """A request that leaves the choice to the model: any animal, animals, anything red."""
    style = Style(counts=rng.random() < 0.7)
    while True:
        thing = rng.choice(THINGS)
        group = _tint(Group(thing, 1 if style.counts else rng.randint(2, 4), rng.choice(("small", "big"))), rng)
        scene = Scene((group,), rng.choice(list(SETTINGS)))
        if allowed(scene, split):
            break
    category = CATEGORY_OF[thing]
    if not style.counts:
        wanted = plural_category(category)
    elif group.colour and rng.random() < 0.5:
        wanted = f"something {group.colour}"
    else:
        wanted = _ANY_OF.get(category, f"{article(category)} {category}")
    with_setting = rng.random() < 0.5
    where = f" {setting_phrase(scene.setting, rng)}" if with_setting else ""
    return request_turn(scene, rng.choice(_REQUESTS).format(x=wanted + where), style, with_setting)


def _tint(group: Group, rng: random.Random) -> Group:
    return replace(group, colour=rng.choice(list(COLOURS))) if group.thing in TINTABLE else group
