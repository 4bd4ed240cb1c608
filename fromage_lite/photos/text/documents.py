"""Documents about photographs: the one grammar behind the LM's pretraining text and the bridge's training dialogues."""

from __future__ import annotations

import random
from collections.abc import Callable

from fromage_lite.photos.text import pictures, talk, telling
from fromage_lite.photos.text.asking import answer_turn, any_wish, like_a_picture, request_text, requests
from fromage_lite.photos.text.document import Document, Mixture, Picture, Words, say, say_with
from fromage_lite.photos.text.pairs import pair_questions, place_question
from fromage_lite.photos.text.questions import MY_PICTURE, questions
from fromage_lite.text.forms import remarks


def captioned(rng: random.Random) -> Document:
    """A picture with what it shows after it, as on a web page."""
    mixture = pictures.anything(rng)
    return [Picture(mixture), Words(" " + telling.description(mixture))]


def picture_questions(rng: random.Random, n: int | None = None) -> Document:
    """A picture shown by the user, then questions about it."""
    mixture = pictures.anything(rng)
    document: Document = []
    aside = 0.3 if n is None and rng.random() < 0.25 else 0.0
    for i, question in enumerate(questions(mixture, rng, n or rng.randint(1, 5))):
        if i == 0:
            document += say_with([Picture(mixture)], question.text, question.answer, question.asked)
            continue
        if rng.random() < aside:
            document += say(*rng.choice((talk.fact, talk.small_talk, talk.unknown, talk.unknown_thing))(rng))
        document += say(question.text, question.answer, question.asked)
    return document


def two_pictures(rng: random.Random) -> Document:
    """Two pictures in one message with questions about both; or one after the other: the newest is meant, unless
    another is named."""
    if rng.random() < 0.6:
        return pair_questions(*pictures.pair(rng), rng, rng.randint(1, 4))
    document = picture_questions(rng, rng.randint(1, 2)) + picture_questions(rng, rng.randint(1, 2))
    return document + (_about_the_pictures(document, rng) if rng.random() < 0.5 else [])


def conversation(rng: random.Random, pictured: bool = False) -> Document:
    """Facts, small talk and what can't be known, in turns; and unless `pictured`, what needs a picture first."""
    makers: tuple[Callable[[random.Random], talk.Exchange], ...] = (talk.fact, talk.fact, talk.small_talk, talk.unknown)
    document: Document = []
    if not pictured and rng.random() < 0.25:
        document += say(*talk.no_picture_yet(rng))
    for _ in range(rng.randint(1, 4)):
        document += say(*rng.choice(makers)(rng))
    return document


def mixed_dialogue(rng: random.Random) -> Document:
    """Several kinds of dialogue one after the other."""
    return _one_after_the_other(rng, rng.randint(2, 3))


def long_dialogue(rng: random.Random) -> Document:
    """A dialogue of many turns, so that the far end of the context is trained too."""
    return _one_after_the_other(rng, rng.randint(4, 7))


def _one_after_the_other(rng: random.Random, n: int) -> Document:
    document: Document = []
    for _ in range(n):
        maker = rng.choice((requests, picture_questions, picture_questions, conversation, two_pictures))
        pictured = any(isinstance(piece, Picture) for piece in document)
        document += conversation(rng, pictured) if maker is conversation else maker(rng)
        if rng.random() < 0.5:
            document += _back_to_the_picture(document, rng)
        elif rng.random() < 0.3:
            document += _about_the_pictures(document, rng)
    return document


def _back_to_the_picture(document: Document, rng: random.Random) -> Document:
    """More questions about the newest picture; about the user's own, said to be theirs, if one was given since."""
    seen = [piece for piece in document if isinstance(piece, Picture)]
    if not seen:
        return []
    shown = [picture for picture in seen if not picture.answer and not picture.found]
    last = seen[-1]
    if last.answer or (last.found and rng.random() < 0.6):
        if not shown:
            return say(rng.choice(MY_PICTURE), remarks.SHOW_FIRST) if rng.random() < 0.3 else []
        return say(rng.choice(MY_PICTURE), telling.description(shown[-1].mixture))
    about = questions(last.mixture, rng, rng.randint(1, 2))
    return [piece for question in about for piece in say(question.text, question.answer, question.asked)]


def _about_the_pictures(document: Document, rng: random.Random) -> Document:
    """Questions about all pictures so far: how many, and what is in the first. Where one that was given is not known,
    nothing is asked."""
    all_pictures = [piece for piece in document if isinstance(piece, Picture)]
    seen = [picture.mixture for picture in all_pictures if not picture.answer]
    found = sum(picture.found for picture in all_pictures)
    if not seen or found != sum(picture.answer for picture in all_pictures):
        return []
    asked: Document = []
    for _ in range(rng.randint(1, 2)):
        if rng.random() < 0.3:
            asked += say(rng.choice(remarks.COUNTING), remarks.count_answer(len(seen)))
        else:
            asked += say(*place_question(seen[:4], rng)) if len(seen) <= 4 else []
    return asked


def own_picture(rng: random.Random) -> Document:
    """A picture of the user's, others that requests have found, and questions that mean the user's own or name another
    by its place: practice in telling pictures apart."""
    document = picture_questions(rng, 1)
    own: Mixture = next(piece.mixture for piece in document if isinstance(piece, Picture))
    for _ in range(rng.randint(1, 2)):
        document += requests(rng, rng.choice((0, 0, 1)))
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.6:
            document += say(rng.choice(MY_PICTURE), telling.description(own))
        else:
            document += _about_the_pictures(document, rng)
    return document


def asked_about_pictures(rng: random.Random) -> Document:
    """Pictures shown and found, then questions about them by their order and number."""
    document: Document = []
    for _ in range(rng.randint(1, 2)):
        document += picture_questions(rng, 1) if rng.random() < 0.5 else requests(rng, rng.randint(0, 1))
    return document + _about_the_pictures(document, rng)


def shown_then_asked_for(rng: random.Random) -> Document:
    """A picture, a question about it, and a request: for more like it, or for anything."""
    if rng.random() < 0.6:
        return like_a_picture(rng)
    wish = any_wish(rng)
    return picture_questions(rng, rng.randint(1, 2)) + answer_turn(request_text(wish, rng), wish, rng)
