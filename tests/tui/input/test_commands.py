"""How methods become commands and keys; the table of them; completion."""

from __future__ import annotations

import pytest

from tests.tui.driver import chatting
from tui.input.commands import Command, CommandTable, Key, actions_of, command, key, parse_command
from tui.screens.chat import FEATURES, ChatScreen

COMMANDS = ChatScreen.COMMAND_TABLE


def test_commands_and_paths_are_told_apart() -> None:
    assert parse_command("/image a b.png") == ("image", "a b.png")
    assert parse_command("  /Undo ") == ("undo", "")
    for text in ("hello", "/home/me/cat.png", "/cat.png what is this?", "/", "// no", "1/2"):
        assert parse_command(text) is None, text


class Kitchen:
    """A feature as anybody would write it."""

    def __init__(self) -> None:
        self.done: list[str] = []

    @command("toast", "Make toast", argument="SLICES", aliases=("brown",), completes="files")
    async def make_toast(self, argument: str) -> None:
        self.done.append(f"toast {argument}")

    async def not_a_command(self) -> None:
        raise AssertionError

    @command("tea", "Make tea", key=Key("ctrl+e", "Tea", "tea"))
    async def make_tea(self) -> None:
        self.done.append("tea")

    @key("f9", "Turn the light on", id="light")
    async def light(self) -> None:
        self.done.append("light")


async def test_a_decorated_method_is_a_command_a_key_or_both() -> None:
    kitchen = Kitchen()
    toast, tea, light = actions_of(Kitchen)
    assert toast.command == Command("toast", "Make toast", "SLICES", ("brown",), "files") and toast.key is None
    assert tea.command == Command("tea", "Make tea") and tea.key == Key("ctrl+e", "Tea", "tea")
    assert light.command is None and light.key == Key("f9", "Turn the light on", "light")
    await toast.run(kitchen, "two")
    await tea.run(kitchen, "which nobody asked for")
    await light.run(kitchen)
    assert kitchen.done == ["toast two", "tea", "light"]


def test_a_table_is_in_the_order_of_the_features_and_knows_aliases() -> None:
    table = CommandTable.of([Kitchen])
    assert [entry.name for entry in table] == ["toast", "tea"]
    assert table.find("brown") is table.find("toast") and table.find("coffee") is None
    assert table.complete("/toa") == "st " and table.complete("/te") == "a"
    toast, tea = table
    assert toast.needs_argument and toast.usage == "/toast SLICES"
    assert not tea.needs_argument and not Command("x", "", "[PATH]").needs_argument


async def test_a_new_command_is_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Completion, palette, help and dispatch all know it, without another line."""
    from textual.widgets import Static

    import tui.screens.chat as chat_module
    from tui.screens.feature import Feature

    class Greeting(Feature):
        @command("greet", "Say hello to somebody", argument="NAME", aliases=("hail",))
        async def greet(self, argument: str) -> None:
            await self.chat.note(f"Hello, {argument}!")

    features = (*FEATURES, Greeting)
    monkeypatch.setattr(chat_module, "FEATURES", features)
    monkeypatch.setattr(ChatScreen, "COMMAND_TABLE", CommandTable.of(features))
    async with chatting(size=(100, 80)) as chat:
        await chat.pilot.press("/", "g", "r")
        assert "Say hello to somebody" in chat.text
        await chat.type("/hail Camembert")
        await chat.until(lambda: chat.notes == ["Hello, Camembert!"])
        assert "/greet NAME" in {entry.title for entry in chat.app.get_system_commands(chat.screen)}
        await chat.pilot.press("f1")
        await chat.until(lambda: chat.app.screen is not chat.screen)
        rows = {str(line.render()) for line in chat.app.screen.query(Static)}
        assert {"/greet NAME", "Say hello to somebody · /hail"} <= rows


def test_every_command_has_a_name_of_its_own() -> None:
    names = [name for entry in COMMANDS for name in (entry.name, *entry.aliases)]
    assert len(names) == len(set(names))
    assert COMMANDS.find("retry") is COMMANDS.find("regenerate")


def test_the_commands_are_those_that_users_know_in_their_order() -> None:
    assert [entry.usage for entry in COMMANDS] == [
        "/image [PATH]",
        "/sample",
        "/paste",
        "/find WORDS",
        "/regenerate",
        "/undo",
        "/edit",
        "/copy",
        "/reset",
        "/tokens [PATH]",
        "/why",
        "/randvqa [FILE [FOLDER]]",
        "/stats",
        "/index FOLDER",
        "/model [NAME]",
        "/settings",
        "/set [NAME VALUE]",
        "/sessions [WORDS]",
        "/rename TITLE",
        "/export FILE",
        "/import FILE.json",
        "/theme [NAME]",
        "/help",
        "/quit",
    ]


def test_completion_gives_what_is_missing() -> None:
    assert COMMANDS.complete("/reg") == "enerate"
    assert COMMANDS.complete("/im") == "age "
    assert COMMANDS.complete("/undo") == ""
    for text in ("/zzz", "hello", "/", "/image x"):
        assert COMMANDS.complete(text) == ""


def test_a_slip_of_the_finger_gets_a_hint() -> None:
    assert COMMANDS.similar("undp") == "Did you mean /undo?"
    assert COMMANDS.similar("xyz") == "/help lists the commands."
