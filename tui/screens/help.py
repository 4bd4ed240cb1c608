"""Keys and commands, read from the bindings and the command table, so that they can't be out of date."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from tui.commands import COMMANDS
from tui.widgets.composer import Chip, PromptArea

_KEYS = {"up": "↑", "down": "↓", "pageup": "PgUp", "pagedown": "PgDn", "escape": "Esc"}


class HelpScreen(ModalScreen[None]):
    """A sheet over the chat."""

    CSS_PATH = "help.tcss"
    BINDINGS = [Binding("escape,f1,q,enter", "dismiss", "Close")]

    def __init__(self, chat: Screen) -> None:
        super().__init__()
        self._chat = chat

    def compose(self) -> ComposeResult:
        with Vertical(id="help") as sheet:
            sheet.border_title = "Help"
            sheet.border_subtitle = "Esc closes"
            with VerticalScroll():
                yield from self._section("Writing", self._keys(PromptArea))
                yield from self._section("Pictures on a message", self._keys(Chip))
                yield from self._section("Anywhere", [*self._keys(type(self._chat)), *self._keys(type(self.app))])
                yield from self._section("Commands", self._commands())
                yield Static(
                    "A picture can also be dropped onto the terminal, pasted as a path, or named inside a message: "
                    "<image:PATH>.",
                    markup=False,
                    classes="help-words",
                )

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def _section(self, title: str, rows: list[tuple[str, str]]) -> ComposeResult:
        yield Static(title, classes="help-title", markup=False)
        for key, words in rows:
            with Horizontal(classes="help-row"):
                yield Static(key, classes="help-key", markup=False)
                yield Static(words, classes="help-text", markup=False)

    def _keys(self, owner: type) -> list[tuple[str, str]]:
        return [(key_names(binding.key), binding.description) for binding in _own_bindings(owner)]

    def _commands(self) -> list[tuple[str, str]]:
        return [
            (command.usage, command.help + "".join(f" · /{alias}" for alias in command.aliases)) for command in COMMANDS
        ]


def _own_bindings(owner: type) -> Iterator[Binding]:
    """The bindings that a class declares itself, not those of the widgets it is made from."""
    for binding in owner.__dict__.get("BINDINGS", ()):
        if isinstance(binding, Binding):
            yield binding


def key_names(keys: str) -> str:
    """How a binding's keys are written for people; the first two will do."""
    return " or ".join(
        "+".join(_KEYS.get(part, part.capitalize()) for part in key.split("+")) for key in keys.split(",")[:2]
    )
