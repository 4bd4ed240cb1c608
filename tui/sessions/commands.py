"""What the chat can do with conversations: list, resume, rename, export, import. `ChatScreen` inherits it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from textual.message import Message

from fromage_lite.chat.events import Done, Failed, Notice
from fromage_lite.errors import FromageError
from fromage_lite.text.message import Segment
from index.images import one_line, sanitize
from tui.input.attachments import to_path
from tui.pictures.thumbnails import Picture
from tui.screens.dialogue import STOP_FIRST, Outgoing
from tui.screens.pictures import PictureScreen
from tui.sessions.conversation import LAST, SavedConversation
from tui.sessions.dialogs import Confirm
from tui.sessions.records import Session, SessionError
from tui.sessions.restore import Drawn, DrawnSearch, DrawnTurn, draft_of, unreadable
from tui.sessions.screen import Choice, SessionsScreen
from tui.widgets.composer import Draft
from tui.widgets.found import Found
from tui.widgets.turn import Note, TurnView

DRAWN = 200  # the last turns of a conversation, drawn when it is resumed; all of them are kept and exported
NOT_KEPT = "Conversations aren't saved here (--no-save)."
INTERRUPTED = "This reply was interrupted; the model doesn't know of it."


class SessionCommands(PictureScreen):
    """The dialogue screen with conversations that are kept."""

    conversation: SavedConversation

    _resuming = False

    class SavingStopped(Message):
        """The conversation can't be saved from now on."""

        def __init__(self, error: SessionError) -> None:
            super().__init__()
            self.error = error

    async def on_mount(self) -> None:  # type: ignore[override]  # Textual calls that of every class
        archive = self.conversation.archive
        if archive is None:
            return
        archive.listener = self._saving_stopped
        archive.start()
        if (first := self.conversation.resume_first) is not None:
            self.run_worker(self._resume_first(first), group="resume")

    def _saving_stopped(self, error: SessionError) -> None:
        self.post_message(self.SavingStopped(error))  # from the archive's thread

    def on_session_commands_saving_stopped(self, event: SavingStopped) -> None:
        self.notify(str(event.error), title="Not saved", severity="warning", timeout=12, markup=False)

    # What is on its way is kept too -----------------------------------------------------------------------------

    def submit(self, draft: Draft) -> None:
        if self._resuming:
            self.hint("One moment, the conversation is being opened")
        else:
            super().submit(draft)

    async def _send(self, draft: Draft, segments: tuple[Segment, ...], parts: list[str | Picture]) -> None:
        self.conversation.expect(segments)  # the model may take a while
        await super()._send(draft, segments, parts)

    async def take_back_waiting(self) -> None:
        if self.waiting is not None:
            self.conversation.forget_unfinished()
        await super().take_back_waiting()

    # Resuming ---------------------------------------------------------------------------------------------------

    async def _resume_first(self, which: int | str) -> None:
        archive = self.conversation.archive
        assert archive is not None
        try:
            session = which if isinstance(which, int) else await archive.ask(lambda store: store.latest())
        except SessionError as error:
            if archive.problem is None:
                await self.note_error(error)
            return
        if session is None:
            assert which == LAST
            await self.note("There is no earlier conversation; this is the first.")
        else:
            await self.resume(session)

    async def resume(self, session: int) -> None:
        """Opens a saved conversation in place of the current one."""
        if self.busy in ("replying", "searching") or self.waiting is not None:
            self.hint(STOP_FIRST)
            return
        if session == self.current_session:
            self.hint("This conversation is open")
            return
        try:
            found, ids = await self.conversation.fetch(session)
            await self._open(found, ids)
        except FromageError as error:
            await self.note_error(error)

    async def _open(self, session: Session, ids: Sequence[int] | None) -> None:
        self._resuming = True
        try:
            note = await self.conversation.go_on_with(session, ids)
            drawn = await self.conversation.draw(session.items[-DRAWN:], more=True)
            with self.app.batch_update():
                await self._redraw(session, drawn)
            self.show_agent()  # another index may be open
            if note:
                await self.note(note)
            for problem in session.problems:
                await self.note(f"Left out: {problem}.", "warning")
        finally:
            self._resuming = False

    async def _redraw(self, session: Session, drawn: Sequence[Drawn]) -> None:
        await self.transcript.clear()
        self.turns.clear()
        self.waiting = self.failed = None
        self.status.statistics = None
        if hidden := len(session.items) - len(drawn):
            await self.transcript.add(Note(f"{hidden:,} earlier turns are kept but not drawn; /export shows them all."))
        for number, item in enumerate(drawn, 1):
            if isinstance(item, DrawnSearch):
                search = item.search
                await self.transcript.add(Found(search.words, item.pictures, self.mode, like=search.like))
            else:
                await self._redraw_turn(item, is_last=number == len(drawn))
        turns = [item.turn for item in drawn if isinstance(item, DrawnTurn)]
        if self.turns and turns[-1].statistics is not None:
            self.status.statistics = turns[-1].statistics
        self.hint(f"Opened: {session.info.title}")

    async def _redraw_turn(self, turn: DrawnTurn, *, is_last: bool) -> None:
        if turn.turn.problem and not turn.parts:
            await self.transcript.add(Note(unreadable(turn.turn), "warning"))
            return
        view = TurnView(turn.parts, self.mode)
        await self.transcript.add(view)
        for item in turn.items:
            await view.apply(item)
        if turn.turn.reason is not None:
            self.turns.append(view)
        elif not turn.turn.problem:
            await self._interrupted(view, turn, is_last=is_last)

    async def _interrupted(self, view: TurnView, turn: DrawnTurn, *, is_last: bool) -> None:
        """Ends the view of a reply that never ended. The last one can be asked for again, as one that failed."""
        if not is_last:
            await view.apply(Notice(INTERRUPTED))
            await view.apply(Done("", "stop"))
            return
        await view.apply(Failed(SessionError(INTERRUPTED)))
        self.failed = Outgoing(Draft(*draft_of(turn.parts)), turn.turn.message, view)

    # Commands ---------------------------------------------------------------------------------------------------

    @property
    def current_session(self) -> int | None:
        """The number under which the current conversation is kept."""
        return self.conversation.recording.session if self.conversation.recording is not None else None

    async def action_sessions(self) -> None:
        await self.command_sessions()

    async def command_sessions(self, argument: str = "") -> None:
        archive = self.conversation.archive
        if archive is None or (not archive.saves and not archive.path.exists()):
            await self.note(NOT_KEPT)
        elif archive.problem is not None:
            await self.note_error(archive.problem)
        else:
            screen = SessionsScreen(archive, self.current_session, argument, is_busy=bool(self.busy or self.waiting))
            await self.app.push_screen(screen, self._chosen)

    async def _chosen(self, choice: Choice | None) -> None:
        if choice is None:
            return
        if choice.current_deleted:  # nothing of it may be written again
            await self.run_action("reset")
        if choice.session is not None:
            self.run_worker(self.resume(choice.session), group="resume")

    async def command_rename(self, argument: str) -> None:
        title, archive, session = one_line(argument), self.conversation.archive, self.current_session
        if archive is None or not self.conversation.keeps:
            await self.note(NOT_KEPT if archive is None or archive.problem is None else str(archive.problem))
        elif not title:
            await self.note("What shall it be called? /rename TITLE")
        elif session is None:
            await self.note("There is nothing to name yet. Say something first.")
        else:
            try:
                await archive.ask(lambda store: store.rename(session, title))
            except SessionError as error:
                await self.note_error(error)
            else:
                self.hint(f"Now called: {title}")

    async def command_export(self, argument: str) -> None:
        if not argument:
            await self.note("Where to? /export FILE.md, FILE.html or FILE.json")
        else:
            self.run_worker(self._export(to_path(argument)), group="export")

    async def _export(self, path: Path) -> None:
        from tui.sessions.export import check_target, export

        try:
            check_target(path)
            session = await self.conversation.current()
            if not session.turns:
                await self.note("There is nothing to export yet. Say something first.")
                return
            if path.exists() and not await self._may_replace(path):
                return
            drawn = await self.conversation.draw(session.items)
            await asyncio.to_thread(export, session, drawn, path)
        except FromageError as error:
            await self.note_error(error)
        else:
            await self.note(f"Exported to {sanitize(str(path.absolute()))}")

    async def _may_replace(self, path: Path) -> bool:
        question = f"{sanitize(path.name)} exists already. Replace it?"
        return await self.app.push_screen(Confirm(question, "Replace"), wait_for_dismiss=True) is True

    async def command_import(self, argument: str) -> None:
        if not argument:
            await self.note("Which file? /import FILE.json, as /export writes it")
        elif self.busy in ("replying", "searching") or self.waiting is not None:
            self.hint(STOP_FIRST)
        else:
            self.run_worker(self._import(to_path(argument)), group="resume")

    async def _import(self, path: Path) -> None:
        from tui.sessions.importing import read_session

        try:
            session = await asyncio.to_thread(read_session, path)
            archive = self.conversation.archive
            if archive is not None and self.conversation.keeps:
                id = await archive.ask(lambda store: store.add(session))
                kept, ids = await self.conversation.fetch(id)
                await self._open(replace(kept, problems=session.problems), ids)
            else:
                await self._open(session, None)
        except FromageError as error:
            await self.note_error(error)
