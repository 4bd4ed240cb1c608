"""Writing messages and attaching pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events

from fromage_lite.text.message import ImageSegment
from tests.tui.driver import Driver, chatting
from tests.tui.fake_agent import FakeAgent, picture_bytes
from tui.widgets.composer import Chip
from tui.widgets.turn import TurnView


async def paste(chat: Driver, text: str) -> None:
    chat.app.post_message(events.Paste(text))
    await chat.pilot.pause()


def chips(chat: Driver) -> list[str]:
    return [str(chip.render()) for chip in chat.screen.query(Chip)]


async def attached(chat: Driver, count: int) -> None:
    await chat.until(lambda: len(chips(chat)) == count)


async def test_an_attached_picture_is_a_chip_then_part_of_the_message(cat: Path) -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        await chat.type(f"/image {cat}")
        await attached(chat, 1)
        assert "[Image #1] cat.png" in chat.text
        await chat.say("what is in this picture?")
        assert agent.messages == [(ImageSegment(str(cat)), "what is in this picture?")]
        assert [card.picture.caption for card in chat.cards] == ["cat.png"]
        assert "64 × 48" in chat.text and "▀▀▀" in chat.text and chips(chat) == []


async def test_several_pictures_in_one_message(cat: Path, dog: Path) -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        await chat.type(f"/image {cat}")
        await chat.type(f"/image {dog}")
        await attached(chat, 2)
        await chat.say("which is bigger?")
        assert agent.messages == [(ImageSegment(str(cat)), ImageSegment(str(dog)), "which is bigger?")]
        assert len(chat.cards) == 2


async def test_dropped_and_pasted_paths_become_chips(cat: Path, dog: Path) -> None:
    async with chatting() as chat:
        await paste(chat, f"'{dog}' {cat}")
        await attached(chat, 2)
        assert chat.typed == ""
        await paste(chat, "just words")
        assert chat.typed == "just words"


async def test_a_message_that_is_a_path_becomes_a_chip_and_waits_for_a_question(cat: Path) -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        await chat.type(str(cat))
        await attached(chat, 1)
        assert chat.typed == "" and agent.messages == []
        await chat.say("what is this?")
        assert agent.messages == [(ImageSegment(str(cat)), "what is this?")]


async def test_a_picture_named_inside_a_message_is_shown_at_its_place(cat: Path, dog: Path) -> None:
    agent = FakeAgent()
    async with chatting(agent, size=(80, 50)) as chat:
        await chat.say(f"is <image:{cat}> bigger than <image:{dog}> or not?")
        expected = ("is", ImageSegment(str(cat)), "bigger than", ImageSegment(str(dog)), "or not?")
        assert agent.messages == [expected]
        assert [card.picture.caption for card in chat.cards] == ["cat.png", "my dog.png"]


async def test_a_picture_alone_can_be_sent(cat: Path) -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        await chat.type(f"/image {cat}")
        await attached(chat, 1)
        await chat.say("")
        assert agent.messages == [(ImageSegment(str(cat)),)]


async def test_chips_can_be_removed_by_key_and_by_mouse(cat: Path, dog: Path) -> None:
    async with chatting() as chat:
        for _ in range(3):
            await paste(chat, str(cat))
        await paste(chat, str(dog))
        await attached(chat, 4)
        chat.screen.composer.prompt.fill("words")
        await chat.pilot.press("home", "backspace")
        await attached(chat, 3)
        assert chat.typed == "words"
        await chat.pilot.click(Chip)
        await attached(chat, 2)
        chat.screen.query(Chip).last().focus()
        await chat.pilot.press("delete")
        await attached(chat, 1)
        assert chips(chat) == ["[Image #1] cat.png ✕"]
        assert chat.screen.composer.prompt.has_focus


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.png", None, "There is no file"),
        ("empty.png", b"", "is empty"),
        ("text.png", b"this is no picture", "not a picture"),
        ("half.png", picture_bytes()[:60], "half.png"),
    ],
)
async def test_a_bad_picture_is_told_and_nothing_is_lost(
    tmp_path: Path, cat: Path, name: str, content: bytes | None, words: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    agent = FakeAgent()
    async with chatting(agent, size=(160, 30)) as chat:
        await chat.type(f"/image {path}")
        for text in (f"what is <image:{path}> here?", str(path)):
            await chat.until(lambda: len(chat.notes) == 1)
            assert words in chat.notes[0]
            await chat.type("/stats")  # whatever is sent next ends the matter
            await chat.until(lambda: not chat.notes)
            await chat.type(text)
            await chat.until(lambda: chat.notes)
            assert chat.typed == text
        assert agent.messages == [] and not chat.screen.query(TurnView)
        await chat.say(f"{cat} and this?")
        assert agent.messages == [(ImageSegment(str(cat)), "and this?")]


async def test_a_folder_among_pictures_is_no_picture(tmp_path: Path, cat: Path) -> None:
    async with chatting(size=(160, 30)) as chat:
        await chat.type(f"/image {tmp_path} {cat}")
        await chat.until(lambda: any("is a folder" in note for note in chat.notes))
        await chat.until(lambda: len(chat.screen.composer.pictures) == 1)


async def test_enter_sends_and_other_keys_make_lines(cat: Path) -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        await chat.pilot.press("a", "ctrl+j", "b", "shift+enter", "c")
        assert chat.typed == "a\nb\nc"
        assert chat.screen.composer.prompt.size.height == 3
        await chat.pilot.press("enter")
        await chat.ready()
        await chat.until(lambda: agent.messages == [("a\nb\nc",)])
        assert chat.screen.composer.prompt.size.height == 1


async def test_the_composer_grows_only_so_far() -> None:
    async with chatting(size=(80, 40)) as chat:
        await chat.pilot.press(*["ctrl+j"] * 30)
        assert chat.screen.composer.prompt.size.height == 10
        assert chat.screen.transcript.size.height > 20


async def test_up_and_down_walk_through_earlier_prompts() -> None:
    async with chatting() as chat:
        await chat.say("first")
        await chat.say("second\nline")
        chat.screen.composer.prompt.fill("draft")
        await chat.pilot.press("up")
        assert chat.typed == "second\nline"
        await chat.pilot.press("up", "up")  # first within the two lines, then on
        assert chat.typed == "first"
        await chat.pilot.press("up")
        assert chat.typed == "first"
        await chat.pilot.press("down", "down", "down")
        assert chat.typed == "draft"


async def test_an_empty_message_is_not_sent() -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        await chat.type("  \n ")
        assert "Write something first" in chat.text and agent.messages == []


async def test_a_very_long_message_is_sent_whole_and_drawn_in_part() -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        await chat.say("word " * 20_000)
        assert agent.messages[0] == (("word " * 20_000).strip(),)
        assert "95,999 more characters" in str(chat.screen.query(".words").last().render())


async def test_commands_are_completed_with_tab() -> None:
    async with chatting() as chat:
        await chat.pilot.press("/", "r", "e", "s")
        assert chat.screen.composer.prompt.suggestion == "et"
        await chat.pilot.press("tab")
        assert chat.typed == "/reset"


async def test_an_unknown_command_stays_in_the_composer() -> None:
    async with chatting() as chat:
        await chat.type("/undp")
        assert chat.typed == "/undp" and "Did you mean /undo?" in chat.text


async def test_tab_offers_the_examples_one_after_another() -> None:
    async with chatting() as chat:
        await chat.pilot.press("tab")
        assert chat.typed == "show me a cat on the beach"
        chat.screen.composer.prompt.fill("")
        await chat.pilot.press("tab")
        assert chat.typed == "and in the snow?"


async def test_typing_always_reaches_the_composer() -> None:
    async with chatting() as chat:
        chat.screen.transcript.focus()
        await chat.pilot.press("h", "i")
        assert chat.typed == "hi" and chat.screen.composer.prompt.has_focus


async def test_fast_typing_keeps_its_order() -> None:
    """Bound keys used to act after characters typed later: "a⏎b" arrived as "ab" and a line break."""
    agent = FakeAgent()
    async with chatting(agent) as chat:
        for key, character in (("a", "a"), ("ctrl+j", "\n"), ("b", "b"), ("x", "x"), ("backspace", None), ("c", "c")):
            chat.app.post_message(events.Key(key, character))
        await chat.until(lambda: chat.typed == "a\nbc")
        for key, character in (("enter", "\r"), ("n", "n"), ("e", "e")):
            chat.app.post_message(events.Key(key, character))
        await chat.until(lambda: agent.messages == [("a\nbc",)] and chat.typed == "ne")
