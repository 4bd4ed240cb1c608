"""The chat screen and the app around it as the features of the chat see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from textual.app import App
from textual.notifications import SeverityLevel

from fromage_lite.config import GenerationSettings
from fromage_lite.errors import FromageError
from fromage_lite.text.message import Segment
from tui.input.commands import CommandTable
from tui.pictures.image_mode import ImageMode
from tui.sessions.conversation import SavedConversation
from tui.sessions.recording import Kept
from tui.settings.preferences import Preferences
from tui.widgets.composer import Composer, Draft
from tui.widgets.status import StatusBar
from tui.widgets.transcript import Transcript
from tui.widgets.turn import NoteKind, TurnView

NOT_LOADED = "The model isn't loaded yet"

# The matters of notes and remarks.
TYPED = "typed"
"""What was typed last: over with the next thing that is sent."""
NOTHING = "nothing"
"""That nothing was typed."""
MODEL = "model"
MEMORY = "memory"
"""That a model takes much of it."""
INDEX = "index"
INDEXING = "indexing"
"""A folder of pictures that is being indexed."""
SETTINGS = "settings"
LOADING_FIRST = "loading first"
"""What can't be done until the model is there."""
WAITING = "waiting"
"""A message that waits its turn."""
OCCUPIED = "occupied"
"""What can't be done until the agent is free."""
ROOM = "room"
"""How many pictures fit."""
QUITTING = "quitting"


@dataclass
class Outgoing:
    """A message on its way: waiting for the model, or failed and ready to be tried again."""

    draft: Draft
    segments: tuple[Segment, ...]
    view: TurnView
    is_kept: bool = False
    """Whether it is written down already, before its reply begins."""
    is_handed_back: bool = False
    """Whether its words are in the composer again, so that its turn can go."""


class Host(Protocol):
    """What the chat needs of the app around it."""

    preferences: Preferences
    state: Path | None
    """The folder of what is remembered between runs; None remembers nothing."""
    problems: list[str]
    """What the config file has that can't be used, a sentence each."""

    follow_pictures: bool
    """Whether the model is changed for the one that is for the pictures of a message."""

    def keep_following(self, follow: bool) -> None:
        """Sets `follow_pictures` and writes it into the config file."""

    def keep_settings(self, before: GenerationSettings, after: GenerationSettings) -> None:
        """Writes a change of settings into the config file."""

    def action_switch_theme(self) -> None:
        """Dark to light, or back."""


class Chat(Protocol):
    """The chat screen as its features see it."""

    host: Host
    conversation: SavedConversation
    mode: ImageMode
    turns: list[TurnView]
    """As many as the dialogue has."""
    left: dict[TurnView, Kept]
    """Interrupted turns above the last one: seen, and kept, but no part of the dialogue."""
    waiting: Outgoing | None
    """The message that waits for the model, or for the end of the reply before."""
    failed: Outgoing | None
    """The message whose reply failed, until something else is sent."""

    @property
    def app(self) -> App[object]: ...
    @property
    def commands(self) -> CommandTable: ...
    @property
    def transcript(self) -> Transcript: ...
    @property
    def composer(self) -> Composer: ...
    @property
    def status(self) -> StatusBar: ...
    @property
    def busy(self) -> str:
        """What the agent is doing; empty when it is free."""

    def working(self, what: str, *, beside: str = "") -> AbstractContextManager[None]:
        """Claims the agent for a block; see `Workload.working`."""

    def turn(self, what: str) -> AbstractAsyncContextManager[None]:
        """Claims the agent for a block, as soon as nothing else is going on and no message waits for it."""

    def stop_indexing(self) -> bool:
        """Stops indexing a folder of pictures; False if none is being indexed."""

    def check_free(self, *, beside: str = "") -> None:
        """Raises `Occupied` if anything but `beside` is going on."""

    def begin(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Claims the agent and does the work in the background. Raises `Occupied` if something else is going on."""

    def start(self, work: Coroutine[Any, Any, None], group: str) -> None:
        """Does something in the background that doesn't claim the agent. What it raises is shown."""

    def call_later(self, callback: Callable[..., object], *args: object) -> bool:
        """Calls on the screen's thread; from any thread."""

    async def note(self, text: str, kind: NoteKind = "info", about: str = "") -> None:
        """A line in the transcript; with a matter, in the place of the one about it before."""

    async def note_error(self, error: FromageError, advice: str = "", about: str = "") -> None:
        """An error in the transcript, with what to do about it."""

    async def tell(self, error: Exception) -> None:
        """Shows an exception, whatever it is."""

    def hint(self, text: str, about: str = "") -> None:
        """A passing remark."""

    def forget(self, about: str) -> None:
        """A matter is over: what was noted and remarked about it goes."""

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None: ...

    def show_agent(self) -> None:
        """Shows which model and which pictures answer."""

    def show_pictures(self) -> None:
        """Shows how many pictures can be found."""
