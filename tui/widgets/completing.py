"""Completion as one types: what the list offers, and what Enter, Tab, Up and Down do while it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from textual.widgets import TextArea

from tui.input.commands import CommandTable
from tui.input.completion import (
    Choice,
    Query,
    common_beginning,
    complete_command,
    complete_path,
    complete_picture,
    find_query,
)
from tui.pictures.scan import PictureScan
from tui.widgets.completions import Completions


class Completion:
    """Brings the text area and the list together. Folders are read on a thread; what comes too late is dropped.

    Args:
        prompt: where one types.
        choices: the list.
        commands: what a slash begins.
        attach: takes a chosen picture that is to be attached.
    """

    def __init__(
        self, prompt: TextArea, choices: Completions, commands: CommandTable, attach: Callable[[Path], object]
    ) -> None:
        self._prompt, self._list, self._commands, self._attach = prompt, choices, commands, attach
        self._scan = PictureScan()
        self._query: Query | None = None
        self._shown: Query | None = None  # what the list's choices belong to
        self._muted: tuple[str, int] | None = None  # the piece whose list the user has closed
        self._tab: Query | None = None  # Tab came before the choices did
        self._moved = False

    def _find(self) -> Query | None:
        prompt = self._prompt
        if not prompt.selection.is_empty:
            return None
        row, column = prompt.cursor_location
        query = find_query(prompt.document.get_line(row)[:column], self._commands, row)
        return None if query is not None and query.kind == "command" and query.text != prompt.text else query

    def update(self) -> None:
        """The text or the cursor has changed."""
        query = self._find()
        if query == self._query:
            return
        self._query, self._tab = query, None
        if query is None:
            self._muted = None
        if query is None or self._is_muted(query):
            self._close()
        elif query.kind == "command":
            self._show(query, complete_command(query.text, self._commands), 0)
        else:
            self._prompt.run_worker(self._look_up(query), group="completion", exclusive=True)

    async def _look_up(self, query: Query) -> None:
        if query.kind == "picture":
            if not self._list.is_open:
                self._list.wait("looking for pictures …")
            choices = await asyncio.to_thread(lambda: complete_picture(query.text, self._scan.paths()))
        else:
            choices = await asyncio.to_thread(complete_path, query)
        if query != self._query or self._is_muted(query):
            return
        if len(choices) == 1 and choices[0].text == query.text:
            choices = []  # typed in full
        self._show(query, choices, 0 if query.kind == "picture" and query.text else None)
        if self._tab == query:
            self._take(query)

    def _show(self, query: Query, choices: list[Choice], place: int | None) -> None:
        self._shown, self._moved = query, False
        self._list.show(choices, place)

    def _close(self) -> None:
        self._shown = None
        self._list.close()

    def _is_muted(self, query: Query) -> bool:
        return self._muted == (query.kind, query.start)

    def mute(self) -> None:
        """Offers nothing more for the piece at the cursor."""
        self._query = query = self._find()
        self._muted = (query.kind, query.start) if query is not None else None
        self._close()

    def suggestion(self) -> str:
        """The rest of a command that is being typed."""
        return self._commands.complete(self._prompt.text)

    def dismiss(self) -> bool:
        """Closes the list because the user says so; False if there is none."""
        is_open = self._list.has_class("-open")
        if is_open:
            self.mute()
        return is_open

    # Keys -------------------------------------------------------------------------------------------------------

    def move(self, step: int) -> bool:
        """Up or Down; False if there is nothing to choose from."""
        self.update()
        if self._query is None or self._shown != self._query:
            return False
        self._moved = True
        return self._list.move(step)

    def accept_on_enter(self) -> bool:
        """Takes the chosen completion. False if the message is to be sent, with what was taken in it."""
        self.update()
        query, choice = self._query, self._list.chosen
        if query is None or self._shown != query or choice is None:
            return False
        if query.kind == "command" and self._commands.find(query.text[1:].lower()) and not self._moved:
            return False
        self._put(query, choice)
        goes_at_once = choice.runs or (query.kind == "path" and choice.is_whole and not query.closing)
        return not goes_at_once

    def accept_on_tab(self) -> bool:
        """Takes the chosen completion, or what all have in common. False if nothing can be completed here."""
        self.update()
        query = self._query
        if query is None or self._is_muted(query):
            return False
        if self._shown == query:
            return self._take(query) or query.kind != "command"
        self._tab = query
        return True

    def _take(self, query: Query) -> bool:
        choices, choice = self._list.choices, self._list.chosen
        if choice is None and len(choices) > 1:
            common = common_beginning(choices)
            if len(common) > len(query.text) and common.lower().startswith(query.text.lower()):
                self._replace(query, common)
            else:
                self.move(1)
            return True
        if choice is None and not choices:
            return False
        self._put(query, choice or choices[0])
        return True

    def take(self, choice: Choice) -> None:
        """Puts a choice that was clicked into the text, if it still belongs there."""
        if self._shown is not None and self._shown == self._query:
            self._put(self._shown, choice)
            self._prompt.focus()

    def _put(self, query: Query, choice: Choice) -> None:
        if query.kind != "picture":
            self._replace(query, choice.text)
            return
        prompt = self._prompt
        row, column = prompt.cursor_location
        before = prompt.get_text_range((0, 0), (row, query.start))
        if before.strip() and not set(choice.text) & set("<>"):
            self._replace(query, f"<image:{choice.text}> ")
        else:  # nothing said before it: it stands before the words, as an attachment
            self._replace(query, "")
            self._attach(Path(choice.text))

    def _replace(self, query: Query, text: str) -> None:
        prompt = self._prompt
        row, column = prompt.cursor_location
        result = prompt.replace(text, (row, query.start), (row, column))
        prompt.move_cursor(result.end_location)
        self.update()
