"""What the chat can do with conversations: list, resume, rename, export, import."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fromage_lite.chat.events import Done, Failed, Notice
from index.pictures.images import one_line, sanitize
from tui.input.attachments import to_path
from tui.input.commands import Key, command
from tui.screens.busy import LOADING
from tui.screens.feature import Feature
from tui.screens.interface import INDEX, TYPED, Outgoing
from tui.sessions.conversation import LAST
from tui.sessions.dialogs import Confirm
from tui.sessions.recording import Kept
from tui.sessions.records import Session, SessionError
from tui.sessions.restore import Drawn, DrawnSearch, DrawnTurn, draft_of, unreadable
from tui.sessions.screen import SessionChoice, SessionsScreen
from tui.widgets.composer import Draft
from tui.widgets.found import Found
from tui.widgets.picture import PictureCard
from tui.widgets.turn import TurnView

DRAWN = 200  # the last turns of a conversation, drawn when it is resumed; all of them are kept and exported
NOT_KEPT = "Conversations aren't saved here (--no-save)."
OPENING = "opening the conversation"
INTERRUPTED = "This reply was interrupted; the model doesn't know of it."


class Sessions(Feature):
    """Conversations that are kept."""

    def open(self) -> None:
        """Begins to keep what is said, and opens the conversation that the app was started with."""
        archive = self.chat.conversation.archive
        if archive is None:
            return
        archive.listener = self._saving_stopped
        archive.start()
        if (first := self.chat.conversation.resume_first) is not None:
            self.chat.start(self._resume_first(first), "resume")

    def _saving_stopped(self, error: SessionError) -> None:
        self.chat.call_later(self._tell_unsaved, error)  # from the archive's thread

    def _tell_unsaved(self, error: SessionError) -> None:
        self.chat.notify(str(error), title="Not saved", severity="warning", timeout=12, markup=False)

    # Resuming ---------------------------------------------------------------------------------------------------

    async def _resume_first(self, which: int | str) -> None:
        archive = self.chat.conversation.archive
        assert archive is not None
        try:
            session = which if isinstance(which, int) else await archive.ask(lambda store: store.latest())
        except SessionError:
            if archive.problem is None:  # else `_saving_stopped` tells it
                raise
            return
        if session is None:
            assert which == LAST
            await self.chat.note("There is no earlier conversation; this is the first.", about=TYPED)
        else:
            await self.resume(session, at_start=True)

    async def resume(self, session: int, *, at_start: bool = False) -> None:
        """Opens a saved conversation in place of the current one; at the start of the app, of nothing but notes."""
        self.sending.check_free()
        if session == self.current_session:
            self.chat.hint("This conversation is open")
        else:
            with self.chat.working(OPENING, beside=LOADING):
                await self._open(*await self.chat.conversation.fetch(session), at_start=at_start)

    async def _open(self, session: Session, ids: Sequence[int] | None, *, at_start: bool = False) -> None:
        conversation = self.chat.conversation
        if conversation.agent is None:  # until then, pictures come from their files alone
            self.sending.after_loading(self._draw_missing)
        note = await conversation.go_on_with(session, ids)
        drawn = await conversation.draw(session.items[-DRAWN:], more=True)
        with self.chat.app.batch_update():
            notes = self.chat.transcript.notes if at_start else []
            await self._redraw(session, drawn, ids)
            for earlier in notes:
                await self.chat.note(earlier.text, earlier.kind, earlier.about)
        self.chat.show_agent()  # another index may be open
        if note:
            await self.chat.note(note, about=INDEX)
        for problem in session.problems:
            await self.chat.note(f"Left out: {problem}.", "warning")

    async def _draw_missing(self) -> None:
        """Draws what the index has a small copy of, now that there is one."""
        cards = self.chat.transcript.query(PictureCard)
        missing = [card.picture for card in cards if card.picture.image is None]
        found = await self.chat.conversation.pictures_again(missing)
        for card in cards if found else ():
            await card.draw_again(found)

    async def _redraw(self, session: Session, drawn: Sequence[Drawn], ids: Sequence[int] | None) -> None:
        chat = self.chat
        await chat.transcript.clear()
        chat.turns.clear()
        chat.left.clear()
        chat.waiting = chat.failed = None
        chat.status.statistics = None
        if hidden := len(session.items) - len(drawn):
            await chat.note(f"{hidden:,} earlier turns are kept but not drawn; /export shows them all.")
        turns = [item.turn for item in drawn if isinstance(item, DrawnTurn)]
        numbers = iter(ids[-len(turns) :] if ids is not None else [])  # those drawn are the last ones
        for number, item in enumerate(drawn, 1):
            if isinstance(item, DrawnSearch):
                search = item.search
                await chat.transcript.add(Found(search.words, item.pictures, chat.mode, like=search.like))
            else:
                await self._redraw_turn(item, Kept(next(numbers, None)), is_last=number == len(drawn))
        if chat.turns and turns[-1].statistics is not None:
            chat.status.statistics = turns[-1].statistics
        chat.hint(f"Opened: {session.info.title}")

    async def _redraw_turn(self, turn: DrawnTurn, kept: Kept, *, is_last: bool) -> None:
        if turn.turn.problem and not turn.parts:
            await self.chat.note(unreadable(turn.turn), "warning")
            return
        view = TurnView(turn.parts, self.chat.mode)
        await self.chat.transcript.add(view)
        for item in turn.items:
            await view.apply(item)
        if turn.turn.reason is not None:
            self.chat.turns.append(view)
            return
        if not turn.turn.problem:
            await self._interrupted(view, turn, is_last=is_last)
        if self.chat.failed is None or self.chat.failed.view is not view:
            self.chat.left[view] = kept

    async def _interrupted(self, view: TurnView, turn: DrawnTurn, *, is_last: bool) -> None:
        """Ends the view of a reply that never ended. The last one can be asked for again, as one that failed."""
        if not is_last:
            await view.apply(Notice(INTERRUPTED))
            await view.apply(Done("", "stop"))
            return
        await view.apply(Failed(SessionError(INTERRUPTED)))
        self.chat.failed = Outgoing(Draft(*draft_of(turn.parts)), turn.turn.message, view)

    # Commands ---------------------------------------------------------------------------------------------------

    @property
    def current_session(self) -> int | None:
        """The number under which the current conversation is kept."""
        return self.chat.conversation.recording.session if self.chat.conversation.recording is not None else None

    @command(
        "sessions",
        "Earlier conversations: open, search, rename, delete",
        argument="[WORDS]",
        aliases=("history", "resume"),
        key=Key("ctrl+l", "Earlier conversations", "sessions"),
    )
    async def sessions(self, argument: str) -> None:
        archive = self.chat.conversation.archive
        if archive is None or (not archive.saves and not archive.path.exists()):
            await self.chat.note(NOT_KEPT, about=TYPED)
        elif archive.problem is not None:
            await self.chat.note_error(archive.problem, about=TYPED)
        else:
            is_busy = bool(self.chat.busy or self.chat.waiting)
            screen = SessionsScreen(archive, self.current_session, argument, is_busy=is_busy)
            await self.chat.app.push_screen(screen, self._chosen)

    def _chosen(self, choice: SessionChoice | None) -> None:
        if choice is not None:
            self.chat.start(self._follow(choice), "resume")

    async def _follow(self, choice: SessionChoice) -> None:
        if choice.current_deleted:  # nothing of it may be written again
            await self.sending.start_anew()
        if choice.session is not None:
            await self.resume(choice.session)

    @command("rename", "Give this conversation a title", argument="TITLE")
    async def rename(self, argument: str) -> None:
        title, archive, session = one_line(argument), self.chat.conversation.archive, self.current_session
        if archive is None or not self.chat.conversation.keeps:
            words = NOT_KEPT if archive is None or archive.problem is None else str(archive.problem)
            await self.chat.note(words, about=TYPED)
        elif not title:
            await self.chat.note("What should it be called? /rename TITLE", about=TYPED)
        elif session is None:
            await self.chat.note("There is nothing to name yet. Say something first.", about=TYPED)
        else:
            await archive.ask(lambda store: store.rename(session, title))
            self.chat.hint(f"Now called: {title}")

    @command("export", "Write this conversation to a .md, .html or .json file", argument="FILE", completes="files")
    async def export(self, argument: str) -> None:
        if not argument:
            await self.chat.note("Where to? /export FILE.md, FILE.html or FILE.json", about=TYPED)
        else:
            self.chat.start(self._export(to_path(argument)), "export")

    async def _export(self, path: Path) -> None:
        from tui.sessions.export import check_target, export

        check_target(path)
        session = await self.chat.conversation.current()
        if not session.turns:
            await self.chat.note("There is nothing to export yet. Say something first.", about=TYPED)
            return
        if path.exists() and not await self._may_replace(path):
            return
        drawn = await self.chat.conversation.draw(session.items)
        await asyncio.to_thread(export, session, drawn, path)
        await self.chat.note(f"Exported to {sanitize(str(path.absolute()))}")

    async def _may_replace(self, path: Path) -> bool:
        question = f"{sanitize(path.name)} exists already. Replace it?"
        return await self.chat.app.push_screen(Confirm(question, "Replace"), wait_for_dismiss=True) is True

    @command("import", "Open a conversation that was exported as .json", argument="FILE.json", completes="files")
    async def import_(self, argument: str) -> None:
        if not argument:
            await self.chat.note("Which file? /import FILE.json, as /export writes it", about=TYPED)
        else:
            self.sending.check_free()
            self.chat.start(self._import(to_path(argument)), "resume")

    async def _import(self, path: Path) -> None:
        from tui.sessions.importing import read_session

        with self.chat.working(OPENING, beside=LOADING):
            session = await asyncio.to_thread(read_session, path)
            archive = self.chat.conversation.archive
            if archive is not None and self.chat.conversation.keeps:
                id = await archive.ask(lambda store: store.add(session))
                kept, ids = await self.chat.conversation.fetch(id)
                await self._open(replace(kept, problems=session.problems), ids)
            else:
                await self._open(session, None)
