"""Pictures for the screen, and how they are drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from fromage_lite.errors import ConfigError, ImageError, StoreError
from index.search.hits import Hit
from tests.tui.fake_agent import FakeAgent, picture_bytes
from tui.pictures.files import save_copy
from tui.pictures.image_mode import ImageMode, image_widget, resolve_image_mode
from tui.pictures.thumbnails import MAX_SIDE, fit_box, load_file, load_hit


def test_boxes_keep_the_aspect_ratio() -> None:
    # A cell is twice as high as wide, so a square picture is twice as many columns as rows.
    assert fit_box((100, 100), (40, 10)) == (20, 10)
    assert fit_box((200, 100), (40, 20)) == (40, 10)
    assert fit_box((100, 100), (8, 20)) == (8, 4)
    assert fit_box((100, 100), (40, 10), ratio=2.5) == (25, 10)


def test_no_box_is_empty() -> None:
    assert fit_box((1, 400), (40, 10)) == (1, 10)
    assert fit_box((400, 1), (40, 10)) == (40, 1)


def test_a_large_picture_is_made_small_and_keeps_its_size_in_words(tmp_path: Path) -> None:
    path = tmp_path / "big.png"
    Image.new("RGB", (2000, 1000)).save(path)
    picture = load_file(path)
    assert picture.image is not None and picture.image.size == (MAX_SIDE, MAX_SIDE // 2)
    assert picture.detail == "2000 × 1000"


def test_a_missing_picture_raises(tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        load_file(tmp_path / "none.png")


def test_a_hit_that_cannot_be_shown_becomes_a_card_that_says_so() -> None:
    agent = FakeAgent()
    agent.thumbnails[1] = b"no picture"
    picture = load_hit(agent, Hit(1, 0.5, "/p/a.png", "a cat"))
    assert picture.image is None and picture.problem and picture.caption == "a cat"

    class Broken:
        def thumbnail(self, hit: Hit) -> bytes:
            raise StoreError("The store is damaged.")

    assert load_hit(Broken(), Hit(1, 0.5, "/p/a.png")).problem == "The store is damaged."


def test_texts_from_data_are_cleaned() -> None:
    picture = load_hit(FakeAgent(), Hit(1, 0.5, "/p/\x1b[31mevil\x07.png", "a \x1b]0;title\x07cat\x9b2J"))
    assert picture.caption == "a cat"
    assert "\x1b" not in picture.detail and "\x07" not in picture.detail


def test_the_image_mode_comes_from_the_option_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_image_mode("none") is ImageMode.NONE
    monkeypatch.setenv("FROMAGE_IMAGES", "sixel")
    assert resolve_image_mode("auto") is ImageMode.SIXEL
    assert resolve_image_mode("HalfBlock") is ImageMode.HALFBLOCK
    monkeypatch.setenv("FROMAGE_IMAGES", "crayon")
    with pytest.raises(ConfigError, match="crayon"):
        resolve_image_mode("auto")


def test_without_a_terminal_half_blocks_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_image_mode("auto") in set(ImageMode) - {ImageMode.NONE}


@pytest.mark.parametrize("mode", [m for m in ImageMode if m is not ImageMode.NONE])
def test_every_mode_has_a_widget_that_takes_a_picture(mode: ImageMode) -> None:
    make = image_widget(mode)
    assert make is not None
    make(load_hit(FakeAgent(), Hit(1, 0.5, "/p/a.png")).image, classes="box")
    assert image_widget(ImageMode.NONE) is None
    assert picture_bytes()


def test_a_copy_into_a_folder_that_is_not_there_is_refused_as_an_export_is(cat: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="There is no folder") as told:
        save_copy(load_file(cat), tmp_path / "nowhere" / "cat.png")
    assert told.value.hint == "Make it first, or name another one."
    assert not (tmp_path / "nowhere").exists()
