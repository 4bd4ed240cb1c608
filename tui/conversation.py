"""The agent and its dialogue, and what the screen may ask of them. Knows no widget and no tensor."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fromage_lite.chat.events import Event, Failed, ImagesFound, Notice
from fromage_lite.errors import FromageError
from index.errors import described
from tui.agent_thread import Abandoned, AgentThread
from tui.pictures.thumbnails import STRIP_SIDE, Picture, load_hit

if TYPE_CHECKING:
    from fromage_lite.chat.agent import Agent
    from fromage_lite.chat.dialogue import Dialogue
    from fromage_lite.chat.turns import Turn
    from fromage_lite.config import GenerationSettings
    from fromage_lite.model.inspection import PatchGrid, TokenMatch
    from fromage_lite.text.message import Segment
    from index.hits import Hit

log = logging.getLogger(__name__)
Result = TypeVar("Result")
Tell = Callable[[str | Notice], None]  # what is being done, or what the user should know about it
LoadAgent = Callable[[Tell], "Agent"]
LoadModel = Callable[[str, Tell], "Agent"]


@dataclass(frozen=True)
class PicturesFound:
    """`ImagesFound` with its pictures ready to draw."""

    pictures: tuple[Picture, ...]
    more: tuple[Picture, ...] = ()


ReplyItem = Event | PicturesFound


class Conversation:
    """The agent and its dialogue, as the screen sees them."""

    def __init__(self, load: LoadAgent, settings: GenerationSettings | None = None) -> None:
        self._load = load
        self._thread = AgentThread()
        self._settings = settings
        self._cancel = threading.Event()
        self.agent: Agent | None = None
        self.dialogue: Dialogue | None = None
        self.model: str | Path | None = None
        self.load_other: LoadModel | None = None
        self.fixed = ""  # why neither model nor index can be changed here
        self.problems: tuple[str, ...] = ()

    @property
    def settings(self) -> GenerationSettings:
        """How replies are made; assigning acts on the next reply."""
        if self._settings is None:
            from fromage_lite.config import GenerationSettings

            self._settings = GenerationSettings()
        return self._settings

    @settings.setter
    def settings(self, settings: GenerationSettings) -> None:
        self._settings = settings
        if self.dialogue is not None:
            self.dialogue.settings = settings

    @property
    def has_turns(self) -> bool:
        """Whether there is anything to undo or to regenerate."""
        return self.dialogue is not None and bool(self.dialogue.turns)

    async def load(self) -> AsyncGenerator[str | Notice, None]:
        """Loads the agent; yields what it is doing, and what the user should know.

        Raises:
            FromageError: it can't be loaded.
        """

        def work(emit: Tell) -> None:
            try:
                agent = self._load(emit)
                dialogue = agent.dialogue(self.settings)
            except (FromageError, Abandoned):
                raise
            except Exception as error:
                raise unexpected("The model could not be loaded", error) from error
            self.agent, self.dialogue = agent, dialogue

        async for text in self._thread.stream(work):
            yield text

    def reply(self, segments: Sequence[Segment]) -> AsyncGenerator[ReplyItem, None]:
        """The events of a reply, ending with Done or Failed."""
        return self._events(lambda dialogue: dialogue.reply(segments, cancel=self._cancel))

    def regenerate(self) -> AsyncGenerator[ReplyItem, None]:
        """The events of another reply to the last message."""
        return self._events(lambda dialogue: dialogue.regenerate(cancel=self._cancel))

    async def _events(self, start: Callable[[Dialogue], Iterator[Event]]) -> AsyncGenerator[ReplyItem, None]:
        agent, dialogue = self._ready()
        self._cancel.clear()

        def work(emit: Callable[[ReplyItem], None]) -> None:
            try:
                for event in start(dialogue):
                    if isinstance(event, ImagesFound):
                        emit(PicturesFound(tuple(load_hit(agent, hit) for hit in event.hits), _more(agent, event.more)))
                    else:
                        emit(event)
            except FromageError as error:
                emit(Failed(error))
            except Abandoned:
                raise
            except Exception as error:
                emit(Failed(unexpected("The reply failed", error)))

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
            patches = agent.patch_grid(path) if hasattr(agent, "patch_grid") else None  # an agent elsewhere has none
            return agent.tokens_near(path, count), patches

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
        as it was."""
        agent, dialogue = self._ready()
        if self.fixed:
            raise FromageError(self.fixed, "Name an index at the start: --index.")

        def work() -> None:
            from fromage_lite.chat.switching import change_index, without_ids

            change_index(agent, None if index == "default" else index, self.model)
            dialogue.turns = without_ids(dialogue.turns)
            dialogue.excluded = set()  # numbers of other pictures now

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
            from fromage_lite.chat.switching import carry_index, without_ids

            try:
                agent = load(model, emit)
                path = before.index_path if before is not None else None
                trouble = carry_index(agent, path, model, emit)
                dialogue = agent.dialogue(self.settings)
                turns = old.turns if old is not None else []
                dialogue.turns = list(turns) if path == agent.index_path else without_ids(turns)
                if old is not None and path == agent.index_path:
                    dialogue.exclude(old.excluded)
            except (FromageError, Abandoned):
                raise
            except Exception as error:
                raise unexpected("The model could not be loaded", error) from error
            self.agent, self.dialogue, self.model = agent, dialogue, model
            self.problems = (trouble,) if trouble else ()

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
        def work() -> Result:
            try:
                return change()
            except FromageError:
                raise
            except Exception as error:
                raise unexpected(trouble, error) from error

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

    def _ready(self) -> tuple[Agent, Dialogue]:
        if self.agent is None or self.dialogue is None:
            raise FromageError("The model isn't loaded yet.")
        return self.agent, self.dialogue


def _more(agent: Agent, hits: Sequence[Hit]) -> tuple[Picture, ...]:
    """The next best pictures that can be shown at once: the reply must not wait until the web has sent them."""
    pictures = (load_hit(agent, hit, STRIP_SIDE) for hit in hits if agent.is_at_hand(hit))
    return tuple(picture for picture in pictures if picture.image is not None)


def unexpected(what: str, error: Exception) -> FromageError:
    """An error for the screen made from one that nobody foresaw; the traceback goes to the log."""
    log.error("%s", what, exc_info=error)
    return FromageError(f"{what}: {described(error)}.")
