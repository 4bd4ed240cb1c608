"""What people try first with the models that ship, over their own index."""

from __future__ import annotations

import pytest

from fromage_lite.chat.choosing import AGAIN, NEAREST
from fromage_lite.chat.events import ImagesFound, Notice
from fromage_lite.chat.search import parse_terms
from fromage_lite.config import LoadOptions, playground_dir
from fromage_lite.evaluate.replies import reply
from fromage_lite.playground.evaluation.named import setting_named, things_named
from fromage_lite.playground.text.talk import WORLD
from fromage_lite.text.forms.remarks import ASK_FIRST, SHOW_FIRST

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def agent():
    from fromage_lite.start import load_agent

    return load_agent(LoadOptions(device="cpu", model=str(playground_dir())))


@pytest.mark.parametrize("words", ["a cat", "a cat.", "cat", "cats", "CAT", "Cats.", "show me a cat", "the cat"])
def test_a_cat_is_found_however_it_is_typed(agent, words):
    assert "cat" in things_named(agent.search((words,), 1)[0].caption)


@pytest.mark.parametrize(
    ("words", "things", "setting"),
    [
        ("dogs", {"dog"}, None), ("cats on a beach", {"cat"}, "beach"), ("beach", set(), "beach"),
        ("at night", set(), "night"), ("a cat on the beach", {"cat"}, "beach"),
    ],
)  # fmt: skip
def test_plain_words_find_what_they_say(agent, words, things, setting):
    caption = agent.search((words,), 1)[0].caption
    assert things <= things_named(caption)
    assert setting in (None, setting_named(caption))


@pytest.mark.parametrize(
    ("words", "thing"), [("elefant", "elephant"), ("shwo me a cat", "cat"), ("a cta on the beach", "cat")]
)
def test_a_slip_of_the_finger_finds_what_was_meant(agent, words, thing):
    assert thing in things_named(agent.search((words,), 1)[0].caption)


@pytest.mark.parametrize(("message", "thing"), [("shwo me a elefant", "elephant"), ("shwo me a cat", "cat")])
def test_a_request_with_a_slip_gets_its_picture_and_says_how_it_was_read(agent, message, thing):
    hits, told = asked(agent.dialogue(), message)
    assert thing in things_named(hits[0].caption)
    assert told == [f"Read as: show me a {thing}"]


@pytest.mark.parametrize("message", ["show me a wolf", "a bat", "a rat", "show me a fox", "show me a crow"])
def test_what_the_world_does_not_hold_is_not_taken_for_what_it_does(agent, message):
    hits, told = asked(agent.dialogue(), message)
    assert not hits and not told


def test_no_stranger_is_read_as_something_else(agent):
    assert [words for words in WORLD.strangers if agent.read_as((words,)) != (words,)] == []


def test_the_list_of_words_is_the_one_that_the_training_text_gives(agent):
    from fromage_lite.playground.pretraining.words import spelling

    assert agent.model.spelling.words == spelling().words


def test_something_red_is_red(agent):
    assert " red " in agent.search(("something red",), 1)[0].caption


def test_the_mixed_search_of_the_help_finds_cats_at_night(agent):
    caption = agent.find(parse_terms(["a cat on the beach", "-", "beach", "+", "0.5:at night"]), 1)[0].caption
    assert "cat" in things_named(caption)
    assert setting_named(caption) == "night"


def asked(dialogue, message):
    events = list(dialogue.reply(message))
    hits = [hit for event in events if isinstance(event, ImagesFound) for hit in event.hits]
    return hits, [event.message for event in events if isinstance(event, Notice)]


def test_the_same_request_again_never_gets_a_wrong_picture_with_right_words(agent):
    dialogue = agent.dialogue()
    for _ in range(3):
        hits, told = asked(dialogue, "show me a whale at night")
        is_right = "whale" in things_named(hits[0].caption) and setting_named(hits[0].caption) == "night"
        assert is_right or told == [NEAREST]
        list(dialogue.reply("thank you"))
    assert told == [AGAIN]


def test_what_the_index_has_not_is_said_to_be_the_nearest(agent):
    hits, told = asked(agent.dialogue(), "show me a dog and a ball")
    assert things_named(hits[0].caption) & {"dog", "ball"}
    assert told == [NEAREST]


def test_a_found_picture_is_talked_about_as_it_is(agent):
    dialogue = agent.dialogue()
    _, hits = reply(dialogue, ("show me a dog",))
    where = {"beach": "on the beach.", "snow": "in the snow.", "forest": "in the forest.", "night": "at night.",
             "city": "in the city.", "desert": "in the desert.", "kitchen": "in the kitchen.",
             "field": "in the field."}[setting_named(hits[0].caption)]  # fmt: skip
    assert reply(dialogue, ("where is it?",))[0] == where
    assert reply(dialogue, ("is there a piano?",))[0] == "no."
    assert "dog" in things_named(reply(dialogue, ("what is it?",))[0])


@pytest.mark.parametrize(
    ("message", "answers"),
    [
        ("what is it?", {SHOW_FIRST}), ("bigger", {ASK_FIRST}), ("another one", {ASK_FIRST}),
        ("how many pictures do you see?", {"i see no picture."}), ("what is in the first picture?", {SHOW_FIRST}),
    ],
)  # fmt: skip
def test_follow_ups_of_nothing_are_answered_honestly(agent, message, answers):
    assert reply(agent.dialogue(), (message,))[0] in answers


def test_one_cat_after_two(agent):
    dialogue = agent.dialogue()
    reply(dialogue, ("two cats please",))
    assert reply(dialogue, ("a cat please",))[0] == "here you are: a cat."
