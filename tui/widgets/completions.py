"""The list that appears while something is typed that can be completed. It never has the focus: typing goes on."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import set_cell_size
from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from tui.input.completion import Choice

MOST_ROWS = 8
LOW_ROWS = 4
LABEL_PART = 0.45  # of the width, at most
NARROW = 50  # columns; there only the chosen one says what it is, below the others


class Completions(Widget):
    """Choices one below another; a mark stands before the chosen one."""

    DEFAULT_CSS = """
    Completions {
        display: none;
        height: auto;
        color: $foreground;
        border-bottom: solid $panel;
    }
    Completions.-open {
        display: block;
    }
    """

    choices: reactive[tuple[Choice, ...]] = reactive((), layout=True)
    place: reactive[int | None] = reactive(None)
    waiting: reactive[str] = reactive("", layout=True)
    _top = 0

    class Clicked(Message):
        def __init__(self, choice: Choice) -> None:
            super().__init__()
            self.choice = choice

    @property
    def is_open(self) -> bool:
        """Whether there is anything to choose."""
        return bool(self.choices)

    @property
    def chosen(self) -> Choice | None:
        """The choice with the mark."""
        return self.choices[self.place] if self.place is not None and self.place < len(self.choices) else None

    def show(self, choices: Sequence[Choice], place: int | None = None) -> None:
        """Offers choices, `place` being the chosen one."""
        self._top = 0
        self.waiting = ""
        self.choices, self.place = tuple(choices), place
        self.set_class(bool(choices), "-open")

    def wait(self, words: str) -> None:
        """Says that choices are being looked for."""
        self.choices, self.place, self.waiting = (), None, words
        self.add_class("-open")

    def close(self) -> None:
        self.show(())

    def move(self, step: int) -> bool:
        """Chooses the next or the previous one, round the ends; False if nothing is open."""
        if not self.choices:
            return False
        if self.place is None:
            self.place = 0 if step > 0 else len(self.choices) - 1
        else:
            self.place = (self.place + step) % len(self.choices)
        self._top = min(self._top, self.place)
        self._top = max(self._top, self.place - self._rows + 1)
        return True

    @property
    def _rows(self) -> int:
        most = LOW_ROWS if self.app.size.height < 30 else MOST_ROWS
        return min(len(self.choices), most)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, self._rows + self._has_footer(width))

    def _has_footer(self, width: int) -> bool:
        return len(self.choices) > self._rows or width < NARROW

    def render(self) -> Content:
        if not self.choices:
            return Content.styled(self.waiting, "$foreground 60%")
        width = self.content_size.width
        shown = self.choices[self._top : self._top + self._rows]
        label_width = min(max(len(choice.label) for choice in self.choices), max(12, int(width * LABEL_PART)))
        lines = [self._line(number, choice, label_width) for number, choice in enumerate(shown, self._top)]
        if self._has_footer(width):
            place = "" if self.place is None else f"{self.place + 1} of "
            words = f"{place}{len(self.choices)} · ↑ ↓ choose · Tab takes"
            if width < NARROW and self.chosen is not None:
                words = self.chosen.detail or words
            lines.append(Content.styled(f"  {words}", "$foreground 60%"))
        return Content("\n").join(line.truncate(width, ellipsis=True) for line in lines)

    def _line(self, number: int, choice: Choice, label_width: int) -> Content:
        is_chosen = number == self.place
        mark = ("❯ ", "$primary bold") if is_chosen else ("  ", "")
        style = "$primary bold" if is_chosen else ""
        if not choice.detail or self.content_size.width < NARROW:
            return Content.assemble(mark, (choice.label, style))
        label = choice.label
        if len(label) > label_width:
            label = f"{label[: label_width - 1]}…"
        return Content.assemble(
            mark, (set_cell_size(label, label_width), style), "  ", (choice.detail, "$foreground 60%")
        )

    def on_click(self, event: events.Click) -> None:
        number = self._top + event.y
        if event.y < self._rows and number < len(self.choices):
            self.post_message(self.Clicked(self.choices[number]))
