"""A picture with its caption: a box of fixed size, so that nothing moves when it is drawn or can't be."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import ItemGrid, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from tui.pictures.image_mode import ImageMode, cell_ratio, image_widget
from tui.pictures.thumbnails import GONE, Picture, fit_box, more_alike

SMALL_CAPTION = 120  # characters: file names are whole
TILE = 16  # columns of a picture in a grid
PLACEHOLDER = (24, 12)  # pixels; only the ratio counts

Wish = Literal["view", "use", "similar", "open", "save", "copy", "hide"]

PICTURE_KEYS: list[Binding] = [
    Binding("a", "wish('use')", "Attach it to your next message", id="picture-use"),
    Binding("m", "wish('similar')", "More like this", id="picture-similar"),
    Binding("o", "wish('open')", "Open with the system's viewer", id="picture-open"),
    Binding("s", "wish('save')", "Save a copy", id="picture-save"),
    Binding("y", "wish('copy')", "Copy its path", id="picture-copy"),
    Binding("x", "wish('hide')", "Hide it in this conversation, or show it again", id="picture-hide"),
]
SHORT = {
    "picture-view": "view",
    "picture-use": "attach",
    "picture-similar": "more",
    "picture-open": "open",
    "picture-save": "save",
    "picture-copy": "path",
    "picture-hide": "hide",
}


class FocusablePicture(Widget, can_focus=True):
    """Something that has a picture to act on when it has the focus."""

    BINDINGS = [
        Binding("enter", "wish('view')", "See it large", id="picture-view"),
        *PICTURE_KEYS,
        Binding("right,down", "step(1)", "Next picture", id="picture-next"),
        Binding("left,up", "step(-1)", "Picture before", id="picture-previous"),
    ]

    class Wanted(Message):
        """The user wants something done with a picture."""

        def __init__(self, wish: Wish, picture: Picture, series: Sequence[Picture]) -> None:
            super().__init__()
            self.wish, self.picture, self.series = wish, picture, tuple(series)

    class Left(Message):
        """The user goes beyond the last picture."""

    @property
    def current(self) -> Picture | None:
        """The picture that a key means."""
        raise NotImplementedError

    @property
    def series(self) -> Sequence[Picture]:
        """The pictures around it, for leafing through."""
        raise NotImplementedError

    def mark_hidden(self, ids: Collection[int]) -> None:
        """Draws pictures of these ids as hidden, the others not."""
        raise NotImplementedError

    def action_wish(self, wish: Wish) -> None:
        if self.current is not None:
            self.post_message(self.Wanted(wish, self.current, self.series))

    def action_step(self, step: int) -> None:
        pictures = [widget for widget in self.screen.query(FocusablePicture) if widget.display]
        place = pictures.index(self) + step
        if 0 <= place < len(pictures):
            pictures[place].focus()
        elif step > 0:
            self.post_message(self.Left())

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2:
            self.action_wish("view")


class PictureCard(FocusablePicture):
    """One picture; beside it (below it where it is narrow) what it is and where it is from."""

    def __init__(
        self,
        picture: Picture,
        mode: ImageMode,
        *,
        rank: int | None = None,
        small: bool = False,
        series: Sequence[Picture] = (),
        below: Widget | None = None,
    ) -> None:
        """
        Args:
            picture: what to show.
            mode: how pictures are drawn.
            rank: its place among several.
            small: for a grid.
            series: what the viewer leafs through; the picture alone if empty.
            below: something to show under the caption.
        """
        super().__init__(classes="small" if small else "")
        self.picture = picture
        self._mode = mode
        self._rank = rank
        self._small = small
        self._series = tuple(series) or (picture,)
        self._below = below
        self.hidden = False

    @property
    def current(self) -> Picture | None:
        return self.picture

    @property
    def series(self) -> Sequence[Picture]:
        return self._series

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
            if self._below is not None:
                yield self._below

    def _caption(self) -> Content:
        rank = f"{self._rank}. " if self._rank is not None else ""
        name = self.picture.caption
        if self.hidden:
            return Content.assemble((rank, "$primary bold"), "⊘ hidden in this conversation")
        if self._small and len(name) > SMALL_CAPTION:
            name = f"{name[:SMALL_CAPTION].rsplit(' ', 1)[0].rstrip()} …"
        if self._mode is ImageMode.NONE:
            name = f"▣ {name}"
        return Content.assemble((rank, "$primary bold"), name)

    def _details(self) -> Content:
        parts: list[str] = []
        if self.picture.score is not None:
            parts.append(f"match {self.picture.score:.2f}")
        if self.picture.gone and self.picture.image is not None:  # else the box says what is wrong
            parts.append(GONE)
        if self.picture.hit is not None and self.picture.hit.alike:
            parts.append(more_alike(self.picture.hit))
        if self.picture.detail and not self._small:
            parts.append(self.picture.detail)
        return Content("\n".join(parts))

    def mark_hidden(self, ids: Collection[int]) -> None:
        hidden = self.picture.hit_id is not None and self.picture.hit_id in ids
        if hidden != self.hidden:
            self.hidden = hidden
            self.set_class(hidden, "-hidden")
            self.query_one(".caption", Static).update(self._caption())

    def on_mount(self) -> None:
        self.fit()

    async def draw_again(self, found: Mapping[Picture, Picture]) -> None:
        """Shows what could not be drawn before; so does the viewer.

        Args:
            found: pictures that can be drawn by now, by those without an image.
        """
        self._series = tuple(found.get(picture, picture) for picture in self._series)
        kind = image_widget(self._mode)
        if self.picture not in found or kind is None:
            return
        self.picture = found[self.picture]
        await self.query(".broken").remove()
        await self.mount(kind(self.picture.image, classes="box"), before=0)
        for details in self.query(".details").results(Static):
            details.update(self._details())
        self.fit()

    def fit(self) -> None:
        """Gives the picture the largest box that the terminal's size allows."""
        width, height = self.app.size
        if self._small:
            limit = (TILE, 7)
        else:
            limit = (max(8, min(44, width - 10)), max(5, min(18, height * 2 // 5)))
        size = self.picture.image.size if self.picture.image is not None else PLACEHOLDER
        columns, rows = fit_box(size, limit, cell_ratio())
        for box in self.query(".box"):
            box.styles.width, box.styles.height = columns, rows


class PictureGrid(ItemGrid):
    """Several pictures, best first, as many side by side as fit."""

    def __init__(
        self, pictures: Sequence[Picture], mode: ImageMode, series: Sequence[Picture] = (), *, first: int = 1
    ) -> None:
        """
        Args:
            pictures: what to show.
            mode: how pictures are drawn.
            series: what the viewer leafs through; the pictures themselves if empty.
            first: the number of the first one.
        """
        series = tuple(series) or tuple(pictures)
        cards = [
            PictureCard(picture, mode, rank=rank, small=True, series=series)
            for rank, picture in enumerate(pictures, first)
        ]
        super().__init__(*cards, min_column_width=TILE, stretch_height=False)
        self.styles.grid_columns = str(TILE)  # not a share of the width, which would leave uneven gaps
