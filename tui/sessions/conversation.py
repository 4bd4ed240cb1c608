"""A conversation that is kept: what the screen asks of the agent, with everything that comes of it written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Literal

from fromage_lite.chat.events import Done, Event, ImagesFound, Notice, Statistics
from fromage_lite.chat.protocol import ChatAgent, ChatDialogue
from fromage_lite.chat.turns import Turn
from fromage_lite.config import GenerationSettings
from fromage_lite.text.message import Segment
from index.hits import Hit
from tui.conversation import Conversation, LoadAgent, ReplyItem, StartReply
from tui.sessions.archive import Archive
from tui.sessions.recording import Recording
from tui.sessions.records import SavedTurn, Session, SessionInfo
from tui.sessions.restore import DrawnTurn, described, draw_turn, draw_turns, known_ids, turns_for

LAST: Literal["last"] = "last"


class SavedConversation(Conversation):
    """One conversation at a time, each kept in the archive.

    Args:
        load, settings: as for `Conversation`.
        archive: where conversations are kept; None keeps nothing and has no earlier ones.
        resume: id of the conversation to begin with, "last", or None for a new one.
    """

    def __init__(
        self,
        load: LoadAgent,
        settings: GenerationSettings | None = None,
        archive: Archive | None = None,
        resume: int | Literal["last"] | None = None,
    ) -> None:
        super().__init__(load, settings)
        self.archive = archive
        self.recording = Recording(archive) if archive is not None else None
        self.resume_first = resume
        self._resumed: list[Turn] = []  # for the dialogue that is there once the model is
        self._resumed_hidden: tuple[Hit, ...] = ()
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
        if self._resumed or self._resumed_hidden:
            await self._take_over(self._resumed, self._resumed_hidden)

    def expect(self, message: Sequence[Segment]) -> None:
        """A message was sent, though its reply may have to wait for the model."""
        self._expected = tuple(message)
        if self.recording is not None:
            self.recording.begin(message)

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
        recording.held_with = (agent.model_name, agent.index_path.name if agent.index_path is not None else "")
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
        """The message without a whole reply was taken back."""
        if self.recording is not None:
            self.recording.forget_unfinished()

    def start_anew(self) -> None:
        """What is said next is another conversation."""
        self._resumed, self._resumed_hidden, self._noted = [], (), set()
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

    async def draw(self, turns: Sequence[SavedTurn], *, more: bool = False) -> list[DrawnTurn]:
        """Turns with their pictures, read again; for the screen (`more`) with the next best ones of the last turns."""
        agent = self.agent

        def work() -> list[DrawnTurn]:
            return draw_turns(agent, turns) if more else [draw_turn(agent, turn) for turn in turns]

        # An index is read on the agent's thread only; that one is busy as long as there is no agent.
        return await (asyncio.to_thread(work) if agent is None else self._thread.run(work))

    async def go_on_with(self, session: Session, ids: Sequence[int] | None) -> None:
        """Makes a saved conversation the current one; the model reads it at the next reply.

        Args:
            session: what was said.
            ids: its turns' ids in the store; None if it isn't kept there.
        """
        finished = [turn.as_turn for turn in session.turns if turn.reason is not None]
        self._resumed, self._resumed_hidden = finished, session.hidden
        if self.agent is not None:
            await self._take_over(finished, session.hidden)
        if self.recording is None:
            return
        if ids is None:
            self.recording.restart()
            self.recording.hide(session.hidden)
            return
        done = [id for id, turn in zip(ids, session.turns, strict=True) if turn.reason is not None]
        last = session.turns[-1] if session.turns else None
        unfinished = (ids[-1], last.message) if last is not None and last.reason is None else None
        self.recording.take_up(session.info.id, done, unfinished, session.hidden)

    async def _take_over(self, turns: Sequence[Turn], hidden: Sequence[Hit]) -> None:
        agent, _ = self._ready()

        def work() -> ChatDialogue:
            dialogue = agent.dialogue(self.settings)
            dialogue.turns = turns_for(agent, turns)
            dialogue.exclude(known_ids(agent, hidden))
            self._noted = set(dialogue.excluded)
            return dialogue

        self.dialogue = await self._guarded("The conversation can't be resumed", work)

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
        turns = self.dialogue.turns if self.dialogue is not None else self._resumed
        saved = tuple(SavedTurn.from_turn(turn) for turn in turns)
        return Session(SessionInfo(0, "", 0.0, 0.0, turns=len(saved)), saved)
