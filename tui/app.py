"""The chat app. Importing it loads no model library: the agent is imported on its own thread."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.screen import Screen

from fromage_lite.config import GenerationSettings
from fromage_lite.errors import FromageError
from tui import paths
from tui.commands import COMMANDS
from tui.image_mode import ImageMode, resolve_image_mode
from tui.replies import LoadAgent
from tui.screens.chat import ChatScreen
from tui.sessions.archive import Archive
from tui.sessions.conversation import SavedConversation
from tui.themes import DARK, LIGHT, preferred_theme

if TYPE_CHECKING:
    from fromage_lite.agent import Agent

QUIT_SECONDS = 3


class ChatApp(App[None]):
    """One conversation with one agent.

    Args:
        load: makes the agent; called on the agent's thread with a function that takes progress texts.
        mode: how pictures are drawn.
        settings: how replies are made; the defaults if None.
        archive: where conversations are kept; None keeps none.
        resume: id of a saved conversation to begin with, or "last".
    """

    TITLE = "fromage_lite"
    CSS_PATH = ["app.tcss", "welcome.tcss"]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-medium"), (116, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-tall")]
    BINDINGS = [
        Binding("ctrl+p", "command_palette", "All commands", id="palette", priority=True, show=False),
        Binding("ctrl+c", "interrupt", "Copy the selection, stop, or (twice) quit", id="interrupt"),
        Binding("ctrl+q", "quit", "Quit", id="quit", priority=True),
    ]

    def __init__(
        self,
        load: LoadAgent,
        mode: ImageMode,
        settings: GenerationSettings | None = None,
        *,
        archive: Archive | None = None,
        resume: int | Literal["last"] | None = None,
    ) -> None:
        super().__init__()
        self.conversation = SavedConversation(load, settings, archive, resume)
        self.mode = mode
        self._quit_armed = False
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = preferred_theme()

    def get_default_screen(self) -> Screen:
        return ChatScreen(self.conversation, self.mode)

    def get_system_commands(self, screen: Screen) -> Iterable[SystemCommand]:
        chat = self.screen_stack[0]
        if isinstance(chat, ChatScreen):
            for command in COMMANDS:
                yield SystemCommand(command.usage, command.help, partial(chat.choose_command, command))
        own = {"Quit", "Keys"}  # there already, as commands
        yield from (entry for entry in super().get_system_commands(screen) if entry.title not in own)

    def action_switch_theme(self) -> None:
        self.theme = LIGHT.name if self.current_theme.dark else DARK.name

    async def action_interrupt(self) -> None:
        """Ctrl+C with nothing selected."""
        chat = self.screen_stack[0]
        assert isinstance(chat, ChatScreen)
        if chat.busy == "replying" and chat.status.state != "stopping":
            await chat.action_stop()
        elif self._quit_armed:
            self.exit()
        else:
            self._quit_armed = True
            self.set_timer(QUIT_SECONDS, self._disarm)
            chat.hint("Ctrl+C again quits")

    def _disarm(self) -> None:
        self._quit_armed = False


def run(
    model: str | Path | None = None,
    index: str | Path | None = None,
    device: str = "auto",
    dtype: str | None = None,
    images: str = "auto",
    settings: GenerationSettings | None = None,
    resume: int | Literal["last"] | None = None,
    save: bool = True,
) -> int:
    """Opens the chat and returns its exit code when the user leaves.

    Args:
        model, index, device, dtype: as for `Agent.load`.
        images: auto, kitty, sixel, halfblock or none.
        settings: how replies are made; the defaults if None.
        resume: id of a saved conversation to begin with, or "last".
        save: whether what is said is kept.

    Raises:
        FromageError: there is no terminal to draw on.
        ConfigError: `images` names no way to draw pictures.
    """
    in_browser = "TEXTUAL_DRIVER" in os.environ
    if not in_browser and not (_is_terminal(sys.__stdin__) and _is_terminal(sys.__stdout__)):
        raise FromageError("The chat needs a terminal.", 'Use: fromage-lite ask "your question"')
    mode = resolve_image_mode(images)

    def load(progress: Callable[[str], None]) -> Agent:
        from fromage_lite.agent import Agent

        return Agent.load(model, index=index, device=device, dtype=dtype, progress=progress)

    app = ChatApp(load, mode, settings, archive=Archive(paths.sessions_file(), save=save), resume=resume)
    app.run()
    code = app.return_code or 0
    if app.conversation.working:
        # The agent's thread is deep inside a library, loading; the interpreter's end would wait for it or abort.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _is_terminal(stream: object) -> bool:
    return stream is not None and stream.isatty()  # type: ignore[attr-defined]
