"""Writes the one dialogue of the app into the store as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from fromage_lite.chat.events import Done, Event, Failed, ImagesFound, Statistics, TextDelta
from fromage_lite.chat.turns import ReplyPart, Turn
from fromage_lite.text.message import Segment
from index.hits import Hit
from tui.sessions.archive import Archive
from tui.sessions.records import SavedTurn, absolute
from tui.sessions.store import SessionStore

PAUSE = 1.0  # seconds between two writes of a growing reply: what a kill can cost


class Recording:
    """Mirrors a dialogue: begin, hear, finish; regenerate, undo, reset.

    Its methods return at once. What they queue runs on the archive's thread, and only there the numbers of sessions
    and turns are touched.

    Args:
        archive: where to write.
        pause: seconds between two writes of a growing reply.
        clock: seconds, never going back.
    """

    def __init__(self, archive: Archive, pause: float = PAUSE, clock: Callable[[], float] = time.monotonic) -> None:
        self.archive = archive
        self.session: int | None = None  # None until something was said
        self.held_with = ("", "")  # names of model and index
        self._pause, self._clock = pause, clock
        self._parts: list[ReplyPart] = []
        self._more: list[tuple[Hit, ...]] = []  # the next best of each search
        self._hidden: tuple[Hit, ...] = ()
        self._written = 0.0
        self._statistics: Statistics | None = None
        self._described = ("", "")
        self._turns: list[int] = []  # the dialogue's, in its order
        self._open: tuple[int, tuple[Segment, ...]] | None = None  # the unfinished turn at the end

    # A reply ----------------------------------------------------------------------------------------------------

    def begin(self, message: Sequence[Segment]) -> None:
        """A message was sent. The same once more takes the place of its first attempt."""
        message, created = absolute(message), time.time()
        self._parts, self._more, self._statistics, self._written = [], [], None, self._clock()

        def work(store: SessionStore) -> None:
            session = self._existing(store)
            again = self._open is not None and self._open[1] == message
            if not again or self._open is None or not store.update_turn(self._open[0], ()):
                self._open = store.add_turn(session, SavedTurn(message, created=created)), message

        self.archive.write(work)

    def hear(self, event: Event) -> None:
        """An event of the reply; its words are written now and then."""
        if isinstance(event, Statistics):
            self._statistics = event
        elif isinstance(event, ImagesFound):
            self._parts.append(event.hits)
            self._more.append(event.more)
            self.flush()
        elif isinstance(event, TextDelta):
            if self._parts and isinstance(last := self._parts[-1], str):
                self._parts[-1] = last + event.text
            else:
                self._parts.append(event.text)
            if self._clock() - self._written >= self._pause:
                self.flush()
        elif isinstance(event, Failed | Done):
            self.flush()

    def flush(self) -> None:
        """Writes what was said so far."""
        if not self._parts:
            return
        parts, more, self._written = tuple(self._parts), tuple(self._more), self._clock()

        def work(store: SessionStore) -> None:
            if self._open is not None:
                store.update_turn(self._open[0], parts, more=more)

        self.archive.write(work)

    def finish(self, turn: Turn) -> None:
        """The reply has ended, and the turn is part of the dialogue."""
        statistics, more, self._parts = self._statistics, tuple(self._more), []

        def work(store: SessionStore) -> None:
            id = self._open[0] if self._open is not None else None
            if id is None or not store.update_turn(id, turn.reply, turn.reason, statistics, more):
                saved = SavedTurn(absolute(turn.message), turn.reply, turn.reason, 0.0, statistics, more)
                id = store.add_turn(self._existing(store), saved)  # another app has deleted it meanwhile
            self._open = None
            self._turns.append(id)
            self._describe(store)

        self.archive.write(work)

    def replace(self, turn: Turn, statistics: Statistics | None = None, more: Sequence[tuple[Hit, ...]] = ()) -> None:
        """The last reply was regenerated; until now the old one was kept."""

        def work(store: SessionStore) -> None:
            if self._turns:
                store.update_turn(self._turns[-1], turn.reply, turn.reason, statistics, more)

        self.archive.write(work)

    # The dialogue -----------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """The last turn of the dialogue was taken back."""

        def work(store: SessionStore) -> None:
            if self._turns:
                self._remove(store, self._turns.pop())

        self.archive.write(work)

    def forget_unfinished(self) -> None:
        """The message that waits, or whose reply failed, was taken back."""

        def work(store: SessionStore) -> None:
            if self._open is not None:
                (id, _), self._open = self._open, None
                self._remove(store, id)

        self.archive.write(work)

    def hide(self, hidden: Sequence[Hit]) -> None:
        """These pictures are not to be seen in the conversation, and no others."""

        def work(store: SessionStore) -> None:
            self._hidden = tuple(hidden)
            if self.session is not None:
                store.hide(self.session, self._hidden)

        self.archive.write(work)

    def restart(self) -> None:
        """The next message begins a new conversation; the old one is kept."""
        self.archive.write(lambda store: self._set(None, [], None))

    def take_up(
        self,
        session: int,
        turns: Sequence[int],
        unfinished: tuple[int, tuple[Segment, ...]] | None,
        hidden: Sequence[Hit] = (),
    ) -> None:
        """A saved conversation goes on.

        Args:
            session: its id.
            turns: ids of its finished turns.
            unfinished: id and message of an unfinished last turn.
            hidden: the pictures that are not to be seen in it.
        """
        self.archive.write(lambda store: self._set(session, list(turns), unfinished, tuple(hidden)))

    def _set(
        self,
        session: int | None,
        turns: list[int],
        unfinished: tuple[int, tuple[Segment, ...]] | None,
        hidden: tuple[Hit, ...] = (),
    ) -> None:
        self.session, self._turns, self._open, self._described = session, turns, unfinished, ("", "")
        self._hidden = hidden

    def _existing(self, store: SessionStore) -> int:
        """The session's id; a new one where there is none yet, or none any more."""
        if self.session is None or not store.exists(self.session):
            self._set(store.create(*self.held_with), [], None, self._hidden)
            self._described = self.held_with
            if self._hidden and self.session is not None:
                store.hide(self.session, self._hidden)
        assert self.session is not None
        return self.session

    def _remove(self, store: SessionStore, turn: int) -> None:
        store.remove_turn(turn)
        if self.session is not None and not store.exists(self.session):
            self._set(None, [], None, self._hidden)

    def _describe(self, store: SessionStore) -> None:
        if self.session is not None and self._described != self.held_with:
            store.describe(self.session, *self.held_with)
            self._described = self.held_with
