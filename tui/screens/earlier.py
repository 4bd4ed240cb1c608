"""The list of one's messages in this conversation, to choose one from."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from index.pictures.images import one_line


class ChooseMessage(ModalScreen[int | None]):
    """A sheet over the chat; gives the place of the chosen message, or None.

    Args:
        messages: their words, in their order.
    """

    CSS = """
    ChooseMessage {
        align: center middle;
        background: $background 60%;
    }
    #messages {
        width: 90%;
        max-width: 90;
        height: auto;
        max-height: 80%;
        border: round $primary;
        padding: 0 1;
        background: $background;
    }
    #messages OptionList {
        height: auto;
        max-height: 100%;
        border: none;
        background: $background;
    }
    """
    BINDINGS = [Binding("escape", "dismiss(None)", "Close", id="edit-close")]

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__()
        self._messages = tuple(messages)

    def compose(self) -> ComposeResult:
        with Vertical(id="messages") as sheet:
            sheet.border_title = "Change which message?"
            sheet.border_subtitle = "Enter: it and all after it go · Esc closes"
            yield OptionList(*(Option(Content(one_line(words))) for words in self._messages), compact=True)

    def on_mount(self) -> None:
        found = self.query_one(OptionList)
        found.highlighted = len(self._messages) - 1
        found.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(event.option_index)
