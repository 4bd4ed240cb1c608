"""A picture with its caption: a box of fixed size, so that nothing moves when it is drawn or can't be."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import ItemGrid, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from tui.image_mode import ImageMode, cell_ratio, image_widget
from tui.pictures import Picture, fit_box

SMALL_CAPTION = 48  # characters
PLACEHOLDER = (24, 12)  # pixels; only the ratio counts


class PictureCard(Widget):
    """One picture; beside it (below it where it is narrow) what it is and where it is from."""

    def __init__(self, picture: Picture, mode: ImageMode, *, rank: int | None = None, small: bool = False) -> None:
        super().__init__(classes="small" if small else "")
        self.picture = picture
        self._mode = mode
        self._rank = rank
        self._small = small

    def compose(self) -> ComposeResult:
        kind = image_widget(self._mode)
        if self.picture.image is None:
            yield Static(f"╱╱╱\n{self.picture.problem}", classes="box broken", markup=False)
        elif kind is not None:
            yield kind(self.picture.image, classes="box")
        with Vertical(classes="about"):
            yield Static(self._caption(), classes="caption", markup=False)
            if details := self._details():
                yield Static(details, classes="details", markup=False)

    def _caption(self) -> Content:
        rank = f"{self._rank}. " if self._rank is not None else ""
        name = self.picture.caption
        if self._small and len(name) > SMALL_CAPTION:
            name = f"{name[:SMALL_CAPTION].rsplit(' ', 1)[0]} …"
        if self._mode is ImageMode.NONE:
            name = f"▣ {name}"
        return Content.assemble((rank, "$primary bold"), name)

    def _details(self) -> Content:
        parts: list[str] = []
        if self.picture.score is not None:
            parts.append(f"match {self.picture.score:.2f}")
        if self.picture.detail and not self._small:
            parts.append(self.picture.detail)
        return Content("\n".join(parts))

    def on_mount(self) -> None:
        self.fit()

    def fit(self) -> None:
        """Gives the picture the largest box that the terminal's size allows."""
        width, height = self.app.size
        if self._small:
            limit = (16, 7)
        else:
            limit = (max(8, min(44, width - 10)), max(5, min(18, height * 2 // 5)))
        size = self.picture.image.size if self.picture.image is not None else PLACEHOLDER
        columns, rows = fit_box(size, limit, cell_ratio())
        for box in self.query(".box"):
            box.styles.width, box.styles.height = columns, rows


class PictureGrid(ItemGrid):
    """Several pictures, best first, as many side by side as fit."""

    def __init__(self, pictures: Sequence[Picture], mode: ImageMode) -> None:
        cards = [PictureCard(picture, mode, rank=rank, small=True) for rank, picture in enumerate(pictures, 1)]
        super().__init__(*cards, min_column_width=16, max_column_width=18, stretch_height=False)


def picture_view(pictures: Sequence[Picture], mode: ImageMode) -> Widget:
    """One large card, or a grid of small ones."""
    return PictureCard(pictures[0], mode) if len(pictures) == 1 else PictureGrid(pictures, mode)
