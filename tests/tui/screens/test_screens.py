"""Help, palette, themes, sizes."""

from __future__ import annotations

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


async def test_welcome_fits_forty_columns() -> None:
    async with chatting(size=(40, 24)) as chat:
        assert "fromage_lite" in chat.text and "/image PATH" in chat.text
        assert all(len(line) <= 40 for line in chat.text.splitlines())
