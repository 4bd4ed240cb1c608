"""Which words of a message are pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from fromage_lite.errors import ImageError
from tui.input.attachments import (
    dropped_paths,
    extract_pictures,
    paths_of_argument,
    refuse_missing,
    to_path,
    with_pictures,
)


def test_a_dropped_file_arrives_plain_quoted_escaped_or_as_an_address(cat: Path, dog: Path) -> None:
    escaped = str(dog).replace(" ", r"\ ")
    for text in (str(dog), f"'{dog}'", f'"{dog}"', escaped, f"  {dog}\n", dog.as_uri()):
        assert dropped_paths(text) == [dog], text


def test_several_dropped_files(cat: Path, dog: Path) -> None:
    assert dropped_paths(f"'{cat}' '{dog}'") == [cat, dog]
    assert dropped_paths(f"{cat}\n{dog}") == [cat, dog]


def test_a_paste_with_anything_else_in_it_is_text(cat: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for text in (f"look at {cat}", str(tmp_path / "none.png"), str(tmp_path / "notes.txt"), "it's", "", str(tmp_path)):
        assert dropped_paths(text) == [], text


def test_home_is_understood(cat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(cat.parent))
    assert dropped_paths("~/cat.png") == [cat]
    assert to_path("~nobody-of-this-name/x.png") == Path("~nobody-of-this-name/x.png")


def test_pictures_at_the_ends_of_a_message_are_taken_out(cat: Path, dog: Path) -> None:
    assert extract_pictures(f"{cat} what is this?") == ([cat], "what is this?")
    assert extract_pictures(f"what is this? '{dog}'") == ([dog], "what is this?")
    assert extract_pictures(f"{cat} '{dog}' which is bigger?") == ([cat, dog], "which is bigger?")
    assert extract_pictures(f"{cat}") == ([cat], "")
    assert extract_pictures(f"{dog}") == ([dog], "")


def test_a_picture_inside_a_sentence_stays_at_its_place(cat: Path) -> None:
    assert extract_pictures(f"is {cat} a cat?") == ([], f"is <image:{cat}> a cat?")
    assert extract_pictures(f"what is in {cat}?") == ([], f"what is in <image:{cat}>?")


def test_other_words_are_left_alone(cat: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    for text in (
        "what's a png?",
        f"read {tmp_path / 'notes.txt'}",
        f"see {tmp_path / 'none.png'} there",
        f"is <image:{cat}> a cat?",
        "two\nlines  with   blanks",
    ):
        assert extract_pictures(text) == ([], text)


def test_a_very_long_message_is_no_path() -> None:
    text = "a" * 100_000 + ".png"
    assert extract_pictures(text) == ([], text)
    assert dropped_paths(text) == []


def test_a_nul_or_a_broken_quote_is_no_path() -> None:
    assert extract_pictures("\0.png 'x") == ([], "\0.png 'x")
    assert dropped_paths("'x.png") == []


def test_the_argument_of_image(cat: Path, dog: Path) -> None:
    assert paths_of_argument(str(dog)) == [dog]
    assert paths_of_argument(f"{cat} '{dog}'") == [cat, dog]
    assert paths_of_argument("missing one.png") == [Path("missing"), Path("one.png")]
    assert paths_of_argument(" ") == []


@pytest.mark.parametrize("text", ["show me nothing.png", "what is in ./holiday/nothing.jpg?", "nothing.webp and a cat"])
def test_a_picture_that_is_not_there_is_named(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for read in (refuse_missing, with_pictures):
        with pytest.raises(ImageError, match=r"There is no picture .*nothing\.(png|jpg|webp)\."):
            read(text)


@pytest.mark.parametrize(
    "text", ["show me a cat", "it is 3.5 m high.", "a .png", "https://example.org/cat.png is nice"]
)
def test_words_without_a_picture_stay(text: str) -> None:
    assert with_pictures(text) == text


def test_pictures_of_a_message_become_tags(cat: Path, dog: Path) -> None:
    assert with_pictures(f"what is in {cat}?") == f"what is in <image:{cat}>?"
    assert with_pictures(f"{cat} '{dog}' which is the dog?") == f"<image:{cat}> <image:{dog}> which is the dog?"


def test_a_folder_is_no_message(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder"):
        with_pictures(str(tmp_path))
