"""The strip of next best pictures: one image for all of them, so that a long transcript stays light."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from PIL import Image, ImageOps
from rich.cells import cell_len, set_cell_size
from textual.app import ComposeResult
from textual.containers import VerticalGroup
from textual.content import Content
from textual.events import Blur, Focus, Resize
from textual.widget import Widget
from textual.widgets import Static

from tui.pictures.image_mode import ImageMode, cell_ratio, image_widget, show_image
from tui.pictures.thumbnails import GONE, Picture
from tui.widgets.picture import FocusablePicture, PictureCard, PictureGrid

GAP = 1  # columns between two pictures
LARGE, SMALL = (12, 6), (8, 4)  # columns and rows of one
PIXELS_PER_COLUMN = 10


class NextBest(FocusablePicture):
    """Small pictures side by side with their scores; the arrow keys choose one."""

    def __init__(self, pictures: Sequence[Picture], mode: ImageMode, shown: Sequence[Picture] = ()) -> None:
        """
        Args:
            pictures: the next best, best first.
            mode: how pictures are drawn.
            shown: the better ones that are shown already; the viewer leafs through them too.
        """
        super().__init__()
        self._pictures = tuple(pictures)
        self._mode = mode
        self._shown = tuple(shown)
        self._chosen = 0
        self._is_focused = False
        self._room = 0  # how many fit
        self._tile = SMALL
        self._hidden: frozenset[int] = frozenset()

    @property
    def current(self) -> Picture | None:
        return self._pictures[self._chosen]

    @property
    def series(self) -> Sequence[Picture]:
        return (*self._shown, *self._pictures)

    def compose(self) -> ComposeResult:
        yield Static("", classes="next-title", markup=False)
        kind = image_widget(self._mode)
        if kind is not None:
            strip = kind(Image.new("RGB", (1, 1)), classes="strip")
            strip.display = False  # until its size is known
            yield strip
        yield Static("", classes="scores", markup=False)

    def on_mount(self) -> None:
        self.watch(self.app, "theme", self._draw, init=False)  # the gaps have the background's colour

    def on_resize(self, event: Resize) -> None:
        tile = SMALL if self.app.size.height < 40 or self.app.size.width < 60 else LARGE
        room = max(1, min(len(self._pictures), (self.size.width + GAP) // (tile[0] + GAP)))
        if (tile, room) != (self._tile, self._room):
            self._tile, self._room = tile, room
            self._chosen = min(self._chosen, room - 1)
            self._draw()

    def on_focus(self, event: Focus) -> None:
        self._is_focused = True  # `has_focus` is set only after this
        self._write()

    def on_blur(self, event: Blur) -> None:
        self._is_focused = False
        self._write()

    def action_step(self, step: int) -> None:
        if 0 <= self._chosen + step < self._room:
            self._chosen += step
            self._write()
        else:
            super().action_step(step)

    def mark_hidden(self, ids: Collection[int]) -> None:
        hidden = frozenset(p.hit_id for p in self._pictures if p.hit_id is not None and p.hit_id in ids)
        if hidden != self._hidden:
            self._hidden = hidden
            self._draw()

    # Drawing ----------------------------------------------------------------------------------------------------

    def _is_hidden(self, picture: Picture) -> bool:
        return picture.hit_id in self._hidden

    def _draw(self) -> None:
        if not self._room:
            return
        columns, rows = self._tile
        for strip in self.query(".strip"):
            strip.styles.width = self._room * (columns + GAP) - GAP
            strip.styles.height = rows
            show_image(strip, self._joined())
            strip.display = True
        self._write()

    def _joined(self) -> Image.Image:
        """All pictures in one, on the screen's background."""
        columns, rows = self._tile
        ground = self.background_colors[1].rgb
        # Half blocks get just the pixels that they have, else scaling would smear the gaps.
        blocks = self._mode is ImageMode.HALFBLOCK
        scale = 1 if blocks else PIXELS_PER_COLUMN
        width, gap = columns * scale, GAP * scale
        height = rows * 2 if blocks else round(rows * scale * cell_ratio())
        joined = Image.new("RGB", (self._room * (width + gap) - gap, height), ground)
        for place, picture in enumerate(self._pictures[: self._room]):
            if picture.image is None or self._is_hidden(picture):
                continue
            small = ImageOps.pad(picture.image, (width, height), color=ground)
            joined.paste(small, (place * (width + gap), 0))
        return joined

    def _write(self) -> None:
        """The line above and the line below."""
        picture = self._pictures[self._chosen]
        count = len(self._pictures)
        if self._is_focused:
            what = "⊘ hidden in this conversation" if self._is_hidden(picture) else picture.caption
            what += f" · {GONE}" if picture.gone else ""
            title = Content.assemble((f"{self._chosen + 1} of {count}  ", "$primary bold"), what)
        else:
            title = Content.styled("next best", "$foreground 60%")
        self.query_one(".next-title", Static).update(title)
        self.query_one(".scores", Static).update(Content("").join(self._labels()))

    def _labels(self) -> list[Content]:
        columns, labels = self._tile[0], []
        for place, picture in enumerate(self._pictures[: self._room]):
            words = "⊘" if self._is_hidden(picture) else f"{picture.score or 0:.2f}"
            chosen = self._is_focused and place == self._chosen
            if self._mode is ImageMode.NONE:
                words = f"▣ {words}"
            text = f"▸{words}◂" if chosen else f" {words} "
            left = max(0, columns - cell_len(text)) // 2
            text = set_cell_size(" " * left + text, columns + GAP if place + 1 < self._room else columns)
            labels.append(Content.styled(text, "$primary bold" if chosen else "$foreground 60%"))
        return labels


def picture_view(pictures: Sequence[Picture], mode: ImageMode, more: Sequence[Picture] = ()) -> Widget:
    """One large card, or a grid of small ones, with the next best where there are some."""
    series = (*pictures, *more)
    strip = NextBest(more, mode, pictures) if more else None
    if len(pictures) == 1:
        return PictureCard(pictures[0], mode, series=series, below=strip)
    grid = PictureGrid(pictures, mode, series)
    return VerticalGroup(grid, strip, classes="found-pictures") if strip is not None else grid
