"""What the playground's dialogues teach about found pictures, searches and small talk."""

from __future__ import annotations

import random

import pytest

from fromage_lite.evaluate.matches import Scored, calibrated
from fromage_lite.playground.data import _reply, _SceneBook
from fromage_lite.playground.evaluation.searching import UNSEEN_FORMS, phrases
from fromage_lite.playground.pictures import gallery
from fromage_lite.playground.pretraining.corpus import random_document
from fromage_lite.playground.text import documents
from fromage_lite.playground.text.document import Picture, Words
from fromage_lite.playground.text.grammar import description, full_description
from fromage_lite.playground.text.kept_apart import EDGES, is_kept_apart
from fromage_lite.playground.text.searches import search_phrase
from fromage_lite.playground.world.scene import Group, Scene
from fromage_lite.playground.world.things import SETTINGS
from fromage_lite.text.forms.document import as_turns
from fromage_lite.text.forms.remarks import COUNTING, count_answer
from fromage_lite.text.forms.requests import REQUESTS, SEARCHES
from fromage_lite.text.forms.typed import as_typed, misspelt
from fromage_lite.training.data.interleaved import Image, Ret

DOG = Scene((Group("dog"),), "beach")
DOG_IN_TOWN = Scene((Group("dog"),), "city")
TWO_DOGS = Scene((Group("dog", 2),), "beach")


def test_questions_after_a_request_are_answered_as_the_found_picture_has_it():
    rng = random.Random(1)
    told = asked = 0
    for _ in range(3000):
        found = wanted = None
        for turn in as_turns(documents.requests(rng)):
            if found is not None and turn.message[0] == "where is this?":
                setting = next(s for s, wordings in SETTINGS.items() if turn.reply[0] == f"{wordings[0]}.")
                assert setting == found.setting
                asked, told = asked + 1, told + (setting == wanted.setting)
            pictures = [part for part in turn.reply if isinstance(part, Picture)]
            if pictures:
                wanted = pictures[0].scene
                found = pictures[1].scene if len(pictures) > 1 else None
    assert asked > told > 0  # the words alone would not do


def test_pictures_are_counted_and_told_apart_by_their_order():
    rng = random.Random(2)
    first = counted = 0
    for _ in range(1000):
        seen = []
        for turn in as_turns(documents.asked_about_pictures(rng)):
            if turn.message[0] in COUNTING:
                assert turn.reply == (count_answer(len(seen)),)
                counted += 1
            elif turn.message[0] == "what is in the first picture?" and len(seen) > 1:
                assert turn.reply == (description(seen[0]),)
                first += 1
            parts = (*turn.message, *turn.reply)
            seen += [part.scene for part in parts if isinstance(part, Picture) and not part.answer]
    assert counted > 100
    assert first > 10
    assert [count_answer(n) for n in (0, 1, 2)] == ["i see no picture.", "i see one picture.", "i see two pictures."]


def test_no_training_text_has_a_message_that_is_kept_apart():
    rng = random.Random(3)
    assert len({edge.message for edge in EDGES}) >= 100
    assert is_kept_apart([Words("Q: Even bigger!\nA:", label=False)])
    assert not is_kept_apart([Words("Q: bigger.\nA:", label=False)])
    for _ in range(4000):
        assert not is_kept_apart(random_document(rng))


def test_no_training_text_wraps_a_search_as_the_unseen_forms_do():
    starts = {form.split("{}")[0].strip() or form.split("{}")[1].strip() for form in UNSEEN_FORMS}
    for form in (*REQUESTS, *SEARCHES):
        assert not any(form.startswith(start) or form.endswith(start) for start in starts)


def test_every_phrase_has_six_forms_and_a_right_picture():
    captions = [full_description(scene) for scene in gallery()]
    searched = phrases()
    assert len(searched) >= 200
    for phrase in searched:
        assert len(set(phrase.forms)) >= 6
        assert any(phrase.fits(caption) for caption in captions)
        assert not all(phrase.fits(caption) for caption in captions)


def test_the_words_of_a_search_name_nothing_that_the_picture_lacks():
    from fromage_lite.playground.evaluation.named import setting_named, things_named

    rng = random.Random(4)
    for _ in range(2000):
        text, scene = search_phrase(rng)
        assert things_named(text) <= scene.things | {"orange"}
        assert setting_named(text) in (None, scene.setting)


def test_ret_is_taught_what_was_found_as_long_as_the_right_things_are_in_the_right_place():
    def rows(found):
        book = _SceneBook()
        reply = _reply(("here.", Picture(DOG, answer=True), Picture(found, found=True)), book)
        return book, reply[1], reply[2]

    book, ret, image = rows(DOG)
    assert ret == Ret(0) and image == Image(0) and book.scenes == [DOG]
    book, ret, image = rows(TWO_DOGS)
    assert [book.scenes[ret.row], book.scenes[image.row]] == [TWO_DOGS, TWO_DOGS]
    book, ret, image = rows(DOG_IN_TOWN)
    assert [book.scenes[ret.row], book.scenes[image.row]] == [DOG, DOG_IN_TOWN]


def test_the_calibrated_score_parts_fitting_hits_from_others():
    scored = [Scored(score, fits=True) for score in (0.9, 0.8, 0.7)]
    scored += [Scored(score, fits=False) for score in (0.5, 0.4, 0.3, 0.2)]
    assert calibrated(scored) == 0.7


@pytest.mark.parametrize("word", ["cat", "elephant", "owl"])
def test_a_slip_keeps_the_first_letter_and_nearly_the_length(word):
    rng = random.Random(5)
    slips = {misspelt(word, rng) for _ in range(100)}
    assert word not in slips - {word}
    assert all(slip[0] == word[0] and abs(len(slip) - len(word)) <= 1 for slip in slips)


def test_messages_are_typed_in_many_ways():
    rng = random.Random(6)
    typed = {as_typed("what is this?", rng) for _ in range(4000)}
    assert {"what is this?", "what is this", "what's this?", "so what is this?"} <= typed
