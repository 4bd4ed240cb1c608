"""Pictures with the focus: what keys do with them, the strip of next best ones, the viewer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from fromage_lite.chat.events import ImagesFound
from fromage_lite.text.message import ImageSegment
from index.search.hits import Hit
from tests.tui.driver import Driver, chatting
from tests.tui.fake_agent import FakeAgent, Gate, hit, picture_bytes
from tui.pictures.image_mode import ImageMode
from tui.screens.saving import SavePicture
from tui.screens.viewer import Viewer
from tui.widgets.next_best import NextBest
from tui.widgets.picture import FocusablePicture, PictureCard

MORE = tuple(hit(10 + n, f"next {n}", 0.7 - n / 100) for n in range(8))


@pytest.fixture
def fox(tmp_path: Path) -> Hit:
    """A hit whose file is there."""
    path = tmp_path / "fox.png"
    path.write_bytes(picture_bytes("red", (600, 400)))
    return Hit(3, 0.81, str(path), "a fox in the snow")


def found(*hits: Hit, more: tuple[Hit, ...] = MORE) -> list:
    return [" Here:", ImagesFound(hits, more)]


async def focus_card(chat: Driver) -> PictureCard:
    """Tab in the empty composer leads to the newest picture."""
    await chat.pilot.press("tab")
    await chat.until(lambda: isinstance(chat.screen.focused, PictureCard))
    assert isinstance(chat.screen.focused, PictureCard)
    return chat.screen.focused


def shows_viewer(chat: Driver) -> bool:
    return isinstance(chat.app.screen, Viewer)


async def test_the_next_best_stand_in_a_strip_and_are_chosen_with_the_arrow_keys() -> None:
    async with chatting(FakeAgent(found(hit(1)))) as chat:
        await chat.say("show me")
        assert len(chat.cards) == 1
        assert "next best" in chat.text and "0.70" in chat.text and "0.69" in chat.text
        await focus_card(chat)
        await chat.pilot.press("right")
        strip = chat.screen.focused
        assert isinstance(strip, NextBest) and strip.current.caption == "next 0"
        assert "1 of 8  next 0" in chat.text and "▸0.70◂" in chat.text
        await chat.pilot.press("right")
        assert strip.current.caption == "next 1" and "2 of 8  next 1" in chat.text
        await chat.pilot.press("left", "left")
        assert isinstance(chat.screen.focused, PictureCard)
        await chat.pilot.press("escape")
        assert chat.screen.focused is chat.screen.composer.prompt


async def test_beyond_the_last_picture_is_the_composer() -> None:
    async with chatting(FakeAgent(found(hit(1), more=()))) as chat:
        await chat.say("show me")
        await focus_card(chat)
        await chat.pilot.press("down")
        await chat.until(lambda: chat.screen.focused is chat.screen.composer.prompt)


async def test_the_status_line_says_what_the_keys_do() -> None:
    async with chatting(FakeAgent(found(hit(1)))) as chat:
        await chat.say("show me")
        await focus_card(chat)
        for words in ("Enter view", "a attach", "m more", "o open", "s save", "y path", "x hide"):
            assert words in chat.text
        await chat.pilot.press("escape")
        await chat.until(lambda: "Enter view" not in chat.text)


async def test_enter_shows_the_picture_large_and_arrows_leaf_through_the_next_best() -> None:
    async with chatting(FakeAgent(found(hit(1, "first", 0.8)))) as chat:
        await chat.say("show me")
        await focus_card(chat)
        await chat.pilot.press("enter")
        await chat.until(lambda: shows_viewer(chat))
        for words in ("1 of 9  first", "match 0.800", "/pictures/00001.png", "▀▀▀▀", "←→ next", "Esc closes"):
            assert words in chat.text
        assert "Enter sends" not in chat.text
        await chat.pilot.press("right", "right")
        assert "3 of 9  next 1" in chat.text and "/pictures/00011.png" in chat.text
        await chat.pilot.press("left")
        assert "2 of 9  next 0" in chat.text
        await chat.pilot.press("escape")
        await chat.until(lambda: chat.app.screen is chat.screen)
        assert isinstance(chat.screen.focused, PictureCard)


async def test_a_picture_becomes_the_next_input(fox: Hit) -> None:
    agent = FakeAgent(found(fox))
    async with chatting(agent) as chat:
        await chat.say("show me")
        await focus_card(chat)
        await chat.pilot.press("a")
        await chat.until(lambda: chat.screen.composer.pictures)
        assert chat.screen.focused is chat.screen.composer.prompt
        await chat.pilot.press(*"ok?", "enter")
        await chat.until(lambda: len(agent.messages) == 2)
        assert agent.messages[1] == (ImageSegment(fox.source), "ok?")


async def test_a_picture_whose_file_is_gone_is_used_by_its_small_copy(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    agent = FakeAgent(found(hit(1)))
    agent.thumbnails[1] = picture_bytes("blue", (30, 20))
    async with chatting(agent) as chat:
        await chat.say("show me")
        await focus_card(chat)
        await chat.pilot.press("enter")
        await chat.until(lambda: shows_viewer(chat))
        await chat.pilot.press("a")
        await chat.until(lambda: chat.screen.composer.pictures and not shows_viewer(chat))
        path = Path(chat.screen.composer.pictures[0].path)
        assert tmp_path in path.parents
        with Image.open(path) as copy:
            assert copy.size == (30, 20) and copy.getpixel((5, 5)) == (0, 0, 255)


async def test_more_like_this_searches_with_the_picture_and_leaves_it_out(fox: Hit) -> None:
    agent = FakeAgent(found(fox), hits=[fox, hit(7, "another fox")])
    async with chatting(agent, size=(80, 40)) as chat:
        await chat.say("show me")
        await focus_card(chat)
        await chat.pilot.press("m")
        await chat.until(lambda: "another fox" in chat.text)
        assert agent.searches == [(ImageSegment(fox.source),)]
        assert "1 best for more like “a fox in the snow”" in chat.text or "more like “a fox in the snow”" in chat.text
        assert len(chat.cards) == 2 and not chat.screen.busy


async def test_a_hidden_picture_is_marked_and_not_found_any_more() -> None:
    agent = FakeAgent(found(hit(1)), hits=[hit(1), hit(2, "two")])
    async with chatting(agent, size=(80, 40)) as chat:
        await chat.say("show me")
        await focus_card(chat)
        await chat.pilot.press("x")
        await chat.until(lambda: "⊘ hidden in this conversation" in chat.text)
        assert agent.last is not None and agent.last.excluded == {1}
        await chat.type("/find two")
        await chat.until(lambda: "1. two" in chat.text)
        await focus_card(chat)
        await chat.pilot.press("up", "up")  # over the next best to the hidden one
        await chat.pilot.press("x")
        await chat.until(lambda: not agent.last.excluded)
        assert not chat.cards[0].hidden and "⊘" not in chat.text


async def test_ones_own_picture_can_be_seen_but_not_hidden(cat: Path) -> None:
    async with chatting(FakeAgent([" a cat"])) as chat:
        await chat.say(f"{cat} what is it?")
        await focus_card(chat)
        await chat.pilot.press("x")
        await chat.until(lambda: "Only found pictures" in chat.text)
        await chat.pilot.press("enter")
        await chat.until(lambda: shows_viewer(chat))
        assert "cat.png" in chat.text and "1 of" not in chat.text


async def test_the_path_is_copied(fox: Hit) -> None:
    async with chatting(FakeAgent(found(fox))) as chat:
        await chat.say("show me")
        await focus_card(chat)
        await chat.pilot.press("y")
        await chat.until(lambda: chat.app.clipboard == fox.source)


async def test_a_copy_is_saved_and_nothing_is_written_over_unasked(fox: Hit, tmp_path: Path) -> None:
    target = tmp_path / "kept.png"
    target.write_bytes(b"precious")
    async with chatting(FakeAgent(found(fox))) as chat:
        await chat.say("show me")
        await focus_card(chat)
        await chat.pilot.press("s")
        await chat.until(lambda: isinstance(chat.app.screen, SavePicture))
        field = chat.app.screen.query_one("Input")
        assert field.value.endswith("fox.png")
        field.value = str(target)
        await chat.pilot.press("enter")
        await chat.until(lambda: "exists. Enter again writes over it." in chat.text)
        assert target.read_bytes() == b"precious"
        await chat.pilot.press("enter")
        await chat.until(lambda: chat.app.screen is chat.screen)
        assert target.read_bytes() == Path(fox.source).read_bytes()
        await chat.pilot.press("s")
        await chat.until(lambda: isinstance(chat.app.screen, SavePicture))
        chat.app.screen.query_one("Input").value = str(tmp_path / "no" / "\0")
        await chat.pilot.press("enter")
        await chat.until(lambda: "can't be saved" in chat.text)


async def test_opening_elsewhere_fails_with_a_notification_only(fox: Hit, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    async with chatting(FakeAgent(found(fox))) as chat:
        await chat.say("show me")
        await focus_card(chat)
        await chat.pilot.press("o")
        await chat.until(lambda: any("to open the picture with" in n.message for n in chat.app._notifications))


async def test_a_letter_that_is_no_key_of_the_picture_goes_to_the_composer() -> None:
    async with chatting(FakeAgent(found(hit(1)))) as chat:
        await chat.say("show me")
        await focus_card(chat)
        await chat.pilot.press("w")
        assert chat.typed == "w" and chat.screen.focused is chat.screen.composer.prompt


async def test_keys_of_a_picture_do_nothing_bad_during_a_reply() -> None:
    agent = FakeAgent(found(hit(1)), [" one", gate := Gate()], hits=[hit(5)])
    async with chatting(agent) as chat:
        await chat.say("show me")
        await chat.type("and?")
        await chat.until(gate.reached.is_set)
        chat.cards[0].focus()
        await chat.pilot.press("m")
        await chat.until(lambda: "Esc stops the reply first" in chat.text)
        assert not agent.searches
        gate.open()
        await chat.ready()


@pytest.mark.parametrize("mode", [ImageMode.NONE, ImageMode.HALFBLOCK])
@pytest.mark.parametrize("size", [(40, 24), (80, 24), (120, 40)])
async def test_strip_and_viewer_fit_every_size(size: tuple[int, int], mode: ImageMode) -> None:
    agent = FakeAgent([ImagesFound((hit(1),), MORE), ImagesFound((hit(2), hit(3)), MORE)])
    agent.thumbnails = {1: picture_bytes(size=(400, 1)), 10: picture_bytes(size=(1, 400)), 11: b"broken"}
    async with chatting(agent, size=size, mode=mode) as chat:
        await chat.say("show me 猫 😀")
        for columns, rows in (size, (40, 12), (132, 40), size):
            await chat.pilot.resize_terminal(columns, rows)
            await chat.pilot.pause()
            feed = chat.screen.transcript.feed.region
            for widget in chat.screen.transcript.query("NextBest .strip, NextBest .scores, .box"):
                assert feed.x <= widget.region.x and widget.region.right <= feed.right
        pictures = list(chat.screen.transcript.query(FocusablePicture))
        assert sum(len(w.series) == 8 for w in pictures) == 2, "the one that can't be read is left out"
        pictures[0].focus()
        await chat.pilot.press("enter")
        await chat.until(lambda: shows_viewer(chat))
        for columns, rows in ((40, 12), (132, 40), size):
            await chat.pilot.resize_terminal(columns, rows)
            await chat.pilot.press("right")
            keys = chat.app.screen.query_one("#viewer-keys").region
            assert keys.bottom <= rows and keys.right <= columns
        await chat.pilot.press("q")
        await chat.until(lambda: chat.app.screen is chat.screen)


@pytest.mark.parametrize("size", [(40, 30), (80, 40), (120, 50)])
async def test_a_found_picture_whose_file_is_gone_says_so_wherever_it_is_seen(size: tuple[int, int]) -> None:
    lost, kept = replace(hit(1, "a lost cat"), gone=True), hit(2, "a kept cat")
    lost_next = replace(hit(3, "a lost next"), gone=True)
    async with chatting(FakeAgent(found(lost), found(lost, kept, more=(lost_next,))), size=size) as chat:
        await chat.say("show me")
        assert chat.text.count("its file is gone") == 1
        await chat.say("show me two")  # a grid of both
        card, other = chat.cards[-2:]
        assert "its file is gone" in str(card.query_one(".details").render())
        assert "gone" not in str(other.query_one(".details").render())
        chat.screen.query(NextBest).last().focus()
        await chat.until(lambda: "a lost next · its file is gone"[: size[0] - 20] in chat.text)
        card.focus()
        await chat.pilot.press("enter")
        await chat.until(lambda: shows_viewer(chat))
        assert "its file is gone" in chat.text
        await chat.pilot.press("right")
        await chat.until(lambda: "a kept cat" in chat.text)
        assert "its file is gone" not in chat.text
