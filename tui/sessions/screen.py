"""The list of conversations: newest first, searched as one types."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tui.sessions.archive import Archive
from tui.sessions.dialogs import AskTitle, Confirm
from tui.sessions.records import SessionError
from tui.sessions.search import MARK_OFF, MARK_ON, Match, search

KEYS = "Enter opens · F2 renames · ^D deletes · Esc closes"
KEYS_NARROW = "Enter · F2 name · ^D delete"


@dataclass(frozen=True)
class SessionChoice:
    """What came of the list.

    Attributes:
        session: the conversation to open, or None.
        current_deleted: whether the one that was open has been deleted.
    """

    session: int | None = None
    current_deleted: bool = False


class SessionsScreen(ModalScreen[SessionChoice]):
    """A sheet over the chat.

    Args:
        archive: where the conversations are.
        current: id of the one that is open.
        query: what to search for at first.
        is_busy: whether something is being written to the open one; then it can't be deleted.
    """

    CSS_PATH = "sessions.tcss"
    BINDINGS = [
        Binding("escape", "close", "Close"),
        Binding("up", "move(-1)", "Up", priority=True),
        Binding("down", "move(1)", "Down", priority=True),
        Binding("pageup", "page(-1)", "Page up", priority=True),
        Binding("pagedown", "page(1)", "Page down", priority=True),
        Binding("f2", "rename", "Rename", priority=True),
        Binding("ctrl+d", "delete", "Delete", priority=True),  # in the text field it would delete a character
    ]

    def __init__(self, archive: Archive, current: int | None, query: str = "", *, is_busy: bool = False) -> None:
        super().__init__()
        self._archive, self._current, self._query, self._is_busy = archive, current, query, is_busy
        self._matches: list[Match] = []
        self._current_deleted = False

    def compose(self) -> ComposeResult:
        with Vertical(id="sessions") as sheet:
            sheet.border_title = "Conversations"
            yield Input(self._query, placeholder="Search everything that was said", compact=True, id="query")
            yield Static("", id="none", markup=False)
            yield OptionList(id="found", compact=True)

    def on_mount(self) -> None:
        found = self.query_one(OptionList)
        found.can_focus = False  # the keys go to the search field, which hands on those that move
        self.query_one(Input).focus()

    def on_resize(self) -> None:
        # The rows are cut to the width. The first of these events comes when the sheet has its size.
        self.query_one("#sessions").border_subtitle = KEYS if self.size.width >= 60 else KEYS_NARROW
        self.show_matches(self.query_one(OptionList).highlighted)

    def on_input_changed(self) -> None:
        self.show_matches()

    def on_input_submitted(self) -> None:
        self.query_one(OptionList).action_select()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(SessionChoice(self._matches[event.option_index].info.id, self._current_deleted))

    @work(exclusive=True, group="search")
    async def show_matches(self, keep: int | None = None) -> None:
        """Searches and draws; `keep` is the row to stay on."""
        query = self.query_one(Input).value
        try:
            matches = await self._archive.ask(lambda store: search(store, query))
        except SessionError as error:
            self._say(str(error))
            return
        self._matches = [match for match in matches if match.info.turns or match.info.id == self._current]
        found = self.query_one(OptionList)
        found.clear_options()
        found.add_options([Option(self._row(match)) for match in self._matches])
        if self._matches:
            found.highlighted = min(keep or 0, len(self._matches) - 1)
        if self._matches:
            self._say("")
        else:
            words = query.strip()
            self._say(f"Nothing has “{words}” in it." if words else "No conversation is saved yet.")

    def _say(self, text: str) -> None:
        line = self.query_one("#none", Static)
        line.update(text)
        line.display = bool(text)
        self.query_one(OptionList).display = not text

    def _row(self, match: Match) -> Content:
        info = match.info
        width = max(20, self.query_one("#sessions").content_size.width - 4)  # a blank either side, and the scroll bar
        count = count_turns(info.turns)
        when = date_words(info.updated, datetime.now())
        facts = f"{when} · {count}" if width >= 50 else when
        sign = "● " if info.id == self._current else ""  # the one that is open
        title = Content.assemble((sign, "$primary"), (info.title, "bold")).truncate(
            max(8, width - len(facts) - 2), ellipsis=True
        )
        gap = " " * max(1, width - title.cell_length - len(facts))
        first = Content.assemble(title, gap, (facts, "$foreground 60%"))
        second = marked(match.snippet) if match.snippet else Content.styled(info.preview or "…", "$foreground 70%")
        return Content.assemble(first, "\n", second.truncate(width, ellipsis=True))

    # Keys -------------------------------------------------------------------------------------------------------

    def action_close(self) -> None:
        field = self.query_one(Input)
        if field.value:
            field.value = ""
        else:
            self.dismiss(SessionChoice(None, self._current_deleted))

    def action_move(self, step: int) -> None:
        found = self.query_one(OptionList)
        (found.action_cursor_up if step < 0 else found.action_cursor_down)()

    def action_page(self, step: int) -> None:
        found = self.query_one(OptionList)
        (found.action_page_up if step < 0 else found.action_page_down)()

    @property
    def _highlighted(self) -> tuple[int, Match] | None:
        row = self.query_one(OptionList).highlighted
        return None if row is None or row >= len(self._matches) else (row, self._matches[row])

    @work(group="change")
    async def action_rename(self) -> None:
        if (chosen := self._highlighted) is None or not self._may_write():
            return
        row, match = chosen
        title = await self.app.push_screen(AskTitle(match.info.title), wait_for_dismiss=True)
        if title is not None:
            await self._change(lambda: self._archive.ask(lambda store: store.rename(match.info.id, title)), row)

    @work(group="change")
    async def action_delete(self) -> None:
        if (chosen := self._highlighted) is None or not self._may_write():
            return
        row, match = chosen
        if match.info.id == self._current and self._is_busy:
            self.notify("This conversation is open, and a reply is on its way.", severity="warning", markup=False)
            return
        question = f"Delete “{match.info.title}” ({count_turns(match.info.turns)})? It can't be brought back."
        if await self.app.push_screen(Confirm(question, "Delete"), wait_for_dismiss=True):
            self._current_deleted |= match.info.id == self._current
            await self._change(lambda: self._archive.ask(lambda store: store.delete(match.info.id)), row)

    def _may_write(self) -> bool:
        if not self._archive.saves:
            self.notify("Nothing is changed with --no-save.", severity="warning", markup=False)
        return self._archive.saves

    async def _change(self, change: Callable[[], Awaitable[None]], row: int) -> None:
        try:
            await change()
        except SessionError as error:
            self.notify(str(error), severity="error", markup=False)
        self.show_matches(row)


def count_turns(count: int) -> str:
    """A number of turns in words."""
    return f"{count:,} turn{'s' if count != 1 else ''}"


def marked(snippet: str) -> Content:
    """A snippet with what was searched for underlined and in colour."""
    parts: list[tuple[str, str]] = []
    for piece in snippet.split(MARK_ON):
        found, mark, rest = piece.partition(MARK_OFF)
        if not mark:
            found, rest = "", piece
        parts += [(found, "bold underline $primary"), (rest, "$foreground 70%")]
    return Content.assemble(*(part for part in parts if part[0]))


def date_words(when: float, now: datetime) -> str:
    """A time as people say it: today's hour, this year's day, else the date."""
    then = datetime.fromtimestamp(when)
    if then.date() == now.date():
        return f"{then:%H:%M}"
    if (now.date() - then.date()).days == 1:
        return f"yesterday {then:%H:%M}"
    return f"{then.day} {then:%b}" if then.year == now.year else f"{then.day} {then:%b %Y}"
