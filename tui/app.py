"""The chat app. Importing it loads no model library: the agent is imported on its own thread."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Literal, TextIO

from textual import events
from textual.app import SystemCommand
from textual.binding import Binding
from textual.screen import Screen
from textual.theme import Theme

from fromage_lite.chat.events import Notice
from fromage_lite.chat.protocol import ChatAgent
from fromage_lite.choice import model_for_index
from fromage_lite.config import NO_INDEX, PLAYGROUND, GenerationSettings, LoadOptions
from fromage_lite.errors import FromageError
from tui.conversation import LoadAgent, Tell
from tui.faults import LastingApp
from tui.idle_collection import LOOK_EVERY, IdleCollector, collected_when_idle, keep_for_good, keep_no_longer
from tui.model_names import ModelNames
from tui.pictures.image_mode import ENVIRONMENT_VARIABLE, ImageMode, resolve_image_mode
from tui.screens.busy import REPLYING
from tui.screens.chat import ChatScreen
from tui.screens.interface import QUITTING
from tui.sessions.archive import Archive
from tui.sessions.conversation import SavedConversation
from tui.settings import paths
from tui.settings.keys import check_keys, clashes
from tui.settings.preferences import Preferences, changed
from tui.settings.writing import PreferencesWriter
from tui.themes import DARK, LIGHT, preferred_theme

QUIT_SECONDS = 3


class ChatApp(LastingApp):
    """One conversation with one agent.

    Args:
        load: makes the agent; called on the agent's thread with a function that takes progress texts.
        mode: how pictures are drawn.
        settings: how replies are made; those of the preferences if None.
        preferences: what the user's config file says.
        state: the folder of what is remembered between runs; None remembers nothing.
        archive: where conversations are kept; None keeps none.
        resume: id of a saved conversation to begin with, or "last".
        model: what answers, as the option `--model` takes it.
    """

    TITLE = "fromage_lite"
    CSS_PATH = ["app.tcss", "welcome.tcss", "pictures.tcss"]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-medium"), (116, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-tall")]
    BINDINGS = [
        Binding("ctrl+p", "command_palette", "All commands", id="palette", priority=True, show=False),
        Binding("ctrl+c", "interrupt", "Copy the selection, stop, or (twice) quit", id="interrupt"),
        Binding("ctrl+q", "quit", "Quit", id="quit", priority=True),
        Binding("ctrl+z", "suspend_process", "Suspend the chat; fg brings it back", id="suspend", priority=True),
    ]

    def __init__(
        self,
        load: LoadAgent,
        mode: ImageMode,
        settings: GenerationSettings | None = None,
        *,
        preferences: Preferences | None = None,
        state: Path | None = None,
        archive: Archive | None = None,
        resume: int | Literal["last"] | None = None,
        model: str = PLAYGROUND,
    ) -> None:
        super().__init__()
        self.preferences = preferences or Preferences()
        self.state = state
        self.archive = archive
        self.follow_pictures = self.preferences.follow_pictures
        self.writer = PreferencesWriter(self, self.preferences)
        self.conversation = SavedConversation(load, settings or self.preferences.settings, archive, resume, model)
        self.mode = mode
        self._quit_armed = False
        self._idle_collector = IdleCollector()
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.problems = list(self.preferences.problems)
        self.theme = self._known_theme = self._first_theme()
        self._use_keys()

    def _first_theme(self) -> str:
        wanted = self.preferences.theme
        if wanted and wanted not in self.available_themes:
            known = ", ".join(sorted(self.available_themes))
            self.problems.append(f"{self.preferences.path}: there is no theme '{wanted}'; there are {known}.")
        return wanted if wanted in self.available_themes else preferred_theme()

    def _use_keys(self) -> None:
        keys, problems = check_keys(self.preferences.keys)
        self.problems += [f"{self.preferences.path}: [keys] {problem}" for problem in [*problems, *clashes(keys)]]
        self.set_keymap(keys)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent):
            self._idle_collector.note()
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            chat = self.chat
            if self._quit_armed and not (isinstance(event, events.Key) and event.key in self._interrupt_keys):
                self._disarm()  # something else is meant after all
            if chat is not None and chat is self.screen and await chat.typing.take(event):
                return
        await super().on_event(event)

    @property
    def _interrupt_keys(self) -> list[str]:
        return self.preferences.keys.get("interrupt", "ctrl+c").split(",")

    def _collect(self) -> None:
        if self.chat is not None and self.chat.busy:
            self._idle_collector.note()
        self._idle_collector.look()

    def on_mount(self) -> None:
        self.set_interval(LOOK_EVERY, self._collect)
        self.theme_changed_signal.subscribe(self, self._keep_theme)
        # Back from the shell, the terminal is empty, and Textual draws only what changes.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))

    def _keep_theme(self, theme: Theme) -> None:
        if theme.name != self._known_theme:
            self._known_theme = theme.name
            self.writer.write_soon({"theme": theme.name})

    def keep_settings(self, before: GenerationSettings, after: GenerationSettings) -> None:
        """Keeps a change of settings for the next run."""
        self.writer.write_soon(changed(before, after))

    def keep_following(self, follow: bool) -> None:
        """Whether the model follows the pictures, from now on and in the next run."""
        self.follow_pictures = follow
        self.writer.write_soon({"follow_pictures": None if follow else False})

    def get_default_screen(self) -> Screen:
        return ChatScreen(self.conversation, self.mode, self)

    @property
    def chat(self) -> ChatScreen | None:
        """The screen below all others; None before the app has begun and while it ends."""
        screen = next(iter(self.screen_stack), None) if self._screen_stacks else None
        return screen if isinstance(screen, ChatScreen) else None

    def show_fault(self, error: Exception) -> bool:
        if self.chat is None or not self.chat.is_mounted:
            return False
        self.chat.call_later(self.chat.tell, error)
        if self.screen is not self.chat:  # it covers the transcript
            self.notify("Something went wrong; the conversation has a note of it.", severity="error", markup=False)
        return True

    def get_system_commands(self, screen: Screen) -> Iterable[SystemCommand]:
        if (chat := self.chat) is not None:
            for command in chat.commands:
                yield SystemCommand(command.usage, command.help, partial(chat.choose_command, command))
        own = {"Quit", "Keys"}  # there already, as commands
        yield from (entry for entry in super().get_system_commands(screen) if entry.title not in own)

    def action_switch_theme(self) -> None:
        self.theme = LIGHT.name if self.current_theme.dark else DARK.name

    async def action_interrupt(self) -> None:
        """Ctrl+C with nothing selected."""
        chat = self.chat
        if chat is not None and chat.busy == REPLYING and chat.status.state != "stopping":
            await chat.action_run("stop")
        elif chat is None or self._quit_armed:
            self.exit()
        else:
            self._quit_armed = True
            self.set_timer(QUIT_SECONDS, self._disarm)
            chat.hint("Ctrl+C again quits", QUITTING)

    def action_suspend_process(self) -> None:
        if self._driver is not None and self._driver.can_suspend:
            super().action_suspend_process()
        elif self.chat is not None:
            self.chat.hint("There is no shell here to go back to")

    def _disarm(self) -> None:
        self._quit_armed = False
        if self.chat is not None:
            self.chat.forget(QUITTING)


def run(
    options: LoadOptions = LoadOptions(),
    images: str = "auto",
    settings: GenerationSettings | None = None,
    given: Collection[str] | None = None,
    resume: int | Literal["last"] | None = None,
    save: bool = True,
) -> int:
    """Opens the chat and returns its exit code when the user leaves.

    Args:
        options: what answers.
        images: auto, kitty, sixel, halfblock or none.
        settings: how replies are made; None is as the config file says.
        given: which of the settings count; the others are as the config file says. All of them if None.
        resume: id of a saved conversation to begin with, or "last".
        save: whether what is said is kept.

    Raises:
        FromageError: there is no terminal to draw on.
        ConfigError: `images` names no way to draw pictures, or the index's model is not on this computer.
    """
    in_browser = "TEXTUAL_DRIVER" in os.environ
    if not in_browser and not (_is_terminal(sys.__stdin__) and _is_terminal(sys.__stdout__)):
        raise FromageError("The chat needs a terminal.", 'Use: fromage-lite ask "your question"')
    preferences = Preferences.read(paths.config_file())
    if images == "auto" and not os.environ.get(ENVIRONMENT_VARIABLE):
        images = preferences.images or images
    mode = resolve_image_mode(images)
    if settings is not None and given is not None:
        settings = dataclasses.replace(preferences.settings, **{name: getattr(settings, name) for name in given})

    is_named = options.model is not None
    first = options.model or model_for_index(options.index)
    options = dataclasses.replace(options, model=first)

    def load(progress: Tell) -> ChatAgent:
        agent = _load(options, progress)
        keep_for_good()
        return agent

    def load_other(other: str, progress: Tell) -> ChatAgent:
        keep_no_longer()  # the model before is to go
        names = app.conversation.names
        model = names.find(other)
        index = options.index if model == first else NO_INDEX
        agent = _load(dataclasses.replace(options, model=model, index=index), progress)
        names.add(agent.model_name, model)
        return agent

    archive = Archive(paths.sessions_file(), save=save)
    app = ChatApp(
        load,
        mode,
        settings,
        preferences=preferences,
        state=paths.state_dir(),
        archive=archive,
        resume=resume,
        model=first,
    )
    app.conversation.load_other, app.conversation.is_model_named = load_other, is_named
    app.conversation.names = ModelNames(first, is_named)
    app.conversation.is_index_named = options.index is not None
    return run_app(app)


def _load(options: LoadOptions, progress: Tell) -> ChatAgent:
    from fromage_lite.start import load_agent

    return load_agent(options, progress, notice=lambda text: progress(Notice(text)))


def run_app(app: ChatApp) -> int:
    """Runs the chat until the user leaves; its exit code."""
    with collected_when_idle():
        app.run()
    app.writer.flush()
    code = app.return_code or 0
    if app.conversation.working:
        # The agent's thread is deep inside a library, loading; the interpreter's end would wait for it or abort.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
