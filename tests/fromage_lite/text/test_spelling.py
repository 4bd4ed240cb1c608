"""Slips of the finger, and what is none."""

from __future__ import annotations

import pytest

from fromage_lite.text.message import ImageSegment
from fromage_lite.text.spelling import MOST_CHARACTERS, Spelling, read_as, told, words_in

KNOWN = """a an and are at bat beach big bread can cat cats cherry elephant elephants flamingo for fox frog helicopter
horse images in is it lion me on please red rose show the to two watermelon what where wolf world you""".split()
OTHERS = ["elegant", "house", "word"]


@pytest.fixture(scope="module")
def spelling():
    return Spelling(KNOWN, OTHERS)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("shwo me a elefant", "show me a elephant"), ("a cta on the beach", "a cat on the beach"),
        ("elehpant", "elephant"), ("elephnat!", "elephant!"), ("show me a catt", "show me a cat"),
        ("two elephents.", "two elephants."), ("two elephans", "two elephants"), ("a helicoptr", "a helicopter"),
        ("hlo, a flmaingo?", "hlo, a flamingo?"), ("watrmelonn", "watermelon"), ("hsow me a lino", "hsow me a lion"),
        ("breead and a frgo", "bread and a frog"), ("whta's that", "what's that"), ("Elefant", "Elephant"),
        ("SHWO ME A CTA", "SHOW ME A CAT"), ("it is red. Shwo it", "it is red. Show it"),
        ('"elefant" (shwo)', '"elephant" (show)'), ("the elefant's world", "the elephant's world"),
    ],
)  # fmt: skip
def test_slips_are_read_as_what_was_meant(spelling, typed, read):
    assert spelling.corrected(typed) == read
    assert spelling.corrected(read) == read


@pytest.mark.parametrize(
    "text",
    [
        "show me a wolf", "a bat", "a box", "a rat", "a dog", "an elegant house in the word",  # other words
        "lions, foxes, cherries, the lion's", "an image", "roses",  # forms of known ones
        "ct", "ca", "hte", "12345 e1ephant 3lion",  # too short or no words
        "my friend Elefant and McElefant", "see Bread",  # names
        "/home/elefant/shwo.png ./shwo shwo.png elefant@lino.de http://elefant", "well-knwon",  # paths, addresses
        "<image:/my elefant/shwo.png>", "qwertz", "an elbow", "",
        "donkey", "tere", "wrld’ll",
    ],
)  # fmt: skip
def test_what_is_no_slip_stays(spelling, text):
    assert spelling.corrected(text) == text


def test_a_word_between_two_known_ones_is_left_in_doubt():
    assert Spelling(["carting", "darting"]).meant("carrting") == "carting"
    assert Spelling(["planted", "planned"]).meant("planded") == "planded"


def test_the_singular_is_meant_where_both_forms_are_as_near():
    assert Spelling(["horse", "horses"]).meant("horsse") == "horse"


def test_only_short_texts_are_looked_at(spelling):
    text = "shwo " * MOST_CHARACTERS
    assert spelling.corrected(text) == text


def test_blanks_and_line_breaks_stay(spelling):
    assert spelling.corrected("  shwo\n me\ta  cta ") == "  show\n me\ta  cat "


def test_a_message_is_read_without_its_pictures(spelling):
    picture = ImageSegment("elefant.png")
    assert read_as(spelling, [picture, "shwo it"]) == (picture, "show it")
    assert read_as(None, ["shwo it"]) == ("shwo it",)
    assert told((picture, "show it", picture, "to me")) == "Read as: show it to me"


def test_words_are_runs_of_letters():
    assert words_in("What's in 2 Pictures, näive?\n") == ["what", "s", "in", "pictures", "näive"]
