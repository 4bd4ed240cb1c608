"""Documents of the playground: the one grammar behind the LM's pretraining text and the bridge's training dialogues.

A document is a list of pieces, text and pictures. For the LM's text every picture becomes a picture span of tags; for a
bridge a shown picture becomes an image and a picture given in answer becomes `[RET]`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from fromage_lite.playground import talk
from fromage_lite.playground.grammar import Style, caption, full_description, setting_phrase, things_phrase
from fromage_lite.playground.questions import questions
from fromage_lite.playground.scene import Group, Scene, Split, has_held_out_pair, has_held_out_setting, sample_scene
from fromage_lite.playground.things import COLOURS, SETTINGS, THINGS, TINTABLE


@dataclass(frozen=True)
class Words:
    """Text; `label` tells whether a dialogue model is to learn saying it (answers, not questions)."""

    text: str
    label: bool = True


@dataclass(frozen=True)
class Picture:
    """A picture in a document.

    Attributes:
        scene: what it shows.
        answer: given by the model (`[RET]`), not shown by the user.
        told: the text before it says what it shows.
    """

    scene: Scene
    answer: bool = False
    told: bool = False


Piece = Words | Picture
Document = list[Piece]

_REQUESTS = (
    "show me {x}.", "can you show me {x}?", "find {x}.", "find me {x}.", "i want to see {x}.",
    "i would like to see {x}.",
    "do you have a picture of {x}?", "show me a picture of {x}.", "a picture of {x}, please.", "give me {x}.",
    "search for {x}.", "please show me {x}.", "could you find a picture of {x}?", "let me see {x}.", "show {x}.",
    "i need a picture of {x}.", "got a photo of {x}?", "{x}, please.",
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
_AGAIN = (
    "another one.",
    "one more.",
    "another one, please.",
    "show me another one.",
    "more like this.",
    "again, please.",
)


def request_text(scene: Scene, rng: random.Random, style: Style, with_setting: bool = True) -> str:
    """A spoken-style request for a picture of the scene."""
    wanted = things_phrase(scene, style, rng)
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


def _allowed(scene: Scene, split: Split) -> bool:
    return split == "any" or not (has_held_out_pair(scene) or has_held_out_setting(scene))


def _request_turn(scene: Scene, question: str, style: Style, with_setting: bool = True) -> Document:
    return [
        Words(f"Q: {question}\nA:", label=False),
        Words(" " + answer_text(scene, style, with_setting)),
        Picture(scene, answer=True, told=True),
        Words("\n"),
    ]


def _say(question: str, answer: str) -> Document:
    return [Words(f"Q: {question}\nA:", label=False), Words(f" {answer}\n")]


def requests(rng: random.Random, split: Split = "train", turns: int | None = None) -> Document:
    """A dialogue that asks for pictures and follows up with changes."""
    scene = sample_scene(rng, split, rng.choices((1, 2, 3), (0.6, 0.3, 0.1))[0] if split != "unseen_pairs" else None)
    style = Style(sizes=rng.random() < 0.15, synonyms=0.1)
    with_setting = rng.random() < 0.8
    document = _request_turn(
        scene, request_text(scene, rng, style, with_setting), replace(style, synonyms=0.0), with_setting
    )
    for _ in range(turns if turns is not None else rng.choice((0, 1, 1, 2, 3))):
        kind, changed, with_place = rng.random(), scene, with_setting
        if kind < 0.5:
            changed = replace(scene, setting=rng.choice([s for s in SETTINGS if s != scene.setting]))
            question, with_place = setting_change_text(changed.setting, rng), True
        elif kind < 0.8:
            thing = rng.choice([t for t in THINGS if t not in scene.things])
            changed = replace(scene, groups=(Group(thing, rng.choice((1, 1, 1, 2)), rng.choice(("small", "big"))),))
            changed = replace(changed, groups=(_tint(changed.groups[0], rng),))
            question = rng.choice(_THING_CHANGES).format(x=things_phrase(changed, style, rng))
        else:
            question = rng.choice(_AGAIN)
        if not _allowed(changed, split):
            continue
        document += _request_turn(changed, question, replace(style, synonyms=0.0), with_place)
        scene, with_setting = changed, with_place
    return document


def _tint(group: Group, rng: random.Random) -> Group:
    return replace(group, colour=rng.choice(list(COLOURS))) if group.thing in TINTABLE else group


def picture_questions(rng: random.Random, split: Split = "train", n: int | None = None) -> Document:
    """A picture shown by the user, then questions about it."""
    scene = sample_scene(rng, split)
    document: Document = []
    for i, question in enumerate(questions(scene, rng, n or rng.randint(1, 5))):
        if i == 0:
            document += [Words("Q:", label=False), Picture(scene)]
            document += [Words(f" {question.text}\nA:", label=False), Words(f" {question.answer}\n")]
        else:
            document += _say(question.text, question.answer)
    if rng.random() < 0.25:
        changed = replace(scene, setting=rng.choice(list(SETTINGS)))
        if _allowed(changed, split):
            where = setting_phrase(changed.setting, rng)
            question_text = rng.choice(("show me the same {w}.", "show me this {w}.", "now {w}.", "and {w}?")).format(
                w=where
            )
            document += _request_turn(changed, question_text, Style())
    return document


def two_pictures(rng: random.Random, split: Split = "train") -> Document:
    """Two pictures one after the other, each with questions: the newest picture is meant."""
    return picture_questions(rng, split, rng.randint(1, 3)) + picture_questions(rng, split, rng.randint(1, 3))


def described_questions(rng: random.Random, split: Split = "train") -> Document:
    """A scene described in words, then questions about it."""
    scene = sample_scene(rng, split)
    document: Document = [Words(described(scene, rng) + "\n", label=False)]
    for question in questions(scene, rng, rng.randint(2, 6)):
        document += _say(question.text, question.answer)
    return document


def described(scene: Scene, rng: random.Random) -> str:
    """The full description in words, in one of three frames."""
    return rng.choice(("", "a picture: ", "there is a picture of ")) + full_description(scene)


def captioned(rng: random.Random, split: Split = "train") -> Document:
    """A picture with its caption after it, as on a web page."""
    scene = sample_scene(rng, split)
    return [Picture(scene), Words(" " + caption(scene, rng))]


def illustrated(rng: random.Random, split: Split = "train") -> Document:
    """A caption with its picture after it."""
    scene = sample_scene(rng, split)
    text = caption(scene, rng) if rng.random() < 0.7 else full_description(scene)
    return [Words(text), Picture(scene, answer=True, told=True)]


def story(rng: random.Random, split: Split = "train", pictures: float = 0.7) -> Document:
    """Five captions about one hero who changes places and meets others; later ones say only `it`."""
    while True:
        hero = sample_scene(rng, split if split in ("train", "any") else "any", 1).groups[0]
        hero = replace(hero, count=1)
        places = rng.sample(list(SETTINGS), 4)
        friend = sample_scene(rng, "any", 1).groups[0]
        friend = replace(friend, count=1)
        scenes = [Scene((hero,), place) for place in places] + [Scene((hero, friend), places[-1])]
        if friend.thing != hero.thing and all(_allowed(scene, split) for scene in scenes):
            break
    article_word, rest = things_phrase(scenes[0]).split(" ", 1)
    lines = [f"once there was {article_word} {rest} {setting_phrase(places[0])}."]
    lines += [f"then it was {setting_phrase(place)}." for place in places[1:]]
    lines.append(f"there it met {things_phrase(Scene((friend,), places[-1]))}.")
    document: Document = []
    for i, (line, scene) in enumerate(zip(lines, scenes, strict=True)):
        document.append(Words((" " if i else "") + line))
        if rng.random() < pictures:
            document.append(Picture(scene, answer=True, told=True))
    return document


def conversation(rng: random.Random, split: Split = "train") -> Document:
    """Facts, small talk and what can't be known, in turns."""
    makers: tuple[Callable[[random.Random], talk.Exchange], ...] = (talk.fact, talk.fact, talk.small_talk, talk.unknown)
    document: Document = []
    if rng.random() < 0.15:
        document += _say(*talk.no_picture_yet(rng))
    for _ in range(rng.randint(1, 4)):
        document += _say(*rng.choice(makers)(rng))
    return document


def mixed_dialogue(rng: random.Random, split: Split = "train") -> Document:
    """Several kinds of dialogue one after the other."""
    document: Document = []
    for _ in range(rng.randint(2, 3)):
        document += rng.choice((requests, picture_questions, conversation))(rng, split)
    return document


def long_dialogue(rng: random.Random, split: Split = "train") -> Document:
    """A dialogue of many turns, so that the far end of the context is trained too."""
    document: Document = []
    for _ in range(rng.randint(5, 9)):
        document += rng.choice((requests, picture_questions, picture_questions, conversation))(rng, split)
    return document
