"""How texts, pictures and `[RET]`s are joined, by hand."""

import pytest

from fromage_lite.text.interleaving import Ret, Text, interleave, joined


def pieces(*segments, prefix="[", suffix="]"):
    """Pictures are numbers; the pieces with every stretch of text as one string."""
    texts = (Text(segment) if isinstance(segment, str) else segment for segment in segments)
    return [joined(piece) if isinstance(piece, list) else piece for piece in interleave(texts, prefix, suffix)]


def test_prefix_and_suffix_are_joined_to_the_texts_beside_them():
    assert pieces("Q: ", 1, " what?") == ["Q: [", 1, "] what?"]
    assert pieces(1, 2) == ["[", 1, "][", 2, "]"]
    assert pieces("a", "b", 1, "c", "d") == ["a", "b[", 1, "]c", "d"]


def test_without_them_a_picture_parts_the_texts():
    assert pieces("a", 1, "b", prefix="", suffix="") == ["a", 1, "b"]
    assert pieces("a", 1, "b", prefix="", suffix="]") == ["a", 1, "]b"]
    assert pieces(1, prefix="", suffix="") == [1] and pieces() == []


def test_an_empty_text_stays_a_piece():
    assert pieces("") == [""] and pieces("", "a") == ["", "a"]


@pytest.mark.parametrize(("segments", "expected"), [
    (("Q:  ", 1), ["Q: [", 1, "]"]),
    ((1, " ", 2), ["" + " [", 1, "] [", 2, "]"]),
    ((1, "", " ", 2), [" [", 1, "]", " [", 2, "]"]),
])  # fmt: skip
def test_a_prefix_that_begins_with_a_blank_brings_the_only_blank(segments, expected):
    assert pieces(*segments, prefix=" [") == expected


def test_a_ret_parts_texts_and_has_no_prefix():
    assert pieces("here", Ret(1), "and", 2) == ["here", Ret(1), "and[", 2, "]"]


def test_a_joined_text_goes_with_the_next_and_labels_stay_with_their_words():
    segments = [Text("yes", label=True), Text("\n", label=True, joined=True), Text("Q: "), 7, Text(" so", label=True)]
    assert list(interleave(segments, "[", "]")) == [
        [segments[0]],
        [segments[1], segments[2], Text("[")],
        7,
        [Text("]"), segments[4]],
    ]
