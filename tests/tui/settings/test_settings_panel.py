"""The panel of how replies are made."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input, Select, Static

from fromage_lite.config import GenerationSettings
from tests.tui.driver import Driver, chatting
from tests.tui.fake_agent import FakeAgent
from tui.screens.settings import FIELDS, SettingsPanel
from tui.settings.preferences import Preferences


async def open_panel(chat: Driver) -> None:
    await chat.pilot.press("f2")
    await chat.until(lambda: isinstance(chat.app.screen, SettingsPanel) and chat.app.screen.query(Select))


def enter(chat: Driver, name: str, value: str) -> None:
    chat.app.screen.query_one(f"#{name}", Input).value = value


def help_line(chat: Driver, name: str) -> str:
    return str(chat.app.screen.query_one(f"#help-{name}", Static).render())


async def test_it_shows_what_holds() -> None:
    preferences = Preferences(settings=GenerationSettings(temperature=0.7, ret_mode="always", seed=3))
    async with chatting(preferences=preferences, size=(80, 40)) as chat:
        await open_panel(chat)
        assert "always" in chat.text
        for field in FIELDS:
            assert field.label in chat.text and field.help in chat.text
        assert chat.app.screen.query_one("#temperature", Input).value == "0.7"
        assert chat.app.screen.query_one("#score_threshold", Input).value == ""
        await chat.pilot.press("escape")
        await chat.until(lambda: chat.app.screen is chat.screen)


async def test_changes_act_at_once_and_are_kept(tmp_path: Path) -> None:
    agent = FakeAgent()
    file = tmp_path / "config.toml"
    async with chatting(agent, preferences=Preferences(file)) as chat:
        await open_panel(chat)
        values = {"temperature": "0.9", "top_p": "0.5", "ret_bias": "-2", "images_per_ret": "2", "max_images": "0"}
        for name, value in {**values, "score_threshold": "0.2", "max_new_tokens": "7", "seed": "11"}.items():
            enter(chat, name, value)
        chat.app.screen.query_one(Select).value = "always"
        await chat.pilot.pause()
        wanted = GenerationSettings(
            temperature=0.9,
            top_p=0.5,
            ret_bias=-2,
            images_per_ret=2,
            max_images=0,
            score_threshold=0.2,
            max_new_tokens=7,
            seed=11,
            ret_mode="always",
        )
        await chat.until(lambda: chat.app.conversation.settings == wanted)
        assert agent.last is not None and agent.last.settings == wanted
        enter(chat, "score_threshold", "")
        await chat.until(lambda: agent.last.settings.score_threshold is None)
        chat.app.writer.flush()
    kept = Preferences.read(file)
    assert kept.problems == () and kept.settings.temperature == 0.9 and kept.settings.score_threshold is None
    assert kept.settings.ret_mode == "always" and "score_threshold" not in file.read_text()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("temperature", "hot", "must be a number >= 0"),
        ("top_p", "1.5", "up to 1"),
        ("max_new_tokens", "0", "whole number >= 1"),
        ("max_new_tokens", "2.5", "whole number"),
        ("images_per_ret", "", "a value is needed"),
        ("seed", "-1", "whole number from 0"),
    ],
)
async def test_a_wrong_value_is_told_beside_it_and_not_applied(name: str, value: str, words: str) -> None:
    async with chatting() as chat:
        await open_panel(chat)
        before = chat.app.conversation.settings
        enter(chat, name, value)
        await chat.until(lambda: "✗" in help_line(chat, name))
        assert words in help_line(chat, name) and chat.app.conversation.settings == before
        enter(chat, name, "" if getattr(before, name) is None else str(getattr(before, name)))
        await chat.until(lambda: "✗" not in help_line(chat, name))


async def test_it_works_by_keyboard_alone_and_goes_back_to_the_defaults() -> None:
    async with chatting() as chat:
        await open_panel(chat)
        await chat.pilot.press("enter", "down", "enter")  # opens the choices, takes the next one
        await chat.until(lambda: chat.app.conversation.settings.ret_mode == "always")
        await chat.pilot.press("tab", "3", "down", "2")
        await chat.until(lambda: chat.app.conversation.settings.images_per_ret == 2)
        assert chat.app.conversation.settings.ret_bias == 3.0
        await chat.pilot.press("ctrl+r")
        await chat.until(lambda: chat.app.conversation.settings == GenerationSettings())
        assert chat.app.screen.query_one("#ret_bias", Input).value == "0.0"
        assert chat.app.screen.query_one(Select).value == "auto"


@pytest.mark.parametrize("size", [(40, 20), (80, 24), (120, 40)])
async def test_it_fits(size: tuple[int, int]) -> None:
    async with chatting(size=size) as chat:
        await open_panel(chat)
        assert chat.app.screen.query_one("#settings").region.right == size[0]
        await chat.pilot.press(*["tab"] * 9)
        seed = chat.app.screen.query_one("#seed", Input)
        assert seed.has_focus and 0 < seed.region.bottom < size[1]
