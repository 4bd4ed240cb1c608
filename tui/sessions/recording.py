"""Writes the one dialogue of the app into the store as it goes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fromage_lite.chat.events import Done, Event, Failed, ImagesFound, Statistics, TextDelta
from fromage_lite.chat.turns import ReplyPart, Turn
from fromage_lite.text.message import Segment
from index.search.hits import Hit
from tui.sessions.archive import Archive
from tui.sessions.records import HeldWith, SavedSearch, SavedTurn, Session, absolute
from tui.sessions.store import SessionStore

PAUSE = 1.0  # seconds between two writes of a growing reply: what a kill can cost


@dataclass(frozen=True)
class Unfinished:
    """A turn whose reply has not ended: it is on its way, failed or was interrupted.

    Attributes:
        id: its number in the store.
        message: what was said.
        is_handed_back: whether the message is in the composer again; then the turn is no part of the conversation any
            more, and stays only until something else is said, lest the words are lost.
    """

    id: int
    message: tuple[Segment, ...]
    is_handed_back: bool = False


@dataclass
class Kept:
    """A turn as the store knows it.

    Attributes:
        id: its number; None until it is written. Only the archive's thread sets and reads it.
    """

    id: int | None = None


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
        self.held_with = HeldWith()
        self._pause, self._clock = pause, clock
        self._parts: list[ReplyPart] = []
        self._more: list[tuple[Hit, ...]] = []  # the next best of each search
        self._hidden: tuple[Hit, ...] = ()
        self._written = 0.0
        self._statistics: Statistics | None = None
        self._described = HeldWith()
        self._turns: list[int] = []  # the dialogue's, in its order
        self._searches: tuple[SavedSearch, ...] = ()  # between the turns
        self._open: Unfinished | None = None  # the last turn

    # A reply ----------------------------------------------------------------------------------------------------

    def begin(self, message: Sequence[Segment]) -> Kept:
        """A message was sent. The same once more takes the place of its first attempt."""
        message, created, kept = absolute(message), time.time(), Kept()
        self._parts, self._more, self._statistics, self._written = [], [], None, self._clock()

        def work(store: SessionStore) -> None:
            session = self._existing(store)
            before, self._open = self._open, None
            if before is not None and before.message == message and store.update_turn(before.id, ()):
                kept.id = before.id
                self._open = Unfinished(before.id, message)
                return
            kept.id = store.add_turn(session, SavedTurn(message, created=created))
            self._open = Unfinished(kept.id, message)
            if before is not None and before.is_handed_back:
                store.remove_turn(before.id)

        self.archive.write(work)
        return kept

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
                store.update_turn(self._open.id, parts, more=more)

        self.archive.write(work)

    def finish(self, turn: Turn) -> None:
        """The reply has ended, and the turn is part of the dialogue."""
        statistics, more, self._parts = self._statistics, tuple(self._more), []

        def work(store: SessionStore) -> None:
            id = self._open.id if self._open is not None else None
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
        """The message that waits, or whose reply failed, was taken back for good."""

        def work(store: SessionStore) -> None:
            if self._open is not None:
                id, self._open = self._open.id, None
                self._remove(store, id)

        self.archive.write(work)

    def hand_back(self) -> None:
        """The message that waits, or whose reply failed, is in the composer again and no longer in the transcript."""

        def work(store: SessionStore) -> None:
            if self._open is not None:
                self._open = dataclasses.replace(self._open, is_handed_back=True)

        self.archive.write(work)

    def forget(self, turn: Kept) -> None:
        """A turn that is no part of the dialogue, being interrupted or damaged, was taken out of the conversation."""

        def work(store: SessionStore) -> None:
            if self._open is not None and self._open.id == turn.id:
                self._open = None
            if turn.id is not None:
                self._remove(store, turn.id)

        self.archive.write(work)

    def note_search(self, search: SavedSearch) -> None:
        """Pictures were searched for outside the dialogue. Alone they make no conversation: they wait for the first
        message."""

        def work(store: SessionStore) -> None:
            self._searches = (*self._searches, search)
            if self.session is not None and store.exists(self.session):
                store.add_search(self.session, search)

        self.archive.write(work)

    def hide(self, hidden: Sequence[Hit]) -> None:
        """These pictures are not to be seen in the conversation, and no others."""

        def work(store: SessionStore) -> None:
            before, self._hidden = self._hidden, tuple(hidden)
            if self.session is not None:
                shown = [hit for hit in before if hit not in self._hidden]
                store.hide(self.session, [hit for hit in self._hidden if hit not in before], shown)

        self.archive.write(work)

    def restart(self, hidden: Sequence[Hit] = (), searches: Sequence[SavedSearch] = ()) -> None:
        """The next message begins a new conversation; the old one is kept.

        Args:
            hidden: the pictures that are not to be seen in the new one.
            searches: those in its transcript already.
        """
        self.archive.write(lambda store: self._set(None, [], None, tuple(hidden), tuple(searches)))

    def take_up(self, session: Session, turns: Sequence[int], unfinished: int | None) -> None:
        """A saved conversation goes on.

        Args:
            session: what was said in it.
            turns: ids of its finished turns.
            unfinished: id of its last turn if that is unfinished.
        """
        last = Unfinished(unfinished, session.turns[-1].message) if unfinished is not None else None
        self.archive.write(
            lambda store: self._set(session.info.id, list(turns), last, session.hidden, session.searches)
        )

    def _set(
        self,
        session: int | None,
        turns: list[int],
        unfinished: Unfinished | None,
        hidden: tuple[Hit, ...],
        searches: tuple[SavedSearch, ...],
    ) -> None:
        self.session, self._turns, self._open, self._described = session, turns, unfinished, HeldWith()
        self._hidden, self._searches = hidden, searches

    def _existing(self, store: SessionStore) -> int:
        """The session's id; a new one where there is none yet, or none any more."""
        if self.session is not None and store.exists(self.session):
            return self.session
        # What another app has deleted is not brought back.
        searches = self._searches if self.session is None else ()
        session = store.create(self.held_with.model, self.held_with.index)
        self._set(session, [], None, self._hidden, searches)
        if self._hidden:
            store.hide(session, self._hidden)
        for search in searches:
            store.add_search(session, search)
        self._describe(store)
        return session

    def _remove(self, store: SessionStore, turn: int) -> None:
        store.remove_turn(turn)
        if self.session is not None and not store.exists(self.session):  # it went with its last turn
            self._set(None, [], None, self._hidden, self._searches)

    def _describe(self, store: SessionStore) -> None:
        if self.session is not None and self._described != self.held_with:
            store.describe(self.session, self.held_with)
            self._described = self.held_with
