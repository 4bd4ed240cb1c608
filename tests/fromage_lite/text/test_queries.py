"""The form of a search."""

from __future__ import annotations

import pytest

from fromage_lite.text.message import ImageSegment
from fromage_lite.text.queries import query_segments, requested

PICTURE = ImageSegment("cat.png")


@pytest.mark.parametrize(
    ("form", "segments", "expected"),
    [
        ("{}", ("a cat",), ["a cat"]),
        ("{}", (PICTURE, "at night"), [PICTURE, "at night"]),
        ("search: {}", ("a cat",), ["search: a cat"]),
        ("search: {}", ("  cats \n on a beach ",), ["search: cats on a beach"]),
        ("search: {}", (PICTURE, "at night"), ["search: ", PICTURE, " at night"]),
        ("Q: {}\nA:", ("like", PICTURE), ["Q: like ", PICTURE, "\nA:"]),
    ],
)
def test_words_and_pictures_stand_in_the_gap(form, segments, expected):
    assert query_segments(form, segments) == expected


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ("show me a cat", "a cat"),
        ("Please show me two cats on a beach, please!", "two cats on a beach"),
        ("hi, can you find a photo of my dog?", "my dog"),
        ("do you have pictures of the sea?", "the sea"),
        ("a picture of a red car.", "a red car"),
        ("I'd like to see some images of Paris in 1990", "Paris in 1990"),
        ("what is in this picture?", ""),
        ("is there a cat in the picture?", ""),
        ("give me a hint about pictures", ""),
        ("show me another one", ""),
        ("show me more.", ""),
        ("find it", ""),
        ("hello", ""),
        ("", ""),
    ],
)
def test_what_a_message_asks_to_see(message, what):
    assert requested(message) == what
