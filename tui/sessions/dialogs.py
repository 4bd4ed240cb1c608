"""Two small questions: yes or no, and one line of text."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from tui.sessions.records import LONGEST_TITLE


class Confirm(ModalScreen[bool]):
    """A question about something that can't be undone. Escape and `n` say no, and so does Enter at first."""

    CSS_PATH = "sessions.tcss"
    BINDINGS = [
        Binding("escape,n", "answer(False)", "No"),
        Binding("y", "answer(True)", "Yes"),
        Binding("left,right,tab,shift+tab", "other", "The other answer"),
    ]

    def __init__(self, question: str, yes: str) -> None:
        super().__init__()
        self._question, self._yes = question, yes

    def compose(self) -> ComposeResult:
        with Vertical(classes="question"):
            yield Static(self._question, markup=False)
            with Horizontal(classes="answers"):
                yield Button("No", id="no", compact=True)
                yield Button(f"{self._yes} (y)", id="yes", compact=True, variant="error")

    def on_mount(self) -> None:
        self.query_one("#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)

    def action_other(self) -> None:
        self.focus_next()


class AskTitle(ModalScreen[str | None]):
    """A new title; None if the user thought better of it."""

    CSS_PATH = "sessions.tcss"
    BINDINGS = [Binding("escape", "dismiss(None)", "As it was")]

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def compose(self) -> ComposeResult:
        with Vertical(classes="question") as box:
            box.border_title = "Rename"
            box.border_subtitle = "Enter saves · Esc leaves it"
            yield Input(self._title, max_length=LONGEST_TITLE, compact=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)
