"""The slash commands: one table for the composer, the palette and the help screen."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from fromage_lite.config import GenerationSettings
from fromage_lite.errors import ConfigError


@dataclass(frozen=True)
class Command:
    """A slash command. The screen has a method `command_NAME(argument)` for it.

    Attributes:
        argument: how the argument is shown; empty where there is none.
        needs_argument: whether the palette puts it into the composer instead of running it.
        completes: what Tab completes in its argument: paths of "pictures", "folders" or "files"; empty for none.
    """

    name: str
    help: str
    argument: str = ""
    aliases: tuple[str, ...] = ()
    needs_argument: bool = False
    completes: str = ""

    @property
    def usage(self) -> str:
        return f"/{self.name} {self.argument}".strip()


COMMANDS = (
    Command("image", "Attach a picture; without a path, look for one", "[PATH]", ("attach",), completes="pictures"),
    Command("paste", "Attach the picture that is in the clipboard"),
    Command("find", "Search the pictures; attached ones count too", "WORDS", ("search",), True),
    Command("regenerate", "Another reply to your last message", aliases=("retry",)),
    Command("undo", "Take the last message and its reply back"),
    Command("reset", "Start a new conversation", aliases=("new", "clear")),
    Command("tokens", "Words nearest to a picture's visual tokens", "[PATH]", completes="pictures"),
    Command("why", "How near the last reply was to a picture, word by word"),
    Command("randvqa", "A random question with a known answer", "[FILE [FOLDER]]", completes="files"),
    Command("stats", "Figures under each reply, on or off"),
    Command("index", "Answer with other pictures: an index's folder, none or default", "FOLDER", (), True, "folders"),
    Command("model", "Talk with another model: its folder or its Hugging Face id", "FOLDER", (), True, "folders"),
    Command("settings", "How replies are made: pictures, words, chance", aliases=("options",)),
    Command("set", "Show one of these settings or change it", "[NAME VALUE]"),
    Command("sessions", "Earlier conversations: open, search, rename, delete", "[WORDS]", ("history", "resume")),
    Command("rename", "Give this conversation a title", "TITLE", (), True),
    Command("export", "Write this conversation to a .md, .html or .json file", "FILE", (), True, "files"),
    Command("import", "Open a conversation that was exported as .json", "FILE.json", (), True, "files"),
    Command("theme", "Switch between the dark and the light theme"),
    Command("help", "Keys and commands"),
    Command("quit", "Leave the chat", aliases=("exit",)),
)
_BY_NAME = {name: command for command in COMMANDS for name in (command.name, *command.aliases)}


def parse_command(text: str) -> tuple[str, str] | None:
    """Name and argument of a text that is meant as a command; None if it isn't (`/home/me/cat.png` is none)."""
    text = text.strip()
    if not text.startswith("/") or text.startswith("//"):
        return None
    word, _, argument = text[1:].partition(" ")
    if not word.replace("-", "").isalpha():
        return None
    return word.lower(), argument.strip()


def find_command(name: str) -> Command | None:
    """The command of that name or alias."""
    return _BY_NAME.get(name)


def similar(name: str) -> str:
    """A hint for a name that is no command."""
    close = get_close_matches(name, _BY_NAME, n=1)
    return f"Did you mean /{close[0]}?" if close else "/help lists the commands."


def complete(text: str) -> str:
    """What is missing from a half-typed command; empty where it is none, or whole."""
    if not text.startswith("/") or not text[1:].isalpha():
        return ""
    for name in _BY_NAME:
        if name.startswith(text[1:].lower()) and name != text[1:].lower():
            return name[len(text) - 1 :] + (" " if _BY_NAME[name].argument else "")
    return ""


def change_setting(settings: GenerationSettings, argument: str) -> GenerationSettings:
    """The settings with `NAME VALUE` applied.

    Raises:
        ConfigError: there is no such setting, or it can't have this value.
    """
    name, _, value = argument.replace("=", " ", 1).partition(" ")
    name, value = name.strip().replace("-", "_"), value.strip()
    hints = typing.get_type_hints(GenerationSettings)
    if name not in hints:
        close = get_close_matches(name, hints, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"The settings are {', '.join(hints)}."
        raise ConfigError(f"There is no setting '{name}'.", hint)
    if not value:
        raise ConfigError(f"{name} is {getattr(settings, name)}.", f"To change it: /set {name} VALUE.")
    changes: dict[str, Any] = {name: _value(value, hints[name])}
    return dataclasses.replace(settings, **changes)


def _value(text: str, hint: Any) -> Any:
    """The text as the type that the setting has; as it is where it can't be (the settings say what is wrong)."""
    choices = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(None) in choices and text.lower() in {"none", "off", "null"}:
        return None
    for kind in (int, float):
        if kind in choices:
            try:
                return kind(text)
            except ValueError:
                continue
    return text
