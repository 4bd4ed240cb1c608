"""The form of a search."""

from __future__ import annotations

import pytest

from fromage_lite.text.message import ImageSegment
from fromage_lite.text.queries import query_segments

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
