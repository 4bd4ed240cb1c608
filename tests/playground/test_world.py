"""The playground's scenes, pictures and texts."""

from __future__ import annotations

import random
from difflib import SequenceMatcher
from itertools import combinations

import numpy as np
import pytest

from fromage_lite.playground.pictures import GALLERY_SIZE, gallery
from fromage_lite.playground.pretraining.corpus import MIXTURE, random_document
from fromage_lite.playground.text import documents, grammar, questions, talk
from fromage_lite.playground.text.document import Picture, as_typed
from fromage_lite.playground.text.grammar import description, full_description, tags
from fromage_lite.playground.text.questions import KINDS, MY_PICTURE, ask
from fromage_lite.playground.world.render import render
from fromage_lite.playground.world.scene import Group, Scene, is_held_out_pair, is_held_out_setting, sample_scene
from fromage_lite.playground.world.things import CATEGORY_OF, SETTINGS, THINGS, THINGS_BY_CATEGORY, TINTABLE, is_a
from fromage_lite.text.forms.document import as_turns

TWO_CATS_AND_A_CAR = Scene((Group("cat", 2, "small"), Group("car", 1, "big", "red")), "night")


def test_the_world_is_as_large_as_promised():
    assert len(set(THINGS)) == len(THINGS) >= 100
    assert len(THINGS_BY_CATEGORY) >= 8
    assert len(SETTINGS) >= 8


def test_no_held_out_combination_occurs_in_training_documents():
    """Checked on the words as well as on the scenes: a text alone may name no held-out pair either."""
    rng = random.Random(5)
    scenes = [piece.scene for _ in range(4000) for piece in random_document(rng) if isinstance(piece, Picture)]
    assert len(scenes) > 3000
    for scene in scenes:
        assert not any(is_held_out_pair(a, b) for a, b in combinations(scene.things, 2))
        assert not any(is_held_out_setting(thing, scene.setting) for thing in scene.things)


@pytest.mark.parametrize("split", ["train", "val"])
def test_ordinary_splits_hold_no_held_out_combination(split):
    rng = random.Random(6)
    for _ in range(1500):
        scene = sample_scene(rng, split)
        assert not any(is_held_out_pair(a, b) for a, b in combinations(scene.things, 2))
        assert not any(is_held_out_setting(thing, scene.setting) for thing in scene.things)


def test_unseen_pairs_always_hold_a_held_out_pair():
    rng = random.Random(7)
    for _ in range(200):
        scene = sample_scene(rng, "unseen_pairs")
        assert any(is_held_out_pair(a, b) for a, b in combinations(scene.things, 2))


def test_about_a_twentieth_of_all_combinations_is_held_out():
    pairs = list(combinations(THINGS, 2))
    settings = [(thing, setting) for thing in THINGS for setting in SETTINGS]
    assert 0.03 < np.mean([is_held_out_pair(a, b) for a, b in pairs]) < 0.07
    assert 0.03 < np.mean([is_held_out_setting(t, s) for t, s in settings]) < 0.07


def test_a_picture_is_decided_by_scene_and_seed():
    first, again, other = (render(TWO_CATS_AND_A_CAR, seed) for seed in (1, 1, 2))
    assert first.size == (224, 224)
    assert first.mode == "RGB"
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_things_stand_from_left_to_right_in_the_order_of_the_groups():
    """A red and a blue balloon at night: the centre of the red pixels lies left of the centre of the blue ones."""
    scene = Scene((Group("balloon", 1, "big", "red"), Group("balloon", 1, "big", "green")), "night")
    for seed in range(10):
        pixels = np.asarray(render(scene, seed)).astype(int)
        red = np.nonzero((pixels[..., 0] > 180) & (pixels[..., 1] < 90) & (pixels[..., 2] < 90))
        green = np.nonzero((pixels[..., 1] > 120) & (pixels[..., 0] < 90) & (pixels[..., 2] < 110))
        assert len(red[1]) > 50
        assert len(green[1]) > 50
        assert red[1].mean() < green[1].mean()


def test_a_colour_and_a_size_are_visible():
    def red_pixels(size: str, colour: str) -> int:
        pixels = np.asarray(render(Scene((Group("balloon", 1, size, colour),), "night"), 3)).astype(int)
        return int(((pixels[..., 0] > 180) & (pixels[..., 1] < 90)).sum())

    assert red_pixels("big", "red") > 2 * red_pixels("small", "red") > 0
    assert red_pixels("big", "blue") < 20


@pytest.mark.parametrize("size", [32, 96, 300])
def test_pictures_come_at_any_size(size):
    assert render(TWO_CATS_AND_A_CAR, 0, size).size == (size, size)


def test_wordings():
    assert full_description(TWO_CATS_AND_A_CAR) == "two small cats and a big red car at night."
    assert grammar.description(TWO_CATS_AND_A_CAR) == "two cats and a red car at night."
    assert tags(TWO_CATS_AND_A_CAR) == [
        "night",
        "two",
        "small",
        "-",
        "cat",
        "one",
        "big",
        "red",
        "car",
        *["-"] * 8,
    ]
    an_apple = Scene((Group("apple"),), "beach")
    assert grammar.description(an_apple) == "an apple on the beach."


def test_answers_are_the_scenes_own():
    """Each kind of question, with the answers worked out by hand."""
    rng = random.Random(0)
    allowed = {
        "what": {"two cats and a red car at night."},
        "where": {"at night."},
        "how_many": {"two.", "one."},
        "colour": {"red."},
        "size": {"small.", "big."},
        "side": {"two cats.", "a red car.", "nothing."},
    }
    for kind, answers in allowed.items():
        seen = {ask(TWO_CATS_AND_A_CAR, rng, kind).answer for _ in range(60)}
        assert seen == answers


def test_side_questions_name_the_neighbour():
    rng = random.Random(1)
    found = {}
    for _ in range(200):
        question = ask(TWO_CATS_AND_A_CAR, rng, "side")
        found[("left" in question.text, "cat" in question.text)] = question.answer
    assert found == {
        (True, False): "two cats.",  # left of the car
        (False, True): "a red car.",  # right of the cats
        (True, True): "nothing.",
        (False, False): "nothing.",
    }


def test_yes_and_no_are_right_and_balanced():
    rng = random.Random(2)
    answers = []
    for _ in range(400):
        scene = sample_scene(rng)
        question = ask(scene, rng, "is_there")
        thing = next(word for word in question.text.rstrip("?").split() if word in CATEGORY_OF)
        assert question.answer == ("yes." if thing in scene.things else "no.")
        answers.append(question.answer)
    assert 0.4 < np.mean([a == "yes." for a in answers]) < 0.6


def test_every_kind_of_question_is_asked():
    rng = random.Random(3)
    kinds = {ask(sample_scene(rng), rng).kind for _ in range(600)}
    assert kinds == set(KINDS)


def test_only_tintable_things_have_a_colour():
    rng = random.Random(4)
    for _ in range(500):
        for group in sample_scene(rng).groups:
            assert bool(group.colour) == (group.thing in TINTABLE)


def test_the_gallery_has_every_thing_in_every_setting():
    scenes = gallery()
    assert len(scenes) == GALLERY_SIZE >= 2000
    alone = {(next(iter(s.things)), s.setting) for s in scenes if len(s.groups) == 1}
    assert alone >= {(thing, setting) for thing in THINGS for setting in SETTINGS}
    assert scenes == gallery()


def test_a_dialogue_splits_into_turns_and_joins_again():
    rng = random.Random(8)
    for maker in (documents.picture_questions, documents.requests, documents.conversation, documents.long_dialogue):
        for _ in range(50):
            document = maker(rng)
            joined = ""
            for turn in as_turns(document):
                said = [" " + part if isinstance(part, str) else "<picture>" for part in turn.message]
                answered = [" " + part if isinstance(part, str) else "<picture>" for part in turn.reply]
                joined += f"Q:{''.join(said)}\nA:{''.join(answered)}\n"
            text = "".join("<picture>" if isinstance(piece, Picture) else piece.text for piece in document)
            assert joined == text


def test_typed_questions_are_the_same_questions():
    rng = random.Random(14)
    without_mark = 0
    for _ in range(200):
        document = documents.mixed_dialogue(rng)
        for turn, typed in zip(as_turns(document), as_turns(as_typed(document, rng)), strict=True):
            assert typed.reply == turn.reply
            assert [p for p in typed.message if isinstance(p, Picture)] == [
                p for p in turn.message if isinstance(p, Picture)
            ]
            (question,), (said) = ([p for p in t.message if isinstance(p, str)] for t in (turn, typed))
            assert SequenceMatcher(None, said[0], question, autojunk=False).ratio() > 0.6
            without_mark += question.rstrip(".?!") == said[0]
    assert without_mark > 100


def test_a_picture_is_asked_for_only_where_none_was_shown():
    """The user's own is asked for even where one was found, if it is the own that is meant."""
    rng = random.Random(12)
    asked_for = own_asked_for = 0
    for _ in range(500):
        shown = found = False
        for turn in as_turns(documents.long_dialogue(rng)):
            shown = shown or any(isinstance(part, Picture) for part in turn.message)
            if turn.reply == ("please show me a picture first.",):
                assert not shown
                assert not found or turn.message[0] in MY_PICTURE
                asked_for, own_asked_for = asked_for + 1, own_asked_for + found
            found = found or any(isinstance(part, Picture) for part in turn.reply)
    assert asked_for > own_asked_for > 0


def test_dialogues_come_back_to_the_picture_that_was_shown():
    rng = random.Random(13)
    came_back = 0
    for _ in range(500):
        shown, since = None, ""
        for turn in as_turns(documents.long_dialogue(rng)):
            if pictures := [part for part in turn.message if isinstance(part, Picture)]:
                shown, since = pictures[0].scene, ""
            elif shown is not None and turn.message[0] in MY_PICTURE:
                assert turn.reply == (description(shown),)
                came_back += "here you are" in since
            since += " ".join(part for part in turn.reply if isinstance(part, str))
    assert came_back


def test_every_document_maker_makes_text():
    rng = random.Random(9)
    for maker in MIXTURE:
        assert any(not isinstance(piece, Picture) and piece.text.strip() for piece in maker(rng, "train"))


def test_what_the_world_does_not_hold_is_answered_honestly():
    rng = random.Random(10)
    for _ in range(100):
        question, answer = talk.unknown(rng)
        assert answer == talk.UNKNOWN
        assert not any(word.strip("?.,") in CATEGORY_OF for word in question.split())


def test_a_penguin_is_a_bird_and_an_animal_and_no_fruit():
    assert is_a("penguin", "bird")
    assert is_a("penguin", "animal")
    assert not is_a("penguin", "fruit")
    assert is_a("apple", "food")
    assert not is_a("bread", "fruit")


def test_facts_agree_with_the_categories():
    rng = random.Random(11)
    checked = 0
    for _ in range(300):
        question, answer = talk.fact(rng)
        if answer in ("yes.", "no."):
            words = question.rstrip("?").split()
            assert answer == ("yes." if is_a(words[2], words[4]) else "no.")
            checked += 1
    assert checked > 50


def test_questions_about_one_scene_do_not_repeat():
    texts = [q.text for q in questions.questions(TWO_CATS_AND_A_CAR, random.Random(12), 12)]
    assert len(texts) == len(set(texts)) > 4
