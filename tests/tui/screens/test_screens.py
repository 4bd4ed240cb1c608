"""Help, palette, themes, sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Static

from fromage_lite.chat.events import ImagesFound
from tests.tui.driver import chatting
from tests.tui.fake_agent import FakeAgent, hit, picture_bytes
from tui.screens.chat import ChatScreen
from tui.screens.help import HelpScreen
from tui.settings.keys import key_names, own_bindings, owners
from tui.themes import DARK, LIGHT, preferred_theme

COMMANDS = ChatScreen.COMMAND_TABLE


async def test_help_lists_every_key_and_command() -> None:
    async with chatting(size=(100, 80)) as chat:
        await chat.pilot.press("f1")
        await chat.until(lambda: isinstance(chat.app.screen, HelpScreen))
        await chat.until(lambda: "Ctrl+J or Shift+Enter" in chat.text and "Send the message" in chat.text)
        rows = {str(line.render()) for line in chat.app.screen.query(Static)}
        for command in COMMANDS:
            assert command.usage in rows and any(row.startswith(command.help) for row in rows)
        for binding in (binding for owner in owners() for binding in own_bindings(owner)):
            assert binding in own_bindings(HelpScreen) or {binding.description, key_names(binding.key)} <= rows
        await chat.pilot.press("escape")
        await chat.until(lambda: chat.app.screen is chat.screen)
        await chat.type("/help")
        await chat.until(lambda: isinstance(chat.app.screen, HelpScreen))


async def test_the_palette_runs_commands() -> None:
    agent = FakeAgent([" one"])
    async with chatting(agent) as chat:
        await chat.say("hello")
        commands = {entry.title: entry.callback for entry in chat.app.get_system_commands(chat.screen)}
        assert {command.usage for command in COMMANDS} <= set(commands)
        await commands["/undo"]()
        assert chat.screen.turns == []
        await commands["/find WORDS"]()
        assert chat.typed == "/find "


async def test_set_shows_and_changes_how_replies_are_made() -> None:
    async with chatting() as chat:
        await chat.type("/set temperature 0.7")
        assert chat.app.conversation.settings.temperature == 0.7
        await chat.type("/set")
        assert "temperature" in chat.text and "0.7" in chat.text
        await chat.type("/set top_p 3")
        assert "top_p must be" in chat.text and chat.app.conversation.settings.top_p == 1.0


async def test_the_theme_switches_between_dark_and_light(monkeypatch: pytest.MonkeyPatch) -> None:
    async with chatting() as chat:
        assert chat.app.theme == DARK.name
        await chat.type("/theme")
        assert chat.app.theme == LIGHT.name
    monkeypatch.setenv("COLORFGBG", "0;15")
    assert preferred_theme() == LIGHT.name


async def test_a_theme_is_chosen_by_its_name() -> None:
    async with chatting(size=(120, 30)) as chat:
        await chat.type("/theme nord")
        assert chat.app.theme == "nord"
        await chat.type("/theme no-such-theme")
        assert chat.app.theme == "nord"
        assert "There is no theme 'no-such-theme'" in chat.notes[-1] and "fromage-light, gruvbox" in chat.notes[-1]
        await chat.pilot.press("ctrl+u", *"/theme dracu")
        await chat.until(lambda: "❯ dracula" in chat.text or "  dracula" in chat.text)
        await chat.pilot.press("tab", "enter")
        await chat.until(lambda: chat.app.theme == "dracula")


@pytest.mark.parametrize("size", [(40, 24), (80, 24), (200, 60)])
async def test_a_conversation_fits_every_size_and_survives_a_resize(size: tuple[int, int], cat) -> None:
    agent = FakeAgent([" Here:", ImagesFound((hit(1),)), ImagesFound((hit(2), hit(3), hit(4)))])
    agent.thumbnails = {1: picture_bytes(size=(8, 8)), 2: picture_bytes(size=(1, 400)), 3: picture_bytes(size=(400, 1))}
    async with chatting(agent, size=size) as chat:
        await chat.say(
            f"{cat} 猫は好きですか 😀 and a rather long question, which has to be wrapped where it is narrow?"
        )
        for columns, rows in (size, (40, 12), (132, 40), size):
            await chat.pilot.resize_terminal(columns, rows)
            await chat.pilot.pause()
            feed = chat.screen.transcript.feed.region
            for box in chat.screen.transcript.query(".box"):
                assert feed.x <= box.region.x and box.region.right <= feed.right
                assert 0 < box.region.height <= max(7, rows)
            assert chat.screen.status.region.bottom == rows
            assert chat.screen.composer.prompt.region.height >= 1


async def test_the_welcome_says_what_the_playground_is_and_offers_a_picture_to_ask_about() -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        words = " ".join(chat.text.translate(dict.fromkeys(map(ord, "▀▄"))).split())
        assert "small world of pictograms: photographs mean nothing to it" in words and "F5" in words
        assert chat.text.count("❯") == 3  # nothing is cut off
        await chat.pilot.press("f5")
        await chat.until(lambda: chat.screen.composer.pictures)
        assert chat.typed == "what is in this picture?"
        await chat.pilot.press("enter")
        await chat.until(lambda: agent.messages)
        picture, words = agent.messages[0]
        assert Path(picture.path).is_file() and words == "what is in this picture?"


async def test_the_welcome_of_another_model_promises_no_small_world() -> None:
    async with chatting(model="facebook/opt-125m") as chat:
        assert "pictograms" not in chat.text and "It sees your pictures" in chat.text


async def test_welcome_fits_forty_columns() -> None:
    async with chatting(size=(40, 24)) as chat:
        assert "fromage_lite" in chat.text and "/image PATH" in chat.text
        assert all(len(line) <= 40 for line in chat.text.splitlines())
