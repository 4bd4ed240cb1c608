"""The scrolling conversation. Follows the output until the user scrolls away, and again from the bottom on."""

from __future__ import annotations

from collections.abc import Collection

from textual.app import ComposeResult
from textual.containers import VerticalGroup, VerticalScroll
from textual.events import Resize
from textual.widget import Widget

from tui.widgets.greeting import Greeting
from tui.widgets.picture import FocusablePicture, PictureCard
from tui.widgets.turn import Note, TurnView
from tui.widgets.welcome import Welcome


class Transcript(VerticalScroll):
    """Turns, search results and notes; a welcome while there are none.

    Args:
        greeting: what the welcome says.
        index_key: as for `Welcome`.
        id: of the widget.
    """

    def __init__(self, greeting: Greeting, index_key: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._greeting, self._index_key = greeting, index_key

    def compose(self) -> ComposeResult:
        # At least as tall as the view: an anchored scroll would draw a shorter one at the bottom.
        with VerticalGroup(id="feed"):
            yield Welcome(self._greeting, self._index_key)

    def on_mount(self) -> None:
        self.anchor()

    @property
    def feed(self) -> VerticalGroup:
        """What holds the turns, results and notes."""
        return self.query_one("#feed", VerticalGroup)

    def on_resize(self, event: Resize) -> None:
        for card in self.query(PictureCard):
            card.fit()

    async def add(self, widget: Widget) -> None:
        """Shows something at the end and scrolls to it."""
        if not isinstance(widget, Note):
            await self.feed.query_children(Welcome).remove()
        await self.feed.mount(widget)
        self.anchor()

    async def clear(self) -> None:
        """Removes everything and shows the welcome again."""
        await self.feed.remove_children()
        await self.feed.mount(Welcome(self._greeting, self._index_key))

    async def greet(self, greeting: Greeting) -> None:
        """What the welcome says, now if it is shown, and whenever it is shown again."""
        self._greeting = greeting
        for welcome in self.feed.query_children(Welcome):
            await welcome.say(greeting)

    async def settle(self) -> None:
        """Shows the welcome if nothing but notes is left."""
        if all(isinstance(child, Note | Welcome) for child in self.feed.children):
            await self.clear()

    def mark_hidden(self, ids: Collection[int]) -> None:
        """Draws the pictures of these ids as hidden, the others not."""
        for widget in self.query(FocusablePicture):
            widget.mark_hidden(ids)

    def next_example(self) -> str:
        """The next of the welcome's examples; empty where it is not shown."""
        welcome = self.feed.query_children(Welcome)
        return welcome.first().next_example() if welcome else ""

    @property
    def last_pictures(self) -> list[FocusablePicture]:
        """The pictures of the newest thing that has any, in their order."""
        for child in reversed(self.feed.children):
            if pictures := [widget for widget in child.query(FocusablePicture) if widget.display]:
                return pictures
        return []

    def forget(self, about: str) -> None:
        """Removes the notes about a matter that is over."""
        for note in self.notes:
            if note.about == about:
                note.remove()

    @property
    def notes(self) -> list[Note]:
        """The lines from the app itself, in their order."""
        return list(self.feed.query_children(Note))

    @property
    def turns(self) -> list[TurnView]:
        """The messages with their replies, whole or not, in their order."""
        return list(self.feed.query_children(TurnView))

    @property
    def shows_welcome(self) -> bool:
        """Whether the welcome is shown."""
        return bool(self.feed.query_children(Welcome))
