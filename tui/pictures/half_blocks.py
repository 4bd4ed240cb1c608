"""A picture in half blocks: two pixels a cell, in every terminal that has colours.

Drawn line by line from a few bytes a cell; a general renderer makes, and keeps, an object for each."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget


class HalfBlocks(Widget):
    """Fills its box with the picture."""

    def __init__(self, image: Image.Image | None = None, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._image = image
        self._scaled: tuple[int, int, bytes] = (0, 0, b"")  # columns, rows, RGB of two rows of pixels a row

    @property
    def image(self) -> Image.Image | None:
        """The picture, of any size."""
        return self._image

    @image.setter
    def image(self, image: Image.Image | None) -> None:
        self._image = image
        self._scaled = (0, 0, b"")
        self.refresh()

    def render_line(self, y: int) -> Strip:
        columns, rows = self.size
        if self._image is None or not 0 <= y < rows:
            return Strip.blank(columns)
        if self._scaled[:2] != (columns, rows):
            scaled = self._image.convert("RGB").resize((columns, 2 * rows), Image.Resampling.HAMMING)
            self._scaled = columns, rows, scaled.tobytes()
        pixels, width = self._scaled[2], 3 * columns
        upper, lower = pixels[2 * y * width : (2 * y + 1) * width], pixels[(2 * y + 1) * width : (2 * y + 2) * width]
        segments: list[Segment] = []
        begin, colours = 0, (upper[:3], lower[:3])
        for x in range(1, columns):
            here = upper[3 * x : 3 * x + 3], lower[3 * x : 3 * x + 3]
            if here != colours:
                segments.append(Segment("▀" * (x - begin), _style(*colours)))
                begin, colours = x, here
        segments.append(Segment("▀" * (columns - begin), _style(*colours)))
        return Strip(segments, columns)


@lru_cache(maxsize=20_000)
def _style(upper: bytes, lower: bytes) -> Style:
    return Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))
