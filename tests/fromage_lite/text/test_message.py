import pytest

from fromage_lite.errors import ConfigError
from fromage_lite.text.marks import NO_BOS, special, split_marks, without_marks
from fromage_lite.text.message import ImageSegment, parse_message
from fromage_lite.text.templates import get_template

CAT, DOG = ImageSegment("cat.png"), ImageSegment("/tmp/my dog.png")


def test_image_tags_are_images_at_their_place():
    parsed = parse_message("compare <image:cat.png> with <image: /tmp/my dog.png > please")
    assert parsed == ("compare", CAT, "with", DOG, "please")


def test_attachments_come_first():
    assert parse_message("what is this?", ["cat.png"]) == (CAT, "what is this?")


@pytest.mark.parametrize("text", ["", "  \n "])
def test_empty_message_has_no_segment(text):
    assert parse_message(text) == ()


@pytest.mark.parametrize("text", ["a <b> c", "<image:>", "<image:a\nb>", "1 < 2 > 0"])
def test_what_is_no_image_tag_stays_text(text):
    assert parse_message(text) == (text,)


def test_first_turn_and_later_turns():
    template = get_template("qa")
    assert template.render_turn(["what is this?"], is_first=True) == ["Q: what is this?\nA:"]
    assert template.render_turn(["and this?"], is_first=False) == ["\nQ: and this?\nA:"]
    assert template.stop_strings == ("\n", "Q:")


def test_images_are_rendered_in_place():
    rendered = get_template("qa").render_turn([CAT, DOG, "which is", CAT], is_first=True)
    assert rendered == ["Q: ", CAT, " ", DOG, " which is ", CAT, "\nA:"]


def test_a_line_break_in_a_message_cannot_end_the_turn():
    assert get_template("qa").render_turn(["one\nQ: two\tthree"], True) == ["Q: one Q: two three\nA:"]


def test_plain_template_adds_nothing():
    assert get_template("plain").render_turn([CAT, "a photo of"], is_first=True) == [CAT, " a photo of"]


def test_unknown_template():
    with pytest.raises(ConfigError, match="'song'") as refused:
        get_template("song")
    assert "qa, plain, chat, inst" in refused.value.hint


def test_marked_special_tokens_are_told_from_text():
    text = f"a{special('</s>')}b{special('<s>')}"
    assert split_marks(text) == [("a", False), ("</s>", True), ("b", False), ("<s>", True)]
    assert split_marks("a</s>b") == [("a</s>b", False)]
    assert split_marks(without_marks(text)) == [("a</s>b<s>", False)]
    assert split_marks(f"{NO_BOS}a") == [("", True), ("a", False)]
