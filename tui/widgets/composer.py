"""Where messages are written: a text area that grows, chips for attached pictures, completion, earlier prompts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.cells import cell_len, set_cell_size
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import HorizontalScroll, Vertical
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static, TextArea
from textual.widgets.text_area import Location, Selection

from tui.input.attachments import dropped_paths
from tui.input.commands import CommandTable
from tui.input.graphemes import grapheme_at, snap
from tui.input.prompt_history import PromptHistory
from tui.pictures.thumbnails import Picture
from tui.widgets.completing import Completion
from tui.widgets.completions import Completions

CHIP_WIDTH = 32  # columns within its padding


@dataclass(frozen=True)
class Draft:
    """What was in the composer when it was sent, so that it can be handed back."""

    text: str
    pictures: tuple[Picture, ...] = ()


class PromptArea(TextArea):
    BINDINGS = [
        Binding("enter", "submit", "Send the message", id="send"),
        Binding("ctrl+j,shift+enter,alt+enter", "newline", "New line", id="newline", key_display="^J"),
        Binding("up", "back", "Earlier prompt (on the first line)", id="earlier"),
        Binding("down", "forward", "Later prompt (on the last line)", id="later"),
        Binding("tab", "complete", "Complete a command, a path or @picture; or try an example", id="complete"),
        Binding("backspace", "erase", "At the very beginning: remove the last picture", id="erase"),
        Binding("ctrl+v", "paste_clipboard", "Paste a picture or text from the clipboard", id="paste"),
        Binding("ctrl+u", "clear", "Clear the whole draft; ↑ brings its words back", id="clear"),
        Binding("ctrl+underscore", "undo", "Undo the last change of the text", id="undo-typing"),
    ]

    class Submitted(Message):
        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Dropped(Message):
        """Paths of pictures were pasted, or dropped onto the terminal."""

        def __init__(self, paths: list[Path]) -> None:
            super().__init__()
            self.paths = paths

    class ErasedAtStart(Message):
        """Backspace with nothing before the cursor."""

    class ExampleWanted(Message):
        """Tab in an empty composer."""

    class Cleared(Message):
        """The whole draft is to go, pictures too."""

    class PasteWanted(Message):
        """The clipboard is asked for, not a paste that the terminal made."""

    class PageWanted(Message):
        """Page Up (-1) or Page Down (1), which move the transcript."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    completion: Completion
    """Set by the composer before anything can be typed."""

    def __init__(self, history: PromptHistory) -> None:
        super().__init__(
            id="prompt",
            soft_wrap=True,
            tab_behavior="focus",
            show_line_numbers=False,
            compact=True,
            highlight_cursor_line=False,
            placeholder="Say something, or drop a picture",
        )
        self._earlier_prompts = history

    def fill(self, text: str) -> None:
        """Replaces the text; the cursor goes to its end."""
        self.load_text(text)
        self.move_cursor(self.document.end)

    def action_submit(self) -> None:
        if not self.completion.accept_on_enter():
            self.post_message(self.Submitted(self.text))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "redo"  # its key copies the reply

    def action_clear(self) -> None:
        self._earlier_prompts.add(self.text)
        self.fill("")
        self.post_message(self.Cleared())

    def action_paste_clipboard(self) -> None:
        self.post_message(self.PasteWanted())

    def action_newline(self) -> None:
        self.insert("\n")

    def action_back(self) -> None:
        if self.completion.move(-1):
            return
        if not self.navigator.is_first_wrapped_line(self.cursor_location) or not self._recall(-1):
            self.action_cursor_up()

    def action_forward(self) -> None:
        if self.completion.move(1):
            return
        if not self.navigator.is_last_wrapped_line(self.cursor_location) or not self._recall(1):
            self.action_cursor_down()

    def _recall(self, step: int) -> bool:
        prompt = self._earlier_prompts.move(step, self.text)
        if prompt is not None:
            self.fill(prompt)
            self.completion.mute()  # else the next Up would choose from a list
        return prompt is not None

    def action_complete(self) -> None:
        if self.completion.accept_on_tab():
            return
        if self.suggestion:
            self.insert(self.suggestion)
        elif not self.text:
            self.post_message(self.ExampleWanted())
        else:
            self.screen.focus_next()

    def action_erase(self) -> None:
        if self.cursor_location == (0, 0) and self.selection.is_empty:
            self.post_message(self.ErasedAtStart())
        else:
            self.action_delete_left()

    # The cursor stands between graphemes, never in one -------------------------------------------------------------

    def get_cursor_left_location(self) -> Location:
        row, column = self.cursor_location
        if not column:
            return super().get_cursor_left_location()
        return row, grapheme_at(self.document.get_line(row), column - 1)[0]

    def get_cursor_right_location(self) -> Location:
        row, column = self.cursor_location
        line = self.document.get_line(row)
        return (row, grapheme_at(line, column)[1]) if column < len(line) else super().get_cursor_right_location()

    def get_cursor_word_left_location(self) -> Location:
        return self._snapped(super().get_cursor_word_left_location())

    def get_cursor_word_right_location(self) -> Location:
        return self._snapped(super().get_cursor_word_right_location())

    def validate_selection(self, selection: Selection) -> Selection:
        return Selection(self._snapped(selection.start), self._snapped(selection.end))

    def _snapped(self, location: Location) -> Location:
        row, column = location
        return row, snap(self.document.get_line(row), column) if row < self.document.line_count else column

    def action_cursor_page_up(self) -> None:
        self.post_message(self.PageWanted(-1))

    def action_cursor_page_down(self) -> None:
        self.post_message(self.PageWanted(1))

    def update_suggestion(self) -> None:
        # Shown behind the cursor, so only where that is the end of the text.
        self.suggestion = self.completion.suggestion() if self.cursor_location == self.document.end else ""

    async def _on_key(self, event: events.Key) -> None:
        # Left to itself, a bound key acts when it has bubbled up to the app, after characters typed later. And the
        # screen knows no keys of a widget that has lost the focus meanwhile, as when a browser's page does: Enter
        # would be a new line.
        bindings = self._bindings.copy()
        bindings.apply_keymap(self.app._keymap)  # as the user's config file has it
        for binding in bindings.key_to_bindings.get(event.key, ()):
            if await self.app.run_action(binding.action, self):
                event.prevent_default()
                event.stop()
                return

    async def _on_paste(self, event: events.Paste) -> None:
        if paths := dropped_paths(event.text):
            event.prevent_default()
            event.stop()
            self.post_message(self.Dropped(paths))


class Chip(Static, can_focus=True):
    """An attached picture; Delete or a click takes it off."""

    DEFAULT_CSS = """
    Chip:focus {
        text-style: bold underline;
    }
    """
    BINDINGS = [Binding("delete,backspace,enter", "take_off", "Remove this picture", id="remove-picture")]

    class TakenOff(Message):
        """The user doesn't want this picture any more."""

        def __init__(self, picture: Picture) -> None:
            super().__init__()
            self.picture = picture

    def __init__(self, number: int, picture: Picture) -> None:
        before, after = f"[Image #{number}] ", " ✕"
        name = shortened(picture.caption, CHIP_WIDTH - len(before) - len(after))
        super().__init__(f"{before}{name}{after}", markup=False, classes="chip")
        self.picture = picture

    def on_click(self) -> None:
        self.action_take_off()

    def action_take_off(self) -> None:
        self.post_message(self.TakenOff(self.picture))


def shortened(name: str, width: int) -> str:
    """A name cut in its middle to so many columns; a file's ending stays."""
    if cell_len(name) <= width:
        return name
    left, right = width - 1 - width // 3, width // 3
    end = name
    while cell_len(end) > right:
        end = end[1:]
    return f"{set_cell_size(name, left).rstrip()}…{end}"


class Composer(Vertical):
    """The text area with its chips, in a frame that says what Enter and Escape do now."""

    pictures: reactive[tuple[Picture, ...]] = reactive((), init=False)

    class Submitted(Message):
        """Something to say, or a command."""

        def __init__(self, draft: Draft) -> None:
            super().__init__()
            self.draft = draft

    class Changed(Message):
        """The draft is another: its words or its pictures."""

    class PictureChosen(Message):
        """A picture from the list, to be attached."""

        def __init__(self, path: Path) -> None:
            super().__init__()
            self.path = path

    def __init__(self, commands: CommandTable, history: PromptHistory, *, id: str | None = None) -> None:
        """
        Args:
            commands: what can be completed after a slash.
            history: earlier prompts.
            id: of the widget.
        """
        super().__init__(id=id)
        self._earlier_prompts = history
        self._handed_back: Draft | None = None
        self._choices, self._prompt = Completions(), PromptArea(history)
        self.completion = self._prompt.completion = Completion(
            self._prompt, self._choices, commands, lambda path: self.post_message(self.PictureChosen(path))
        )

    def compose(self) -> ComposeResult:
        yield self._choices
        yield HorizontalScroll(id="chips", can_focus=False)
        yield self._prompt

    @property
    def prompt(self) -> PromptArea:
        return self._prompt

    async def watch_pictures(self, pictures: tuple[Picture, ...]) -> None:
        chips = self.query_one("#chips")
        had_focus = any(chip.has_focus for chip in self.query(Chip))
        await chips.remove_children()
        await chips.mount_all(Chip(number, picture) for number, picture in enumerate(pictures, 1))
        self.set_class(bool(pictures), "-attached")
        self.post_message(self.Changed())
        if had_focus:
            self.prompt.focus()

    def attach(self, picture: Picture) -> None:
        self.pictures = (*self.pictures, picture)

    def restore(self, draft: Draft) -> bool:
        """Hands a draft back, unless something new has been written meanwhile; whether its words are there now."""
        before, now = self._handed_back, Draft(self.prompt.text, self.pictures)
        if now == before or not now.text.strip():
            self.prompt.fill(draft.text)
            if now == before or not now.pictures:
                self.pictures = draft.pictures
            self._handed_back = Draft(draft.text, self.pictures)
        return self.prompt.text == draft.text

    def replace(self, draft: Draft) -> None:
        """Puts a draft in the place of what is there, which Up brings back."""
        self._earlier_prompts.add(self.prompt.text)
        self.prompt.fill(draft.text)
        self.pictures = draft.pictures

    def on_text_area_changed(self) -> None:
        self.completion.update()
        self.post_message(self.Changed())

    def on_text_area_selection_changed(self) -> None:
        self.completion.update()

    def on_completions_clicked(self, event: Completions.Clicked) -> None:
        event.stop()
        self.completion.take(event.choice)

    def on_prompt_area_submitted(self, event: PromptArea.Submitted) -> None:
        event.stop()
        draft = Draft(event.text, self.pictures)
        self.post_message(self.Submitted(draft))

    def take(self, draft: Draft) -> None:
        """Empties the composer, but for what was typed since: the draft is on its way."""
        if self._earlier_prompts.add(draft.text):
            self.run_worker(partial(self._earlier_prompts.keep, draft.text), group="history", thread=True)
        self.prompt.fill(self.prompt.text.removeprefix(draft.text))
        self.pictures = ()

    def on_prompt_area_cleared(self, event: PromptArea.Cleared) -> None:
        event.stop()
        self.pictures = ()

    def on_prompt_area_erased_at_start(self, event: PromptArea.ErasedAtStart) -> None:
        event.stop()
        self.pictures = self.pictures[:-1]

    def on_chip_taken_off(self, event: Chip.TakenOff) -> None:
        event.stop()
        self.pictures = tuple(picture for picture in self.pictures if picture is not event.picture)
