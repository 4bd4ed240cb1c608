"""The chat: the dialogue screen with its keys and commands."""

from __future__ import annotations

from collections.abc import Awaitable

from textual import events
from textual.binding import Binding

from fromage_lite.errors import FromageError
from fromage_lite.text.message import Segment, parse_message
from tui.input.commands import Command, find_command, parse_command, similar
from tui.screens.attaching import AttachingScreen
from tui.screens.dialogue import STOP_FIRST
from tui.screens.help import HelpScreen
from tui.screens.inspecting import InspectingScreen
from tui.screens.pictures import PictureScreen
from tui.screens.settings import SettingsScreen
from tui.screens.switching import SwitchingScreen
from tui.sessions.commands import SessionCommands
from tui.widgets.composer import Chip, Composer, Draft
from tui.widgets.found import Found
from tui.widgets.welcome import EXAMPLES, Example

FIND_COUNT = 8


class ChatScreen(SessionCommands, AttachingScreen, SettingsScreen, SwitchingScreen, PictureScreen, InspectingScreen):
    """Everything the user can do, each by command, palette and, where it is common, by key."""

    # Keys that every terminal can send: no ctrl+i, ctrl+m, ctrl+h, ctrl+shift+letter; ctrl+b is tmux's.
    BINDINGS = [
        Binding("escape", "stop", "Stop the reply", id="stop"),
        Binding("ctrl+r", "regenerate", "Another reply", id="regenerate"),
        Binding("ctrl+t", "undo", "Take the last message back", id="undo"),
        Binding("ctrl+n", "reset", "New conversation", id="reset"),
        Binding("ctrl+l", "sessions", "Earlier conversations", id="sessions"),
        Binding("ctrl+o", "attach", "Attach a picture", id="attach"),
        Binding("f2", "settings", "How replies are made", id="settings"),
        Binding("f4", "stats", "Figures under each reply", id="stats"),
        Binding("f1", "help", "Keys and commands", id="help"),
        Binding("pageup", "scroll_transcript(-1)", "Scroll up", id="page-up"),
        Binding("pagedown", "scroll_transcript(1)", "Scroll down", id="page-down"),
        Binding("ctrl+home", "scroll_to(0)", "To the beginning", id="top"),
        Binding("ctrl+end", "scroll_to(1)", "To the end", id="bottom"),
    ]

    _next_example = 0

    # What the widgets announce ----------------------------------------------------------------------------------

    async def on_composer_submitted(self, event: Composer.Submitted) -> None:
        if (parsed := parse_command(event.draft.text)) is None:
            self.submit(event.draft)
            return
        name, argument = parsed
        if (command := find_command(name)) is None:
            await self.note(f"There is no command /{name}. {similar(name)}", "warning")
            return
        self.composer.take(Draft(event.draft.text))
        self.composer.pictures = event.draft.pictures
        await self.run_command(command, argument)

    def on_prompt_area_example_wanted(self) -> None:
        if self.transcript.shows_welcome:
            self.composer.prompt.fill(EXAMPLES[self._next_example % len(EXAMPLES)][0])
            self._next_example += 1
        else:
            self.focus_pictures()

    def on_example_chosen(self, event: Example.Chosen) -> None:
        self.composer.prompt.fill(event.text)
        self.composer.prompt.focus()

    def on_key(self, event: events.Key) -> None:
        # Whoever types means the composer, wherever the focus is; but for the keys of what has it.
        prompt = self.composer.prompt
        if event.key in self.active_bindings:
            return
        if event.is_printable and event.character and not prompt.has_focus and not isinstance(self.focused, Chip):
            prompt.focus()
            prompt.insert(event.character)
            event.stop()

    # Commands ---------------------------------------------------------------------------------------------------

    async def run_command(self, command: Command, argument: str = "") -> None:
        """Does what a command says."""
        self.log(f"command {command.name}")
        await getattr(self, f"command_{command.name}")(argument)

    async def choose_command(self, command: Command) -> None:
        """A command chosen in the palette: run, or put into the composer if it wants an argument."""
        if command.needs_argument:
            self.composer.prompt.fill(f"/{command.name} ")
            self.composer.prompt.focus()
        else:
            await self.run_command(command)

    async def command_find(self, argument: str) -> None:
        pictures = self.composer.pictures
        segments = parse_message(argument, (picture.path for picture in pictures))
        if not segments:
            await self.note("What shall be found? /find WORDS, with or without attached pictures.")
        elif self.conversation.agent is None:
            self.hint("The model isn't loaded yet")
        elif self.busy:
            self.hint(STOP_FIRST)
        else:
            self.busy = "searching"
            self.composer.pictures = ()
            self.run_worker(self._find(segments, argument), group="agent")

    async def _find(self, segments: tuple[Segment, ...], words: str) -> None:
        try:
            found = await self.conversation.search(segments, FIND_COUNT)
            await self.transcript.add(Found(words, found, self.mode))
            self.conversation.note_search(words, found)
        except FromageError as error:
            await self.note_error(error)
        finally:
            self.busy = ""

    async def command_regenerate(self, argument: str = "") -> None:
        if self.busy:
            self.hint(STOP_FIRST if self.busy == "replying" else "Not now, please wait")
        elif self.conversation.agent is None:
            self.start_loading()
        elif self.failed is not None:
            outgoing, self.failed = self.failed, None
            if self.composer.prompt.text == outgoing.draft.text:  # it was handed back, and is on its way again
                self.composer.take(outgoing.draft)
            await outgoing.view.begin_again()
            self.start_reply(outgoing)
        elif self.turns:
            await self.turns[-1].begin_again()
            self.start_regenerating(self.turns[-1])
        else:
            self.hint("There is no reply yet")

    async def command_undo(self, argument: str = "") -> None:
        if self.waiting is not None:
            await self.take_back_waiting()
        elif self.busy:
            self.hint(STOP_FIRST if self.busy == "replying" else "Not now, please wait")
        elif self.failed is not None:
            await self.failed.view.remove()
            self.failed = None
            self.conversation.forget_unfinished()
            await self.transcript.settle()
        elif self.turns:
            if await self._done(self.conversation.undo()):
                await self.turns.pop().remove()
                await self.transcript.settle()
                self.hint("Taken back · ↑ brings your words back")
        else:
            self.hint("There is nothing to take back")

    async def command_reset(self, argument: str = "") -> None:
        if self.busy == "replying" or self.busy == "searching":
            self.hint(STOP_FIRST)
            return
        if self.turns and not await self._done(self.conversation.reset()):
            return
        self.turns.clear()
        self.waiting = self.failed = None
        self.conversation.start_anew()
        self.status.statistics = None
        self._next_example = 0
        await self.transcript.clear()

    async def _done(self, change: Awaitable[object]) -> bool:
        """Whether a change of the dialogue went well; if not, the transcript says so."""
        try:
            await change
        except FromageError as error:
            await self.note_error(error)
            return False
        return True

    async def command_theme(self, argument: str) -> None:
        self.app.action_switch_theme()  # type: ignore[attr-defined]

    async def command_help(self, argument: str = "") -> None:
        await self.app.push_screen(HelpScreen(self))

    async def command_quit(self, argument: str) -> None:
        self.app.exit()

    # Keys -------------------------------------------------------------------------------------------------------

    async def action_stop(self) -> None:
        if self.composer.completion.dismiss():
            return
        if self.busy == "replying":
            self.conversation.stop()
            self.status.state = "stopping"
        elif self.waiting is not None:
            await self.take_back_waiting()
        self.composer.prompt.focus()

    async def action_regenerate(self) -> None:
        await self.command_regenerate()

    async def action_undo(self) -> None:
        await self.command_undo()

    async def action_reset(self) -> None:
        await self.command_reset()

    async def action_help(self) -> None:
        await self.command_help()

    def action_scroll_transcript(self, direction: int) -> None:
        if direction < 0:
            self.transcript.scroll_page_up()
        else:
            self.transcript.scroll_page_down()

    def action_scroll_to(self, place: int) -> None:
        if place:
            self.transcript.anchor()
        else:
            self.transcript.scroll_home()
