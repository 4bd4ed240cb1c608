"""The agent and its dialogue, and what the screen may ask of them. Knows no widget and no tensor."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fromage_lite.chat.events import Event, Failed, ImagesFound, Notice
from fromage_lite.chat.protocol import ChatAgent, ChatDialogue
from fromage_lite.chat.turns import Turn, without_ids
from fromage_lite.config import GenerationSettings
from fromage_lite.errors import FromageError, unexpected
from fromage_lite.model.inspection import PatchGrid, TokenMatch
from fromage_lite.text.message import Segment
from tui.agent_thread import Abandoned, AgentThread
from tui.pictures.thumbnails import STRIP_SIDE, Picture, load_hit

Result = TypeVar("Result")
Tell = Callable[[str | Notice], None]  # what is being done, or what the user should know about it
LoadAgent = Callable[[Tell], ChatAgent]
LoadModel = Callable[[str, Tell], ChatAgent]
DEFAULT_INDEX = "default"  # as the name of an index: the model's own


@dataclass(frozen=True)
class PicturesFound:
    """`ImagesFound` with its pictures ready to draw."""

    pictures: tuple[Picture, ...]
    more: tuple[Picture, ...] = ()


ReplyItem = Event | PicturesFound
StartReply = Callable[[ChatAgent, ChatDialogue], Iterator[Event]]


class Conversation:
    """The agent and its dialogue, as the screen sees them."""

    def __init__(self, load: LoadAgent, settings: GenerationSettings | None = None) -> None:
        self._load = load
        self._thread = AgentThread()
        self._settings = settings or GenerationSettings()
        self._cancel = threading.Event()
        self.agent: ChatAgent | None = None
        self.dialogue: ChatDialogue | None = None
        self.load_other: LoadModel | None = None
        self.fixed = ""  # why neither model nor index can be changed here
        self.problems: tuple[str, ...] = ()

    @property
    def settings(self) -> GenerationSettings:
        """How replies are made; assigning acts on the next reply."""
        return self._settings

    @settings.setter
    def settings(self, settings: GenerationSettings) -> None:
        self._settings = settings
        if self.dialogue is not None:
            self.dialogue.settings = settings

    async def load(self) -> AsyncGenerator[str | Notice, None]:
        """Loads the agent; yields what it is doing, and what the user should know.

        Raises:
            FromageError: it can't be loaded.
        """

        def work(emit: Tell) -> None:
            with foreseen("The model could not be loaded"):
                agent = self._load(emit)
                dialogue = agent.dialogue(self.settings)
            self.agent, self.dialogue = agent, dialogue

        async for text in self._thread.stream(work):
            yield text

    def reply(self, segments: Sequence[Segment]) -> AsyncGenerator[ReplyItem, None]:
        """The events of a reply, ending with Done or Failed."""
        return self._events(lambda agent, dialogue: dialogue.reply(segments, cancel=self._cancel))

    def regenerate(self) -> AsyncGenerator[ReplyItem, None]:
        """The events of another reply to the last message."""
        return self._events(lambda agent, dialogue: dialogue.regenerate(cancel=self._cancel))

    async def _events(self, start: StartReply) -> AsyncGenerator[ReplyItem, None]:
        agent, dialogue = self._ready()
        self._cancel.clear()

        def work(emit: Callable[[ReplyItem], None]) -> None:
            try:
                with foreseen("The reply failed"):
                    for event in start(agent, dialogue):
                        emit(_drawable(agent, event))
            except FromageError as error:
                emit(Failed(error))

        async for item in self._thread.stream(work):
            yield item

    async def search(
        self, segments: Sequence[Segment], count: int, exclude: Collection[int] = ()
    ) -> tuple[Picture, ...]:
        """The pictures that fit best, without a word said; none of `exclude` and none that the user has hidden."""
        agent, dialogue = self._ready()

        def work() -> tuple[Picture, ...]:
            unwanted = {*exclude, *dialogue.excluded}
            return tuple(load_hit(agent, hit) for hit in agent.search(segments, count, unwanted))

        return await self._guarded("The search failed", work)

    async def tokens_near(self, path: str, count: int) -> tuple[list[list[TokenMatch]], PatchGrid | None]:
        """For each visual token of a picture file the language model's nearest words; where the tokens are patches,
        the patches, too."""
        agent, _ = self._ready()

        def work() -> tuple[list[list[TokenMatch]], PatchGrid | None]:
            return agent.tokens_near(path, count), agent.patch_grid(path)

        return await self._guarded("The visual tokens can't be read", work)

    @property
    def hidden(self) -> frozenset[int]:
        """Pictures that the user does not want to see in this conversation."""
        return frozenset(self.dialogue.excluded) if self.dialogue is not None else frozenset()

    async def hide(self, id: int, hidden: bool) -> None:
        """Hides a picture for this conversation, or takes that back."""
        _, dialogue = self._ready()
        change = dialogue.exclude if hidden else dialogue.include
        await self._guarded("The picture can't be hidden", lambda: change([id]))

    async def use_index(self, index: str) -> None:
        """Answers with the pictures of another index ("none", "default" or a folder); if it can't be opened, all stays
        as it was.

        Raises:
            FromageError: it can't be opened, or not be changed here.
        """
        agent, dialogue = self._ready()
        if self.fixed:
            raise FromageError(self.fixed, "Name an index at the start: --index.")

        def work() -> None:
            agent.use_index(None if index == DEFAULT_INDEX else index)
            dialogue.turns = without_ids(dialogue.turns)
            dialogue.include(dialogue.excluded)  # numbers of other pictures now

        await self._guarded("The index can't be opened", work)

    async def use_model(self, model: str) -> AsyncGenerator[str | Notice, None]:
        """Loads another model, which takes the dialogue over; yields what it is doing. `problems` then has what the
        user should know of the index.

        Raises:
            FromageError: it can't be loaded; the model before stays.
        """
        load, before, old = self.load_other, self.agent, self.dialogue
        if load is None:
            raise FromageError(self.fixed or "Another model can't be loaded here.", "Name it at the start: --model.")

        def work(emit: Tell) -> None:
            with foreseen("The model could not be loaded"):
                agent = load(model, emit)
                path = before.index_path if before is not None else None
                problems = _carry_index(agent, path, emit)
                dialogue = agent.dialogue(self.settings)
                turns = old.turns if old is not None else []
                dialogue.turns = list(turns) if path == agent.index_path else without_ids(turns)
                if old is not None and path == agent.index_path:
                    dialogue.exclude(old.excluded)
            self.agent, self.dialogue, self.problems = agent, dialogue, problems

        async for text in self._thread.stream(work):
            yield text

    async def undo(self) -> Turn | None:
        """Takes the last turn back."""
        _, dialogue = self._ready()
        return await self._guarded("The last turn can't be taken back", dialogue.undo)

    async def reset(self) -> None:
        """Forgets the whole dialogue."""
        _, dialogue = self._ready()
        await self._guarded("The dialogue can't be reset", dialogue.reset)

    async def _guarded(self, trouble: str, change: Callable[[], Result]) -> Result:
        """The result of work on the agent's thread; `trouble` says what has failed if something that nobody foresaw
        goes wrong."""

        def work() -> Result:
            with foreseen(trouble):
                return change()

        return await self._thread.run(work)

    def stop(self) -> None:
        """Ends the reply within one token."""
        self._cancel.set()

    def close(self) -> None:
        """Ends the reply, and the thread as soon as it can."""
        self._cancel.set()
        self._thread.stop()

    @property
    def working(self) -> bool:
        """Whether the thread is in the middle of something."""
        return self._thread.working

    def _ready(self) -> tuple[ChatAgent, ChatDialogue]:
        if self.agent is None or self.dialogue is None:
            raise FromageError("The model isn't loaded yet.")
        return self.agent, self.dialogue


def _drawable(agent: ChatAgent, event: Event) -> ReplyItem:
    if not isinstance(event, ImagesFound):
        return event
    # Of the next best only those that can be shown at once: the reply must not wait until the web has sent them.
    more = (load_hit(agent, hit, STRIP_SIDE) for hit in event.more if agent.is_at_hand(hit))
    pictures = tuple(load_hit(agent, hit) for hit in event.hits)
    return PicturesFound(pictures, tuple(picture for picture in more if picture.image is not None))


def _carry_index(agent: ChatAgent, index: Path | None, emit: Tell) -> tuple[str, ...]:
    """Opens the index of the model before, else the model's own; what the user should know about it."""
    problems: tuple[str, ...] = ()
    if index is not None:
        try:
            agent.use_index(index, emit)
            return ()
        except FromageError as error:
            problems = (str(error),)
    agent.use_index(None, emit)
    return problems


@contextmanager
def foreseen(what: str) -> Iterator[None]:
    """Lets only errors for the user out: one that nobody foresaw becomes such an error, and its traceback is logged.

    Args:
        what: what has failed then, a sentence without its full stop.
    """
    try:
        yield
    except (FromageError, Abandoned):
        raise
    except Exception as error:
        raise unexpected(what, error) from error
