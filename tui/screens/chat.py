"""The chat: transcript, composer and status line, and the features that act on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from typing import Any, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Markdown

from fromage_lite.errors import FromageError, unexpected
from index.pictures.images import sanitize
from tui.input.attachments import exists
from tui.input.commands import Command, CommandTable, actions_of, parse_command
from tui.input.prompt_history import FILE, PromptHistory
from tui.pictures.image_mode import ImageMode
from tui.screens.attaching import Attaching
from tui.screens.busy import LOADING, REPLYING, Occupied, Workload
from tui.screens.feature import Feature
from tui.screens.finding import Finding
from tui.screens.indexing import INDEX_OWN, INDEX_OWN_KEY, Indexing
from tui.screens.inspecting import Inspecting
from tui.screens.interface import NOTHING, OCCUPIED, TYPED, Host, Outgoing
from tui.screens.navigating import Navigating
from tui.screens.pictures import Pictures
from tui.screens.replying import Replying
from tui.screens.room import Room
from tui.screens.sending import Sending
from tui.screens.settings import Settings
from tui.screens.switching import Switching
from tui.screens.typing import Typing
from tui.screens.viewer import key_line
from tui.sessions.commands import Sessions
from tui.sessions.conversation import SavedConversation
from tui.sessions.recording import Kept
from tui.settings.keys import key_names
from tui.widgets.composer import Composer, Draft, PromptArea
from tui.widgets.greeting import Greeting
from tui.widgets.picture import FocusablePicture
from tui.widgets.status import StatusBar
from tui.widgets.transcript import Transcript
from tui.widgets.turn import Note, NoteKind, TurnView, error_note
from tui.widgets.welcome import Example

# What can be done, in the order in which commands are listed.
FEATURES: tuple[type[Feature], ...] = (
    Attaching,
    Finding,
    Replying,
    Inspecting,
    Indexing,
    Switching,
    Settings,
    Sessions,
    Navigating,
)
# The order of the keys in the help; others come after them.
KEY_ORDER = ("stop", "regenerate", "undo", "edit", "copy", "reset", "sessions", "attach", "settings", "stats", "help")

AnyFeature = TypeVar("AnyFeature", bound=Feature)


def bindings() -> Iterator[Binding]:
    """The keys of the features. All that every terminal can send: no ctrl+i, ctrl+m, ctrl+h, ctrl+shift+letter; ctrl+b
    is tmux's."""
    keys = [action.key for feature in FEATURES for action in actions_of(feature) if action.key is not None]
    for key in sorted(keys, key=lambda key: KEY_ORDER.index(key.id) if key.id in KEY_ORDER else len(KEY_ORDER)):
        yield Binding(key.keys, f"run('{key.id}')", key.help, id=key.id)


class ChatScreen(Screen[None]):
    """Lays out, knows what is going on, and hands what the user does to the feature that it is for.

    Args:
        conversation: the agent and its dialogue.
        mode: how pictures are drawn.
        host: the app around it.
    """

    BINDINGS = [*bindings()]
    COMMAND_TABLE = CommandTable.of(FEATURES)

    busy = reactive("", init=False)
    """What the agent is doing: loading, replying, searching …; empty when it is free."""

    def __init__(self, conversation: SavedConversation, mode: ImageMode, host: Host) -> None:
        super().__init__()
        self.conversation, self.mode, self.host = conversation, mode, host
        self.commands = self.COMMAND_TABLE
        self.turns: list[TurnView] = []
        self.left: dict[TurnView, Kept] = {}
        self.waiting: Outgoing | None = None
        self.failed: Outgoing | None = None
        self._workload = Workload(self._show_work)
        self.typing = Typing(self)
        self._sending, self._pictures, self._room = Sending(self), Pictures(self), Room(self)
        self._features = {kind: kind(self, self._sending) for kind in FEATURES}
        actions = [(action, feature) for kind, feature in self._features.items() for action in actions_of(kind)]
        self._by_name = {action.command.name: (action, feature) for action, feature in actions if action.command}
        self._by_key = {action.key.id: (action, feature) for action, feature in actions if action.key}

    def feature(self, kind: type[AnyFeature]) -> AnyFeature:
        """The feature of this class."""
        feature = self._features[kind]
        assert isinstance(feature, kind)
        return feature

    # Layout -----------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        state, archive = self.host.state, self.conversation.archive
        keeps = archive is None or archive.saves  # --no-save means what is typed, too
        history = PromptHistory(state / FILE if state is not None else None, keep=keeps)
        with Vertical(id="column"):
            key = key_names(self.host.preferences.keys.get(INDEX_OWN, INDEX_OWN_KEY))
            yield Transcript(Greeting(self.conversation.sees), key, id="transcript")
            yield Composer(self.commands, history, id="composer")
            yield StatusBar(id="status")

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    @property
    def composer(self) -> Composer:
        return self.query_one(Composer)

    @property
    def status(self) -> StatusBar:
        return self.query_one(StatusBar)

    def on_mount(self) -> None:
        self.composer.prompt.focus()
        self.start(self._tell_problems(), "notes")
        self._sending.start_loading()
        self.feature(Sessions).open()

    def on_unmount(self) -> None:
        self.feature(Indexing).end()
        self.conversation.close()

    # What is going on -------------------------------------------------------------------------------------------

    def working(self, what: str, *, beside: str = "") -> AbstractContextManager[None]:
        return self._workload.working(what, beside=beside)

    def check_free(self, *, beside: str = "") -> None:
        self._workload.check_free(beside=beside)

    @asynccontextmanager
    async def turn(self, what: str) -> AsyncIterator[None]:
        while self.busy or self.waiting is not None:
            await self._workload.idle()
            await asyncio.sleep(0)  # whatever waits for the same goes first
        with self.working(what):
            yield

    def stop_indexing(self) -> bool:
        return self.feature(Indexing).stop()

    def begin(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        claim = ExitStack()
        claim.enter_context(self.working(what))  # at once: nothing else may begin before the worker does

        async def run() -> None:
            with claim:
                await work()

        self.start(run(), "agent")

    def start(self, work: Coroutine[Any, Any, None], group: str) -> None:
        self.run_worker(self._attempt(work), group=group)

    async def _attempt(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            await self.tell(error)

    def _show_work(self, what: str) -> None:
        self.busy = what

    def watch_busy(self, busy: str) -> None:
        status, composer = self.status, self.composer
        status.kind = "busy" if busy else "ready"
        if self.conversation.agent is None and not busy:
            status.kind = "error"
        state = "starting" if busy == LOADING else busy
        status.state = state or ("ready" if status.kind == "ready" else "no model")
        composer.border_subtitle = {
            LOADING: "you can type already",
            REPLYING: "Esc stops the reply",
        }.get(busy, "Enter sends · ^J new line")
        self._room.update()
        if not busy:
            self.forget(OCCUPIED)

    # What the app says ------------------------------------------------------------------------------------------

    async def note(self, text: str, kind: NoteKind = "info", about: str = "") -> None:
        self._replace(about)
        await self.transcript.add(Note(text, kind, about))

    async def note_error(self, error: FromageError, advice: str = "", about: str = "") -> None:
        self._replace(about)
        await self.transcript.add(error_note(error, advice, about))

    def _replace(self, about: str) -> None:
        if about and about != TYPED:  # of what was typed, each part may have its own note
            self.transcript.forget(about)

    def hint(self, text: str, about: str = "") -> None:
        self.status.flash(text, about)

    def forget(self, about: str) -> None:
        self.transcript.forget(about)
        self.status.forget(about)

    async def tell(self, error: Exception) -> None:
        """Shows an exception that a feature has not dealt with itself; one that nobody foresaw goes to the log, too."""
        match error:
            case Occupied():
                self.hint(str(error), OCCUPIED)
            case FromageError():
                await self.note_error(error, about=TYPED)
            case _:
                await self.note_error(unexpected("Something went wrong", error))

    def show_pictures(self) -> None:
        if (agent := self.conversation.agent) is not None:
            self.status.pictures = f"{agent.index_size:,} pictures" if agent.index_size else "no pictures"

    async def _tell_problems(self) -> None:
        for problem in self.host.problems:
            await self.note(problem, "warning")

    def show_agent(self) -> None:
        if (agent := self.conversation.agent) is not None:
            self.status.model, self.status.device = sanitize(agent.model_name), str(agent.device)
        self.show_pictures()
        self.feature(Indexing).greet()
        self.transcript.mark_hidden(self.conversation.hidden)  # of a resumed conversation it is known only now

    # Commands and keys ------------------------------------------------------------------------------------------

    async def run_command(self, command: Command, argument: str = "") -> None:
        """Does what a command says.

        Raises:
            Occupied: it can't be done now.
        """
        self.log(f"command {command.name}")
        action, feature = self._by_name[command.name]
        try:
            await action.run(feature, argument)
        except Occupied:
            raise
        except Exception as error:
            await self.tell(error)

    async def choose_command(self, command: Command) -> None:
        """A command chosen in the palette: run, or put into the composer if it wants an argument."""
        if command.needs_argument:
            self.composer.prompt.fill(f"/{command.name} ")
            self.composer.prompt.focus()
        else:
            self.forget(TYPED)
            await self._attempt(self.run_command(command))

    async def action_run(self, key: str) -> None:
        """Does what a key is for.

        Args:
            key: its id.
        """
        action, feature = self._by_key[key]
        await self._attempt(action.run(feature))

    # What the widgets announce ----------------------------------------------------------------------------------

    async def on_composer_submitted(self, event: Composer.Submitted) -> None:
        self.forget(TYPED)
        if (parsed := parse_command(event.draft.text)) is None:
            await self._attempt(self._sending.submit(event.draft))
            return
        name, argument = parsed
        if (command := self.commands.find(name)) is None and exists(event.draft.text):
            await self._attempt(self._sending.submit(event.draft))  # /tmp is a folder
            return
        if command is None:
            await self.note(f"There is no command /{name}. {self.commands.similar(name)}", "warning", TYPED)
            return
        self.composer.take(Draft(event.draft.text))
        self.composer.pictures = event.draft.pictures
        try:
            await self.run_command(command, argument)
        except Occupied as error:
            self.hint(str(error), OCCUPIED)
            if argument:  # it would be a pity to type it again
                self.composer.restore(event.draft)

    def on_composer_changed(self) -> None:
        if self.composer.prompt.text:
            self.forget(NOTHING)
        self._room.update()

    def on_composer_picture_chosen(self, event: Composer.PictureChosen) -> None:
        self.feature(Attaching).attach_files([event.path])

    def on_prompt_area_dropped(self, event: PromptArea.Dropped) -> None:
        self.feature(Attaching).attach_files(event.paths)

    def on_prompt_area_paste_wanted(self) -> None:
        self.feature(Attaching).paste_picture_or_text()

    async def on_prompt_area_page_wanted(self, event: PromptArea.PageWanted) -> None:
        await self.action_run("page-up" if event.step < 0 else "page-down")

    def on_prompt_area_example_wanted(self) -> None:
        if example := self.transcript.next_example():
            self.composer.prompt.fill(example)
        elif pictures := self.transcript.last_pictures:
            pictures[0].focus()
        else:
            self.focus_next()

    def on_example_chosen(self, event: Example.Chosen) -> None:
        self.composer.prompt.fill(event.text)
        self.composer.prompt.focus()

    async def on_offer_taken(self) -> None:
        await self.action_run(INDEX_OWN)

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        self.hint(event.href)

    def on_focusable_picture_wanted(self, event: FocusablePicture.Wanted) -> None:
        self._pictures.start(event.wish, event.picture, event.series)

    def on_focusable_picture_left(self) -> None:
        self.composer.prompt.focus()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        if isinstance(event.widget, FocusablePicture):
            self.status.keys = key_line(self)

    def on_descendant_blur(self) -> None:
        if not isinstance(self.focused, FocusablePicture):
            self.status.keys = ""
