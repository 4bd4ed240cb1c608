"""What is typed goes to the composer, whole and in its order, whatever has the focus."""

from __future__ import annotations

import pytest
from textual import events

from fromage_lite.chat.events import ImagesFound
from tests.tui.driver import Driver, chatting
from tests.tui.fake_agent import FakeAgent, hit
from tui.screens import typing
from tui.widgets.picture import PictureCard


def key(character: str) -> events.Key:
    names = {"\r": "enter", " ": "space", "?": "question_mark", ".": "full_stop"}
    return events.Key(names.get(character, character), character)


def type_at_once(chat: Driver, text: str) -> None:
    """As a machine types: all keys are there before the first is dealt with."""
    for character in text:
        chat.app.post_message(key(character))


async def on_a_picture(chat: Driver) -> PictureCard:
    await chat.say("show me")
    await chat.pilot.press("tab")
    await chat.until(lambda: isinstance(chat.screen.focused, PictureCard))
    return chat.cards[0]


# Words that begin with, and hold, the letters of a picture's keys: a m o s y x.
@pytest.mark.parametrize("words", ["xylophone", "some more", "maybe a sax", "yes", "is it a fox?"])
async def test_words_typed_at_a_picture_are_for_the_composer(words: str) -> None:
    async with chatting(FakeAgent([" Here:", ImagesFound((hit(1),))])) as chat:
        card = await on_a_picture(chat)
        type_at_once(chat, words)
        await chat.until(lambda: chat.typed == words)
        assert not card.hidden
        assert chat.screen.focused is chat.screen.composer.prompt
        assert not chat.screen.composer.pictures


async def test_words_typed_slower_but_without_a_pause_are_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typing, "ALONE_SECONDS", 60)
    async with chatting(FakeAgent([" Here:", ImagesFound((hit(1),))])) as chat:
        card = await on_a_picture(chat)
        await chat.pilot.press(*"xox")
        assert chat.typed == "xox" and not card.hidden


async def test_a_letter_alone_is_a_key_and_hiding_says_how_to_take_it_back() -> None:
    async with chatting(FakeAgent([" Here:", ImagesFound((hit(1),))])) as chat:
        card = await on_a_picture(chat)
        await chat.pilot.press("x")
        await chat.until(lambda: card.hidden)
        await chat.until(lambda: "Hidden in this conversation · x shows it again" in chat.text)
        await chat.pilot.press("x")
        await chat.until(lambda: not card.hidden)
        assert chat.typed == ""


async def test_a_letter_before_another_key_is_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typing, "ALONE_SECONDS", 60)
    async with chatting(FakeAgent([" Here:", ImagesFound((hit(1),))])) as chat:
        card = await on_a_picture(chat)
        await chat.pilot.press("x", "escape")
        await chat.until(lambda: card.hidden)
        assert chat.screen.focused is chat.screen.composer.prompt


async def test_a_paste_at_a_picture_is_for_the_composer() -> None:
    async with chatting(FakeAgent([" Here:", ImagesFound((hit(1),))])) as chat:
        await on_a_picture(chat)
        chat.app.post_message(events.Paste("axom"))
        await chat.until(lambda: chat.typed == "axom")


@pytest.mark.parametrize("place", range(6))
async def test_enter_right_behind_the_words_sends_though_the_page_loses_the_focus(place: int) -> None:
    """A browser's page says that it lost the focus, and has it again, in the middle of the keys."""
    agent = FakeAgent()
    async with chatting(agent) as chat:
        words = "show\r"
        type_at_once(chat, words[:place])
        chat.app.post_message(events.AppBlur())
        chat.app.post_message(events.AppFocus())
        type_at_once(chat, words[place:])
        await chat.until(lambda: agent.messages)
        assert agent.messages == [("show",)]
        assert chat.typed == ""


async def test_enter_right_behind_the_words_sends_though_the_page_stays_without_the_focus() -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        type_at_once(chat, "show\r")
        chat.app.post_message(events.AppBlur())
        await chat.until(lambda: agent.messages)
        assert agent.messages == [("show",)]
