"""Documents of the playground: the one grammar behind the LM's pretraining text and the bridge's training dialogues."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from fromage_lite.playground.text import talk
from fromage_lite.playground.text.asking import answer_turn, requests
from fromage_lite.playground.text.document import Document, Picture, Words, allowed, say
from fromage_lite.playground.text.grammar import (
    caption,
    description,
    full_description,
    setting_phrase,
    things_phrase,
)
from fromage_lite.playground.text.questions import MY_PICTURE, questions
from fromage_lite.playground.text.wishes import Wish, typed_place
from fromage_lite.playground.world.scene import Scene, Split, sample_scene
from fromage_lite.playground.world.things import SETTINGS
from fromage_lite.text.forms import remarks
from fromage_lite.text.forms.requests import PLACE_CHANGES, SIMILAR


def picture_questions(rng: random.Random, split: Split = "train", n: int | None = None) -> Document:
    """A picture shown by the user, then questions about it."""
    scene = sample_scene(rng, split)
    document: Document = []
    aside = 0.3 if n is None and rng.random() < 0.3 else 0.0
    for i, question in enumerate(questions(scene, rng, n or rng.randint(1, 5))):
        if rng.random() < aside and i:
            document += say(*rng.choice((talk.fact, talk.small_talk, talk.unknown))(rng))
        if i == 0:
            document += [Words("Q:", label=False), Picture(scene)]
            document += [Words(f" {question.text}\nA:", label=False), Words(f" {question.answer}\n")]
        else:
            document += say(question.text, question.answer)
    if rng.random() < 0.06:
        document += answer_turn(rng.choice(SIMILAR), Wish(scene), rng, split)
    elif rng.random() < 0.25:
        changed = replace(scene, setting=rng.choice(list(SETTINGS)))
        if allowed(changed, split):
            form = rng.choice(("show me the same {w}.", "show me this {w}.", *PLACE_CHANGES))
            document += answer_turn(form.format(w=typed_place(changed.setting, rng)), Wish(changed), rng, split)
    return document


def two_pictures(rng: random.Random, split: Split = "train") -> Document:
    """Two pictures one after the other, each with questions: the newest picture is meant, unless another is named."""
    document = picture_questions(rng, split, rng.randint(1, 3)) + picture_questions(rng, split, rng.randint(1, 3))
    return document + (_about_the_pictures(document, rng) if rng.random() < 0.5 else [])


def described_questions(rng: random.Random, split: Split = "train") -> Document:
    """A scene described in words, then questions about it."""
    scene = sample_scene(rng, split)
    document: Document = [Words(described(scene, rng) + "\n", label=False)]
    for question in questions(scene, rng, rng.randint(2, 6)):
        document += say(question.text, question.answer)
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
        if friend.thing != hero.thing and all(allowed(scene, split) for scene in scenes):
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


def conversation(rng: random.Random, split: Split = "train", pictured: bool = False) -> Document:
    """Facts, small talk and what can't be known, in turns; and unless `pictured`, what needs a picture first."""
    makers: tuple[Callable[[random.Random], talk.Exchange], ...] = (talk.fact, talk.fact, talk.small_talk, talk.unknown)
    document: Document = []
    if not pictured and rng.random() < 0.25:
        document += say(*talk.no_picture_yet(rng))
    for _ in range(rng.randint(1, 4)):
        document += say(*rng.choice(makers)(rng))
    return document


def mixed_dialogue(rng: random.Random, split: Split = "train") -> Document:
    """Several kinds of dialogue one after the other."""
    return _one_after_the_other(rng, split, rng.randint(2, 3))


def long_dialogue(rng: random.Random, split: Split = "train") -> Document:
    """A dialogue of many turns, so that the far end of the context is trained too."""
    return _one_after_the_other(rng, split, rng.randint(5, 9))


def _one_after_the_other(rng: random.Random, split: Split, n: int) -> Document:
    document: Document = []
    for _ in range(n):
        maker = rng.choice((requests, picture_questions, picture_questions, conversation))
        pictured = any(isinstance(piece, Picture) for piece in document)
        document += conversation(rng, split, pictured) if maker is conversation else maker(rng, split)
        if rng.random() < 0.5:
            document += _back_to_the_picture(document, rng, split)
        elif rng.random() < 0.3:
            document += _about_the_pictures(document, rng)
    return document


def _back_to_the_picture(document: Document, rng: random.Random, split: Split) -> Document:
    """More questions about the newest picture; about the user's own, said to be theirs, if one was given since."""
    pictures = [piece for piece in document if isinstance(piece, Picture)]
    shown = [picture for picture in pictures if not picture.answer and not picture.found]
    if not pictures:
        return []
    last = pictures[-1]
    if (last.answer or last.found) and (last.answer or rng.random() < 0.6):
        if not shown:
            return say(rng.choice(MY_PICTURE), remarks.SHOW_FIRST) if rng.random() < 0.3 else []
        return say(rng.choice(MY_PICTURE), description(shown[-1].scene))
    if rng.random() < 0.1 and not last.found:
        return answer_turn(rng.choice(SIMILAR), Wish(last.scene), rng, split)
    return [
        piece
        for question in questions(last.scene, rng, rng.randint(1, 2))
        if not (last.found and question.text in MY_PICTURE)
        for piece in say(question.text, question.answer)
    ]


def _about_the_pictures(document: Document, rng: random.Random) -> Document:
    """Questions about all pictures so far: how many, and what is in the first. Where one that was given is not known,
    nothing is asked."""
    pictures = [piece for piece in document if isinstance(piece, Picture)]
    seen = [picture.scene for picture in pictures if not picture.answer]
    if not seen or len(seen) - sum(not p.answer and not p.found for p in pictures) != sum(p.answer for p in pictures):
        return []
    asked: Document = []
    for _ in range(rng.randint(1, 2)):
        if rng.random() < 0.35:
            asked += say(rng.choice(remarks.COUNTING), remarks.count_answer(len(seen)))
            continue
        ordinal = rng.choice((*remarks.ORDINALS[: len(seen) + 1], "last", "first"))
        at = -1 if ordinal == "last" else remarks.ORDINALS.index(ordinal)
        answer = description(seen[at]) if at < len(seen) else remarks.no_such_picture(ordinal)
        asked += say(rng.choice(remarks.IN_ORDER).format(n=ordinal), answer)
    return asked


def own_picture(rng: random.Random, split: Split = "train") -> Document:
    """A picture of the user's, others that requests have found, and questions that mean the user's own or name another
    by its place: practice in telling pictures apart."""
    document = picture_questions(rng, split, 1)
    own = next(piece.scene for piece in document if isinstance(piece, Picture))
    for _ in range(rng.randint(1, 3)):
        document += requests(rng, split, rng.choice((0, 0, 1)))
    for _ in range(rng.randint(1, 4)):
        if rng.random() < 0.6:
            document += say(rng.choice(MY_PICTURE), description(own))
        else:
            document += _about_the_pictures(document, rng)
    return document


def asked_about_pictures(rng: random.Random, split: Split = "train") -> Document:
    """Pictures shown and found, then questions about them by their order and number."""
    document: Document = []
    for _ in range(rng.randint(1, 2)):
        document += picture_questions(rng, split, 1) if rng.random() < 0.5 else requests(rng, split, rng.randint(0, 1))
    return document + _about_the_pictures(document, rng)
