"""What the transcript shows before the first message."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from tui.widgets.greeting import Greeting

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
        shown = f"{text}{'FOLDER' if text.startswith('/index') else 'PATH'}" if text.endswith(" ") else text
        content = Content.assemble(("❯ ", "$primary bold"), (shown, "bold"), "\n", (f"  {why}", "$foreground 60%"))
        super().__init__(content, classes="example", markup=False)
        self._text = text

    def on_click(self) -> None:
        self.post_message(self.Chosen(self._text))


class Offer(Static):
    """Something that one key does; a click does it, too."""

    class Taken(Message):
        """The user wants it."""

    def __init__(self, key: str, words: str) -> None:
        super().__init__(Content.assemble((f"{key} ", "$primary bold"), words), classes="offer", markup=False)

    def on_click(self) -> None:
        self.post_message(self.Taken())


class Welcome(Vertical):
    """Logo, what it is, things to try.

    Args:
        greeting: what it says.
        index_key: the key that takes the offer to index pictures.
    """

    _next = 0

    def __init__(self, greeting: Greeting, index_key: str) -> None:
        super().__init__()
        self._greeting, self._index_key = greeting, index_key

    async def say(self, greeting: Greeting) -> None:
        """Another greeting; nothing is drawn anew for the same one."""
        if greeting != self._greeting:
            self._greeting = greeting
            await self.recompose()

    def next_example(self) -> str:
        """The examples, one after another."""
        examples = self._greeting.examples
        text, _ = examples[self._next % len(examples)]
        self._next += 1
        return text

    def compose(self) -> ComposeResult:
        greeting = self._greeting
        with Horizontal(id="welcome-head"):
            yield Static(cheese(), id="logo")
            with Vertical(id="welcome-words"):
                yield Static("fromage_lite", id="welcome-name", markup=False)
                yield Static("It sees your pictures and answers with its own.", markup=False)
                if greeting.world:
                    yield Static(greeting.world, markup=False, id="welcome-world")
        with Vertical(id="examples"):
            yield Static("Try one (Tab fills it in)", id="examples-title", markup=False)
            for text, why in greeting.examples:
                yield Example(text, why)
            if greeting.offer:
                yield Offer(self._index_key, f"indexes {greeting.offer}, so that they are found by words")
