"""The panel of how replies are made. What is changed acts on the next reply and is kept."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Select, Static

from fromage_lite.config import GenerationSettings
from fromage_lite.errors import FromageError
from index.pictures.images import sanitize
from tui.input.commands import Key, command
from tui.screens.feature import Feature
from tui.screens.interface import SETTINGS, TYPED
from tui.settings.change import change_setting, read_switch
from tui.settings.preferences import DEFAULT_FOLLOW


@dataclass(frozen=True)
class Field:
    """One setting in the panel."""

    name: str
    label: str
    help: str
    choices: tuple[tuple[str, str], ...] = ()


FOLLOW = "follow_pictures"
YES_NO = (("yes", "yes"), ("no", "no"))
RET_MODES = (("never", "off"), ("auto", "auto"), ("always", "always"))
SPELLING_MODES = (("as typed", "off"), ("auto", "auto"))
FIELDS = (
    Field("ret_mode", "Answer with pictures", "auto: as the model decides", RET_MODES),
    Field("ret_bias", "Liking for pictures", "added to [RET] in auto; below 0: fewer"),
    Field("images_per_ret", "Pictures at a time", "for one [RET]"),
    Field("max_images", "Pictures in a reply", "at most"),
    Field("score_threshold", "Lowest match shown", "-1 to 1; empty shows all"),
    Field("max_new_tokens", "Longest reply", "in tokens"),
    Field("temperature", "Temperature", "0: always the likeliest word"),
    Field("top_p", "Top-p", "above 0, up to 1; 1 keeps all words"),
    Field("spelling", "Misspelt words", "auto: read as what was meant", SPELLING_MODES),
    Field("seed", "Seed", "makes chance repeatable; empty: none"),
)


class Rows(VerticalScroll, can_focus=False, inherit_bindings=False):
    """The settings. Its arrow keys are the panel's, which go from one to the next also where the list is too long."""


class SettingsPanel(ModalScreen[None]):
    """A panel at the side. Every valid entry is applied as it is made; an invalid one says why and is not."""

    CSS_PATH = "settings.tcss"
    BINDINGS = [
        Binding("escape,f2", "close", "Close", id="settings-close"),
        Binding("down", "app.focus_next", "Next setting", id="settings-next"),
        Binding("up", "app.focus_previous", "Previous setting", id="settings-previous"),
        Binding("ctrl+r", "reset", "Back to the defaults", id="settings-reset"),
    ]

    def __init__(self, feature: Settings) -> None:
        super().__init__()
        self._feature = feature

    def compose(self) -> ComposeResult:
        settings = self._feature.current
        with Vertical(id="settings") as panel:
            panel.border_title = "How replies are made"
            panel.border_subtitle = "for the next reply · Esc closes"
            with Rows():
                for field in FIELDS:
                    with Horizontal(classes="field"):
                        yield Static(field.label, classes="field-label", markup=False)
                        yield self._editor(field, settings)
                    yield Static(field.help, id=f"help-{field.name}", classes="field-help", markup=False)
                with Horizontal(classes="field"):
                    yield Static("Model follows pictures", classes="field-label", markup=False)
                    shown = "yes" if self._feature.follows else "no"
                    yield Select(YES_NO, value=shown, allow_blank=False, id=FOLLOW, compact=True)
                yield Static("a photograph is answered by photos", classes="field-help", markup=False)
                yield Button("Back to the defaults (^R)", id="reset", compact=True)

    def _editor(self, field: Field, settings: GenerationSettings) -> Input | Select[str]:
        value = getattr(settings, field.name)
        if field.choices:
            return Select(field.choices, value=value, allow_blank=False, id=field.name, compact=True)
        return Input(_shown(value), id=field.name, compact=True, select_on_focus=True)

    def on_mount(self) -> None:
        self.query_one("#ret_mode").focus()

    def on_select_changed(self, event: Select.Changed) -> None:
        if event.select.id == FOLLOW:
            self._feature.follow(event.value == "yes")
            return
        self._apply(str(event.select.id), str(event.value))

    def on_input_changed(self, event: Input.Changed) -> None:
        self._apply(str(event.input.id), event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.focus_next()

    def on_button_pressed(self) -> None:
        self.action_reset()

    def action_close(self) -> None:
        self.dismiss()

    def action_reset(self) -> None:
        """Every setting of the panel as it is without a config file."""
        defaults = GenerationSettings()
        values = {field.name: getattr(defaults, field.name) for field in FIELDS}
        self._feature.change(dataclasses.replace(self._feature.current, **values))
        self.query_one(f"#{FOLLOW}", Select).value = "yes" if DEFAULT_FOLLOW else "no"
        for field in FIELDS:
            self._complain(field, "")
            if field.choices:
                self.query_one(f"#{field.name}", Select).value = values[field.name]
            else:
                self.query_one(f"#{field.name}", Input).value = _shown(values[field.name])

    def _apply(self, name: str, text: str) -> None:
        field = next(field for field in FIELDS if field.name == name)
        settings = self._feature.current
        if text.strip() == _shown(getattr(settings, name)):
            self._complain(field, "")
            return
        optional = getattr(GenerationSettings(), name) is None
        if not text.strip() and not optional:
            self._complain(field, "a value is needed")
            return
        try:
            self._feature.change(change_setting(settings, f"{name} {text.strip() or 'none'}"))
        except FromageError as error:
            self._complain(field, error.message.removeprefix(f"{name} ").rstrip("."))
        else:
            self._complain(field, "")

    def _complain(self, field: Field, words: str) -> None:
        line = self.query_one(f"#help-{field.name}", Static)
        line.update(f"✗ {sanitize(words)}" if words else field.help)
        line.set_class(bool(words), "-wrong")


class Settings(Feature):
    """The chat's part: the panel, `/set`, and keeping what was changed."""

    @property
    def current(self) -> GenerationSettings:
        """What the next reply is made with."""
        return self.chat.conversation.settings

    @command(
        "settings",
        "How replies are made: pictures, words, chance",
        aliases=("options",),
        key=Key("f2", "How replies are made", "settings"),
    )
    async def open_panel(self) -> None:
        await self.chat.app.push_screen(SettingsPanel(self))

    @command("set", "Show one of these settings or change it", argument="[NAME VALUE]")
    async def set(self, argument: str) -> None:
        if not argument:
            values = {**dataclasses.asdict(self.current), FOLLOW: str(self.follows).lower()}
            width = max(map(len, values))
            lines = (f"{name:<{width}}  {'none' if value is None else value}" for name, value in values.items())
            await self.chat.note("\n".join(["How replies are made", *lines]), about=SETTINGS)
            return
        if argument.replace("=", " ").replace("-", "_").split()[0] == FOLLOW:
            self.follow(read_switch(argument))
        else:
            self.change(change_setting(self.current, argument))
        await self.chat.note(f"{sanitize(argument)} · from the next reply on", about=TYPED)

    @property
    def follows(self) -> bool:
        """Whether the model follows the pictures."""
        return self.chat.host.follow_pictures

    def follow(self, follow: bool) -> None:
        """Whether the model follows the pictures from now on."""
        self.chat.forget(SETTINGS)
        if follow != self.follows:
            self.chat.host.keep_following(follow)

    def change(self, settings: GenerationSettings) -> None:
        """Applies settings to the next reply, and has the app keep them."""
        self.chat.forget(SETTINGS)
        before, self.chat.conversation.settings = self.current, settings
        self.chat.host.keep_settings(before, settings)


def _shown(value: object) -> str:
    return "" if value is None else str(value)
