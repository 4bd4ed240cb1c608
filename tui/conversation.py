"""The agent and its dialogue, as the screen uses them. No widget and no tensor here."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from fromage_lite.chat.events import Event, Failed, ImagesFound, Notice
from fromage_lite.chat.protocol import ChatAgent, ChatDialogue
from fromage_lite.chat.request import SearchRequest
from fromage_lite.chat.turns import Turn, without_ids
from fromage_lite.config import PLAYGROUND, GenerationSettings, shipped_name
from fromage_lite.errors import FromageError, unexpected
from fromage_lite.model.inspection import PatchGrid, TokenMatch
from fromage_lite.text.message import Segment
from index.paths import cache_folder
from tui.agent_thread import Abandoned, AgentThread
from tui.model_names import ModelNames
from tui.pictures.thumbnails import STRIP_SIDE, Picture, load_hit

Result = TypeVar("Result")
Tell = Callable[[str | Notice], None]
"""Called with what is being done, or with a notice for the user."""
LoadAgent = Callable[[Tell], ChatAgent]
LoadModel = Callable[[str, Tell], ChatAgent]
DEFAULT_INDEX = "default"  # in place of an index's name: the model's own


@dataclass(frozen=True)
class PicturesFound:
    """`ImagesFound`, with pictures that are ready to draw."""

    pictures: tuple[Picture, ...]
    more: tuple[Picture, ...] = ()


ReplyItem = Event | PicturesFound
StartReply = Callable[[ChatAgent, ChatDialogue], Iterator[Event]]


class Conversation:
    """The agent and its dialogue. Methods return at once or await the agent's thread; none blocks the screen.

    Attributes:
        agent: None until it is loaded.
        dialogue: likewise.
        load_other: loads another model by its name; None if that is not possible here.
        names: what leads back to the models of this run.
        model_path: what answers, as the option `--model` takes it.
        is_model_named: whether the user has named it; it is never changed unasked then.
        fixed: why model and index can't be changed here; empty if they can.
        problems: what the user should know about the index after `use_model`.
    """

    def __init__(self, load: LoadAgent, settings: GenerationSettings | None = None, model: str = PLAYGROUND) -> None:
        self._load = load
        self._thread = AgentThread()
        self._settings = settings or GenerationSettings()
        self._cancel = threading.Event()
        self._can_be_stopped = False  # before the reply begins
        self.agent: ChatAgent | None = None
        self.dialogue: ChatDialogue | None = None
        self.load_other: LoadModel | None = None
        self.names = ModelNames(model)
        self.model_path = model
        self.is_model_named = False
        self.fixed = ""
        self.problems: tuple[str, ...] = ()

    @property
    def sees(self) -> str:
        """The short name of the shipped model that answers, which says what it sees; "" for any other model."""
        return shipped_name(self.model_path) if self.model_path else ""

    @property
    def settings(self) -> GenerationSettings:
        """How replies are made; an assignment takes effect at the next reply."""
        return self._settings

    @settings.setter
    def settings(self, settings: GenerationSettings) -> None:
        self._settings = settings
        if self.dialogue is not None:
            self.dialogue.settings = settings

    async def load(self) -> AsyncGenerator[str | Notice, None]:
        """Loads the agent; yields what it is doing, and notices for the user.

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
        if not self._can_be_stopped:
            self._cancel.clear()
        self._can_be_stopped = False

        def work(emit: Callable[[ReplyItem], None]) -> None:
            try:
                with foreseen("The reply failed"):
                    for event in start(agent, dialogue):
                        emit(_drawable(agent, event))
            except FromageError as error:
                emit(Failed(error))

        async for item in self._thread.stream(work):
            yield item

    async def read_as(self, request: SearchRequest) -> SearchRequest:
        """What to look for as a search reads it: by the settings, with misspelt words as they were meant; by text
        tower, as far as it reads them."""
        agent, _ = self._ready()
        if self.settings.spelling == "off" and request.by != "text-tower":
            return request

        def work() -> SearchRequest:
            terms = tuple(replace(term, segments=agent.read_as(term.segments, request.by)) for term in request.terms)
            return replace(request, terms=terms)

        return await self._guarded("The search failed", work)

    async def search(self, request: SearchRequest, count: int, exclude: Collection[int] = ()) -> tuple[Picture, ...]:
        """The pictures that fit best, without a reply (`count`, unless the request says how many); none of `exclude`,
        and none that the user has hidden."""
        agent, dialogue = self._ready()

        def work() -> tuple[Picture, ...]:
            unwanted = {*exclude, *dialogue.excluded}
            asked = dialogue if request.by == "dialogue" else agent
            hits = asked.look_up(request, count, unwanted, self.settings.spelling)
            return tuple(load_hit(agent, hit) for hit in hits)

        return await self._guarded("The search failed", work)

    async def tokens_near(self, path: str, count: int) -> tuple[list[list[TokenMatch]], PatchGrid | None]:
        """For each visual token of a picture file, the language model's nearest words; and the patches, if the tokens
        are patches."""
        agent, _ = self._ready()

        def work() -> tuple[list[list[TokenMatch]], PatchGrid | None]:
            return agent.tokens_near(path, count), agent.patch_grid(path)

        return await self._guarded("The visual tokens can't be read", work)

    async def pictures_left(self, segments: Sequence[Segment]) -> int:
        """As `ChatDialogue.pictures_left`."""
        _, dialogue = self._ready()
        return await self._guarded("The pictures can't be counted", lambda: dialogue.pictures_left(segments))

    @property
    def hidden(self) -> frozenset[int]:
        """Ids of the pictures that the user does not want to see in this conversation."""
        return frozenset(self.dialogue.excluded) if self.dialogue is not None else frozenset()

    async def hide(self, id: int, hidden: bool) -> None:
        """Hides a picture in this conversation, or shows it again."""
        _, dialogue = self._ready()
        change = dialogue.exclude if hidden else dialogue.include
        await self._guarded("The picture can't be hidden", lambda: change([id]))

    async def use_index(self, index: str) -> None:
        """Switches to another index ("none", "default" or a folder). If it can't be opened, nothing changes.

        Raises:
            FromageError: it can't be opened, or the index can't be changed here.
        """
        agent, dialogue = self._ready()
        if self.fixed:
            raise FromageError(self.fixed, "Name an index at the start: --index.")

        def work() -> None:
            agent.use_index(None if index == DEFAULT_INDEX else index)
            dialogue.turns = without_ids(dialogue.turns)
            dialogue.include(dialogue.excluded)  # in the new index, these ids are other pictures

        await self._guarded("The index can't be opened", work)

    async def use_model(self, model: str) -> AsyncGenerator[str | Notice, None]:
        """Loads another model, which continues the dialogue; yields what it is doing. `problems` then says what the
        user should know about the index.

        Raises:
            FromageError: it can't be loaded; the old model stays.
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
            self.model_path = self.names.find(model)

        async for text in self._thread.stream(work):
            yield text

    async def undo(self) -> Turn | None:
        """Removes the last turn of the dialogue, and returns it."""
        _, dialogue = self._ready()
        return await self._guarded("The last turn can't be removed", dialogue.undo)

    async def reset(self) -> None:
        """Forgets all turns of the dialogue."""
        _, dialogue = self._ready()
        await self._guarded("The dialogue can't be reset", dialogue.reset)

    async def _guarded(self, trouble: str, change: Callable[[], Result]) -> Result:
        """Runs work on the agent's thread; `trouble` is what to tell the user after an unforeseen error."""

        def work() -> Result:
            with foreseen(trouble):
                return change()

        return await self._thread.run(work)

    def get_ready(self) -> None:
        """From now on `stop` stops the next reply, even before it begins."""
        self._cancel.clear()
        self._can_be_stopped = True

    def stop(self) -> None:
        """Stops the reply within one token."""
        self._cancel.set()

    def close(self) -> None:
        """Stops the reply, and the thread as soon as possible."""
        self._cancel.set()
        self._thread.stop()

    @property
    def working(self) -> bool:
        """Whether the thread is busy."""
        return self._thread.working

    def _ready(self) -> tuple[ChatAgent, ChatDialogue]:
        if self.agent is None or self.dialogue is None:
            raise FromageError("The model isn't loaded yet.")
        return self.agent, self.dialogue


def _drawable(agent: ChatAgent, event: Event) -> ReplyItem:
    if not isinstance(event, ImagesFound):
        return event
    # Of the next best, only those at hand: the reply must not wait for the web.
    more = (load_hit(agent, hit, STRIP_SIDE) for hit in event.more if agent.is_at_hand(hit))
    pictures = tuple(load_hit(agent, hit) for hit in event.hits)
    return PicturesFound(pictures, tuple(picture for picture in more if picture.image is not None))


def _carry_index(agent: ChatAgent, index: Path | None, emit: Tell) -> tuple[str, ...]:
    """Opens the old model's index, else keeps the one that the agent has, else opens the new model's own; returns what
    the user should know about it."""
    trouble: FromageError | None = None
    if index is not None:
        try:
            agent.use_index(index, emit)
            return ()
        except FromageError as error:
            trouble = error
    if agent.index_path is None:
        agent.use_index(None, emit)
    if trouble is None or agent.index_size:
        return ()  # each model has its pictures
    if index is not None and cache_folder() in index.parents:
        # Made for a shipped model, so not one for this model to make anew.
        return ("The pictures so far belong to the model before. /index FOLDER opens some that this one can find.",)
    return (str(trouble),)


@contextmanager
def foreseen(what: str) -> Iterator[None]:
    """Turns unforeseen errors into errors for the user, and logs their tracebacks.

    Args:
        what: what has failed, a sentence without its full stop.
    """
    try:
        yield
    except (FromageError, Abandoned):
        raise
    except Exception as error:
        raise unexpected(what, error) from error
