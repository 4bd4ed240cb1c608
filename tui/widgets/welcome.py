"""What the transcript shows before the first message."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from fromage_lite.config import PLAYGROUND

# Two rows of pixels a line of text. y top, Y front, h hole, o rind.
_CHEESE = """
..........yyyy..
.......yyyyyyyy.
....yyyyyyyyyyyy
.yyyyyyyyyyyyyyy
oooooooooooooooo
YYYYYYYYYhhYYYYY
YYhhYYYYhhhhYYYY
YYhhYYYYYhhYYYYY
YYYYYYhYYYYYYhhY
YYYYYYYYYYYYYhhY
""".split()
_COLOURS = {"y": "#FFDC7A", "Y": "#F4B942", "h": "#B97A1E", "o": "#D98A3A"}

WORLD = "This is its playground, a small world of pictograms: photographs mean nothing to it. F5 shows it a sample."
EXAMPLES = (
    ("show me a cat on the beach", "it answers with a picture"),
    ("and in the snow?", "it remembers what you talk about"),
    ("/image ", "your picture's path, then ask: what is in this picture?"),
)


def cheese() -> Content:
    """The logo in half blocks."""
    return Content("\n").join(
        Content.assemble(*_row(upper, lower)) for upper, lower in zip(_CHEESE[::2], _CHEESE[1::2], strict=True)
    )


def _row(upper: str, lower: str) -> Iterator[tuple[str, str]]:
    for top, bottom in zip(upper, lower, strict=True):
        if top == "." and bottom == ".":
            yield " ", ""
        elif bottom == ".":
            yield "▀", _COLOURS[top]
        elif top == ".":
            yield "▄", _COLOURS[bottom]
        else:
            yield "▀", f"{_COLOURS[top]} on {_COLOURS[bottom]}"


class Example(Static):
    """A prompt to try; a click puts it into the composer."""

    class Chosen(Message):
        """The user wants to try it."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, text: str, why: str) -> None:
        shown = f"{text.strip()} PATH" if text.startswith("/image") else text
        content = Content.assemble(("❯ ", "$primary bold"), (shown, "bold"), "\n", (f"  {why}", "$foreground 60%"))
        super().__init__(content, classes="example", markup=False)
        self._text = text

    def on_click(self) -> None:
        self.post_message(self.Chosen(self._text))


class Welcome(Vertical):
    """Logo, what it is, things to try.

    Args:
        sees: the shipped model that answers, by which it is told what it sees; "" for another model.
    """

    _next = 0

    def __init__(self, sees: str = "") -> None:
        super().__init__()
        self._sees = sees

    def next_example(self) -> str:
        """The examples, one after another."""
        text, _ = EXAMPLES[self._next % len(EXAMPLES)]
        self._next += 1
        return text

    def compose(self) -> ComposeResult:
        with Horizontal(id="welcome-head"):
            yield Static(cheese(), id="logo")
            with Vertical(id="welcome-words"):
                yield Static("fromage_lite", id="welcome-name", markup=False)
                yield Static("It sees your pictures and answers with its own.", markup=False)
                if self._sees == PLAYGROUND:
                    yield Static(WORLD, markup=False, id="welcome-world")
        with Vertical(id="examples"):
            yield Static("Try one (Tab fills it in)", id="examples-title", markup=False)
            for text, why in EXAMPLES:
                yield Example(text, why)
