"""Slash commands and keys: how a method becomes one, and the table that completion, palette, help and dispatch read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from types import FunctionType
from typing import Literal, TypeVar

Completes = Literal["", "pictures", "folders", "files"]
Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])


@dataclass(frozen=True)
class Key:
    """A key that runs a method.

    Attributes:
        keys: as Textual names them, several with commas.
        help: what the key does, for the help screen.
        id: the name under which the config file can change it.
    """

    keys: str
    help: str
    id: str


@dataclass(frozen=True)
class Command:
    """A slash command.

    Attributes:
        argument: how the argument is shown; empty where there is none, in brackets where it may be left out.
        completes: which paths Tab completes in the argument; empty for none.
    """

    name: str
    help: str
    argument: str = ""
    aliases: tuple[str, ...] = ()
    completes: Completes = ""

    @property
    def usage(self) -> str:
        return f"/{self.name} {self.argument}".strip()

    @property
    def needs_argument(self) -> bool:
        """Whether the palette puts it into the composer instead of running it."""
        return bool(self.argument) and not self.argument.startswith("[")


@dataclass(frozen=True)
class Action:
    """A method with the command and the key that run it. Where the command takes an argument, so does the method."""

    method: Callable[..., Awaitable[None]]
    command: Command | None = None
    key: Key | None = None

    def run(self, feature: object, argument: str = "") -> Awaitable[None]:
        """Calls the method of an object."""
        takes_argument = self.command is not None and self.command.argument
        return self.method(feature, argument) if takes_argument else self.method(feature)


_ACTIONS: dict[object, Action] = {}  # by function


def command(
    name: str,
    help: str,
    *,
    argument: str = "",
    aliases: tuple[str, ...] = (),
    completes: Completes = "",
    key: Key | None = None,
) -> Callable[[Method], Method]:
    """Makes a method of a feature a slash command. See `Command` and `Key` for the arguments."""

    def mark(method: Method) -> Method:
        _ACTIONS[method] = Action(method, Command(name, help, argument, aliases, completes), key)
        return method

    return mark


def key(keys: str, help: str, *, id: str) -> Callable[[Method], Method]:
    """Binds a method of a feature to a key alone."""

    def mark(method: Method) -> Method:
        _ACTIONS[method] = Action(method, key=Key(keys, help, id))
        return method

    return mark


def actions_of(feature: type) -> Iterator[Action]:
    """The marked methods of a class, in the order in which they are written."""
    for member in vars(feature).values():
        if isinstance(member, FunctionType) and member in _ACTIONS:
            yield _ACTIONS[member]


class CommandTable:
    """The commands of several features, in their order."""

    def __init__(self, commands: Iterable[Command]) -> None:
        self._commands = tuple(commands)
        self._by_name = {name: command for command in self for name in (command.name, *command.aliases)}

    @classmethod
    def of(cls, features: Iterable[type]) -> CommandTable:
        """The table of what these classes bring."""
        actions = (action for feature in features for action in actions_of(feature))
        return cls(action.command for action in actions if action.command is not None)

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands)

    def find(self, name: str) -> Command | None:
        """The command of that name or alias."""
        return self._by_name.get(name)

    def similar(self, name: str) -> str:
        """A hint for a name that is no command."""
        close = get_close_matches(name, self._by_name, n=1)
        return f"Did you mean /{close[0]}?" if close else "/help lists the commands."

    def complete(self, text: str) -> str:
        """What is missing from a half-typed command; empty where it is none, or whole."""
        if not text.startswith("/") or not text[1:].isalpha():
            return ""
        typed = text[1:].lower()
        for name, command in self._by_name.items():
            if name.startswith(typed) and name != typed:
                return name[len(typed) :] + (" " if command.argument else "")
        return ""


def parse_command(text: str) -> tuple[str, str] | None:
    """Name and argument of a text that is meant as a command; None if it isn't (`/home/me/cat.png` is none)."""
    text = text.strip()
    if not text.startswith("/") or text.startswith("//"):
        return None
    word, _, argument = text[1:].partition(" ")
    if not word.replace("-", "").isalpha():
        return None
    return word.lower(), argument.strip()
