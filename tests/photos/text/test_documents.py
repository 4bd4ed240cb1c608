"""What the texts about photographs teach: answers follow the picture that is meant."""

import random

import numpy as np
import pytest

from fromage_lite.photos.pretraining.corpus import random_document
from fromage_lite.photos.text import asking, documents, talk, telling
from fromage_lite.photos.text.document import Picture, Words, length
from fromage_lite.photos.text.pairs import which_one
from fromage_lite.photos.text.pictures import plain
from fromage_lite.photos.text.questions import MY_PICTURE, WHAT
from fromage_lite.photos.text.strangers import UNKNOWN, stranger
from fromage_lite.photos.text.words import tags
from fromage_lite.photos.world.classes import CLASSES, KINDS, meaning
from fromage_lite.text.forms.document import as_turns

NUMBER = {row.name: number for number, row in enumerate(CLASSES)}


def test_tags_stand_at_the_end_of_their_slots():
    assert tags(CLASSES[NUMBER["hen"]]) == ("-", "-", "hen", "-", "bird", "animal")
    assert tags(CLASSES[NUMBER["tiger cat"]]) == ("-", "tiger", "cat", "cat", "mammal", "animal")


def test_questions_after_a_request_are_answered_from_the_found_picture():
    rng = random.Random(1)
    asked = differ = 0
    for _ in range(150):
        wanted = found = None
        for turn in as_turns(asking.requests(rng)):
            if found is not None and turn.message[0] in WHAT:
                assert turn.reply == (telling.description(found),)
                asked, differ = asked + 1, differ + (wanted[int(found.argmax())] == 0)
            given = [part for part in turn.reply if isinstance(part, Picture)]
            if given:
                wanted, found = given[0].mixture, given[1].mixture if len(given) > 1 else None
    assert asked > differ > 0  # the words alone would not do


def test_my_picture_is_the_users_own_whatever_was_found_since():
    rng = random.Random(2)
    asked = 0
    for _ in range(60):
        turns = as_turns(documents.own_picture(rng))
        own = next(part.mixture for part in turns[0].message if isinstance(part, Picture))
        for turn in turns[1:]:
            if turn.message[0] in MY_PICTURE:
                assert turn.reply == (telling.description(own),)
                asked += 1
    assert asked > 15


def test_which_of_two_pictures_shows_a_thing():
    rng = random.Random(3)
    tabby, truck = plain(NUMBER["tabby"]), plain(NUMBER["tow truck"])
    answers = dict(which_one(tabby, truck, rng)[:2] for _ in range(600))
    for question, answer in answers.items():
        if question.rstrip("?").endswith((" the cat", " a cat")):
            assert answer == "the first one."
        if question.rstrip("?").endswith((" the vehicle", " a vehicle")):
            assert answer == "the second one."
    assert {"the first one.", "the second one.", "neither."} <= set(answers.values())


def test_a_wish_is_for_all_classes_that_its_words_mean():
    wish = asking.Wish("bird", tuple(sorted(meaning("bird"))))
    assert wish.answer == "here you are: a bird."
    assert set(np.flatnonzero(wish.target)) == set(KINDS["bird"])
    assert wish.target.sum() == pytest.approx(1, abs=1e-4)


def test_strangers_are_strange():
    rng = random.Random(4)
    for _ in range(500):
        assert meaning(stranger(rng)) is None
        question, answer = talk.unknown_thing(rng)
        assert answer == UNKNOWN
        assert "a a " not in question


def test_no_text_has_two_blanks_or_misses_its_end():
    rng = random.Random(5)
    for _ in range(200):
        document = random_document(rng, 0.3)
        assert length(document) > 2
        for piece in document:
            if isinstance(piece, Words):
                assert "  " not in piece.text, piece.text
