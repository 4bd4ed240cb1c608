"""A conversation that is kept: what the screen asks of the agent, with everything that comes of it written down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Literal

from fromage_lite.chat.events import Done, Event, ImagesFound, Notice, Statistics
from fromage_lite.chat.protocol import ChatAgent, ChatDialogue
from fromage_lite.chat.turns import Turn
from fromage_lite.choice import lasting_name
from fromage_lite.config import NO_INDEX, PLAYGROUND, GenerationSettings
from fromage_lite.errors import FromageError
from fromage_lite.text.message import Segment
from index.milvus.server import index_name
from index.paths import cache_folder
from index.pictures.images import one_line
from index.search.hits import Hit
from tui.conversation import Conversation, LoadAgent, ReplyItem, StartReply
from tui.pictures.thumbnails import Picture
from tui.sessions.archive import Archive
from tui.sessions.recording import Kept, Recording
from tui.sessions.records import HeldWith, SavedSearch, SavedTurn, Session, SessionInfo
from tui.sessions.restore import Drawn, described, draft_of, draw, hit_pictures, known_ids, parts_of, turns_for

LAST: Literal["last"] = "last"


class SavedConversation(Conversation):
    """One conversation at a time, each kept in the archive.

    Args:
        load, settings, model: as for `Conversation`.
        archive: where conversations are kept; None keeps nothing and has no earlier ones.
        resume: id of the conversation to begin with, "last", or None for a new one.

    Attributes:
        kept: the last message that was sent, as the store knows it; None before the first, and where nothing is kept.
        taken_over_note: what the user should know, once the model is there, of a conversation resumed before.
        is_index_named: whether the user has named an index at the start; that one stays when a conversation is resumed.
    """

    def __init__(
        self,
        load: LoadAgent,
        settings: GenerationSettings | None = None,
        archive: Archive | None = None,
        resume: int | Literal["last"] | None = None,
        model: str = PLAYGROUND,
    ) -> None:
        super().__init__(load, settings, model)
        self.archive = archive
        self.recording = Recording(archive) if archive is not None else None
        self.resume_first = resume
        self._is_first = resume is not None
        self.kept: Kept | None = None
        self.taken_over_note = ""
        self.is_index_named = False
        self._resumed: Session | None = None  # for the dialogue that is there once the model is
        self._taken_over: Session | None = None  # that the dialogue has
        self._noted: set[int] = set()  # hidden pictures that the recording knows of
        self._regenerating = False
        self._expected: tuple[Segment, ...] | None = None  # the message that has no reply yet

    @property
    def keeps(self) -> bool:
        """Whether what is said now is saved."""
        return self.archive is not None and self.archive.saves and self.archive.problem is None

    # What is said, written down ---------------------------------------------------------------------------------

    async def load(self) -> AsyncGenerator[str | Notice, None]:
        async for text in super().load():
            yield text
        self.taken_over_note = await self._take_over()

    def expect(self, message: Sequence[Segment]) -> None:
        """A message was sent, though its reply may have to wait for the model."""
        self._expected = tuple(message)
        if self.recording is not None:
            self.kept = self.recording.begin(message)

    def reply(self, segments: Sequence[Segment]) -> AsyncGenerator[ReplyItem, None]:
        self._regenerating = False
        if self._expected != tuple(segments):  # a message that failed is tried again
            self.expect(segments)
        self._expected = None
        return super().reply(segments)

    def regenerate(self) -> AsyncGenerator[ReplyItem, None]:
        self._regenerating = True
        return super().regenerate()

    def _events(self, start: StartReply) -> AsyncGenerator[ReplyItem, None]:
        again = self._regenerating
        return super()._events(lambda agent, dialogue: self._recorded(agent, dialogue, start(agent, dialogue), again))

    def _recorded(
        self, agent: ChatAgent, dialogue: ChatDialogue, events: Iterator[Event], again: bool
    ) -> Iterator[Event]:
        """The events, on the agent's thread, where they are whole: pictures still have their numbers."""
        recording = self.recording
        if recording is None:
            yield from events
            return
        recording.held_with = self._held_with(agent)
        self._note_hidden(agent, dialogue)  # another index or model has other pictures
        statistics: Statistics | None = None
        more: list[tuple[Hit, ...]] = []
        for event in events:
            if not again:
                if isinstance(event, Done):
                    recording.finish(dialogue.turns[-1])
                else:
                    recording.hear(event)
            # Until another reply is whole, the one before stays, as it does in the dialogue.
            elif isinstance(event, Done):
                recording.replace(dialogue.turns[-1], statistics, more)
            elif isinstance(event, Statistics):
                statistics = event
            elif isinstance(event, ImagesFound):
                more.append(event.more)
            yield event

    async def undo(self) -> Turn | None:
        turn = await super().undo()
        if turn is not None and self.recording is not None:
            self.recording.undo()
        return turn

    async def hide(self, id: int, hidden: bool) -> None:
        await super().hide(id, hidden)
        agent, dialogue = self._ready()
        await self._guarded("It can't be noted", lambda: self._note_hidden(agent, dialogue))

    def _note_hidden(self, agent: ChatAgent, dialogue: ChatDialogue) -> None:
        if self.recording is not None and dialogue.excluded != self._noted:
            self._noted = set(dialogue.excluded)
            self.recording.hide(described(agent, dialogue.excluded))

    def forget_unfinished(self) -> None:
        """The message without a whole reply was taken back for good."""
        if self.recording is not None:
            self.recording.forget_unfinished()

    def hand_back(self) -> None:
        """The message without a whole reply is in the composer again, and gone from the transcript. Until something
        else is said it is kept, so that leaving the app doesn't lose it."""
        if self.recording is not None:
            self.recording.hand_back()

    def forget(self, turn: Kept) -> None:
        """An interrupted or damaged turn, which the dialogue doesn't have, was taken out of the conversation."""
        if self.recording is not None:
            self.recording.forget(turn)

    async def draft_of(self, message: Sequence[Segment]) -> tuple[str, tuple[Picture, ...]]:
        """A message that was taken back, as the composer has it: the words, and the pictures attached before them."""
        return draft_of(await asyncio.to_thread(parts_of, message))

    def note_search(self, words: str, pictures: Sequence[Picture], *, like: bool = False) -> None:
        """The pictures of a search were drawn in the transcript, and belong to the conversation from now on.

        Args:
            words: what was looked for; the caption if `like`.
            pictures: what was found, as `search` returned it.
            like: whether they were searched for with a found picture.
        """
        if self.recording is not None:
            hits = tuple(picture.hit for picture in pictures if picture.hit is not None)
            self.recording.note_search(SavedSearch(words, hits, like, time.time()))

    def start_anew(self) -> None:
        """What is said next is another conversation."""
        self._resumed, self._noted = None, set()
        if self.recording is not None:
            self.recording.restart()

    def close(self) -> None:
        super().close()
        if self.recording is not None and self.archive is not None:
            if not self._regenerating:
                self.recording.flush()
            self.archive.close()

    # Earlier conversations --------------------------------------------------------------------------------------

    async def fetch(self, session: int) -> tuple[Session, list[int]]:
        """A saved conversation, and the ids of its turns.

        Raises:
            SessionError: there is none, or it can't be read.
        """
        assert self.archive is not None
        return await self.archive.ask(lambda store: store.load(session))

    async def draw(self, items: Sequence[SavedTurn | SavedSearch], *, more: bool = False) -> list[Drawn]:
        """Turns and searches with their pictures, read again.

        Args:
            items: as `Session.items` has them, or some of them.
            more: for the screen, with the next best pictures of the last turns.
        """
        agent = self.agent

        def work() -> list[Drawn]:
            return draw(agent, items, more=more)

        # An index is read on the agent's thread only; that one is busy as long as there is no agent.
        return await (asyncio.to_thread(work) if agent is None else self._thread.run(work))

    async def pictures_again(self, pictures: Sequence[Picture]) -> dict[Picture, Picture]:
        """Found pictures that could not be drawn without the index, by now from the index; those that it has."""
        agent, _ = self._ready()

        def work() -> dict[Picture, Picture]:
            again = {p: hit_pictures(agent, [p.hit])[0] for p in pictures if p.hit is not None and p.image is None}
            return {before: picture for before, picture in again.items() if picture.image is not None}

        return await self._guarded("The pictures can't be drawn", work)

    async def go_on_with(self, session: Session, ids: Sequence[int] | None) -> str:
        """Makes a saved conversation the current one; the model reads it at the next reply. The index that it was held
        with is opened again.

        Args:
            session: what was said.
            ids: its turns' ids in the store; None if it isn't kept there.

        Returns:
            What the user should know: which index or model it goes on with, if not with the present ones. Empty if
            there is nothing to say, or the model isn't loaded yet; then `load` tells it.
        """
        self._resumed = session
        note = await self._take_over() if self.agent is not None else ""
        if self.recording is None:
            return note
        if ids is None:
            self.recording.restart(session.hidden, session.searches)
            return note
        done = [id for id, turn in zip(ids, session.turns, strict=True) if turn.reason is not None]
        last = session.turns[-1] if session.turns else None
        is_unfinished = last is not None and last.reason is None and not last.problem
        self.kept = Kept(ids[-1]) if is_unfinished else None
        self.recording.take_up(session, done, ids[-1] if is_unfinished else None)
        return note

    async def _take_over(self) -> str:
        """Hands the resumed conversation, if there is one, to the agent; what the user should know of it."""
        session, agent = self._resumed, self.agent
        if session is None or agent is None or session is self._taken_over:
            return ""
        self._taken_over = session  # the model may come while the conversation is being opened
        note = await self._follow(agent, session.info)

        def work() -> ChatDialogue:
            dialogue = agent.dialogue(self.settings)
            dialogue.turns = turns_for(agent, [turn.as_turn for turn in session.finished().turns])
            dialogue.exclude(known_ids(agent, session.hidden))
            self._noted = set(dialogue.excluded)
            return dialogue

        self.dialogue = await self._guarded("The conversation can't be resumed", work)
        return note

    async def _follow(self, agent: ChatAgent, info: SessionInfo) -> str:
        """Opens the index that a conversation was held with; what the user should know of it. At the start of the app
        that is in any case where pictures come from."""
        held = self._held_with(agent)
        is_first, self._is_first = self._is_first, False
        here = one_line(_pictures_of(agent)) if is_first else ""
        if info.model and info.model != one_line(held.model):
            back = f" /model {info.model_path} brings it back." if info.model_path and not self.fixed else ""
            other = f"This conversation was held with the model {info.model}; {one_line(held.model)} goes on.{back}"
            return f"{other} {here}".rstrip()
        if self.fixed or self.is_index_named or info.index_path in ("", held.index_path):
            return here
        try:
            await self.use_index(info.index_path)
        except FromageError as error:
            return f"The index of this conversation can't be opened: {error}"
        if info.index_path == NO_INDEX:
            return "This conversation was held without an index. /index default opens the model's own."
        return f"Pictures come from the index of this conversation, {info.index_path}."

    def _held_with(self, agent: ChatAgent) -> HeldWith:
        if agent.index_path is not None:
            index, index_path = agent.index_path.name, index_name(agent.index_path)
        else:
            index, index_path = "", "" if agent.index_size else NO_INDEX
        return HeldWith(agent.model_name, index, lasting_name(self.model_path), index_path)

    async def current(self) -> Session:
        """The conversation so far, from the archive or, where it isn't kept, from the dialogue."""
        if self.archive is not None and self.recording is not None and self.keeps:
            recording = self.recording
            # The number is asked for on the archive's thread, after everything that was said before.
            found = await self.archive.ask(
                lambda store: store.load(recording.session)[0] if recording.session is not None else None
            )
            if found is not None:
                return found
        if self.dialogue is not None:
            saved = tuple(SavedTurn.from_turn(turn) for turn in self.dialogue.turns)
        else:
            saved = self._resumed.finished().turns if self._resumed is not None else ()
        return Session(SessionInfo(0, "", 0.0, 0.0, turns=len(saved)), saved)


def _pictures_of(agent: ChatAgent) -> str:
    """Where an agent's pictures come from, in a sentence; empty where nobody knows."""
    if not agent.index_size:
        return "There is no index, so replies come without pictures."
    if agent.index_path is None:
        return ""
    if cache_folder() in agent.index_path.parents:
        return f"Pictures come from the model's own index, {agent.index_size:,}."
    return f"Pictures come from the index {index_name(agent.index_path)}, {agent.index_size:,}."
