"""The result of a search, in the transcript but outside the dialogue."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalGroup
from textual.widgets import Static

from index.pictures.images import sanitize
from tui.pictures.image_mode import ImageMode
from tui.pictures.thumbnails import Picture
from tui.widgets.picture import PictureGrid


class Found(VerticalGroup):
    """What was looked for, and the pictures, best first."""

    def __init__(self, words: str, pictures: Sequence[Picture], mode: ImageMode, *, like: bool = False) -> None:
        super().__init__(classes="found")
        self.pictures = tuple(pictures)
        self._words = words
        self._mode = mode
        self._like = like  # the words are the caption of the picture that was searched with

    def compose(self) -> ComposeResult:
        what = f"“{sanitize(self._words)}”" if self._words else "pictures like yours"
        if self._like:
            what = f"more like {what}"
        count = len(self.pictures)
        said = f"{count} best for {what}" if count else f"Nothing fits {what}"
        yield Static(f"⌕ {said}", markup=False, classes="found-title")
        if self.pictures:
            yield PictureGrid(self.pictures, self._mode)
