"""Keys and commands, read from the bindings and the command table, so that they can't be out of date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.input.commands import Command
from tui.settings.keys import key_names, own_bindings, owners
from tui.widgets.composer import Chip, PromptArea

TITLES = {
    "PromptArea": "Writing",
    "Chip": "Pictures on a message",
    "FileBrowser": "Looking for a picture",
    "PictureTree": "Looking for a picture",
    "SettingsPanel": "How replies are made",
    "FocusablePicture": "A picture in the conversation",
    "Viewer": "A picture in the conversation",
    "Patches": "The patches of a picture",
    "SessionsScreen": "Earlier conversations",
    "Confirm": "Questions",
    "AskTitle": "Questions",
    "ChooseMessage": "Changing an earlier message",
    "ChooseModel": "Choosing a model",
    "SavePicture": "Saving a copy of a picture",
}
NARROW = 60  # columns; as the app's breakpoint


class HelpScreen(ModalScreen[None]):
    """A sheet over the chat.

    Args:
        commands: the slash commands.
        anywhere: the classes whose keys work everywhere.
        keymap: keys by binding id, as the config file changes them.
    """

    CSS_PATH = "help.tcss"
    BINDINGS = [Binding("escape,f1,q,enter", "dismiss", "Close")]

    def __init__(self, commands: Iterable[Command], anywhere: Sequence[type], keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._commands, self._anywhere, self._keymap = tuple(commands), tuple(anywhere), keymap

    def compose(self) -> ComposeResult:
        self.set_class(self.app.size.width < NARROW, "-narrow")  # Textual does so only after the first drawing
        with Vertical(id="help") as sheet:
            sheet.border_title = "Help"
            sheet.border_subtitle = "Esc closes"
            with VerticalScroll():
                yield from self._section("Writing", self._keys(PromptArea))
                yield from self._section("Pictures on a message", self._keys(Chip))
                yield from self._section("Anywhere", [row for owner in self._anywhere for row in self._keys(owner)])
                yield from self._section(
                    "Commands", [(command.usage, _in_words(command)) for command in self._commands]
                )
                for title, rows in self._other_keys().items():
                    yield from self._section(title, rows)
                yield Static(
                    "A picture can also be dropped onto the terminal, pasted as a path, or named inside a message: "
                    "<image:PATH>, or @ and letters of its name. Keys can be changed in the config file: "
                    'under [keys], for example settings = "f3"; fromage-lite config says where it is.',
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
        return [
            (key_names(self._keymap.get(binding.id or "", binding.key)), binding.description)
            for binding in own_bindings(owner)
        ]

    def _other_keys(self) -> dict[str, list[tuple[str, str]]]:
        """The keys of the other screens and widgets, by title."""
        told = {PromptArea, Chip, HelpScreen, *self._anywhere}
        rows: dict[str, list[tuple[str, str]]] = {}
        for owner in owners():
            if owner not in told:
                told_here = rows.setdefault(TITLES.get(owner.__name__, "Elsewhere"), [])
                told_here += [row for row in self._keys(owner) if row not in told_here]
        return rows


def _in_words(command: Command) -> str:
    return command.help + "".join(f" · /{alias}" for alias in command.aliases)
