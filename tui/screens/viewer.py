"""One picture as large as the terminal allows, and its neighbours by arrow key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Center, Middle
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from index.pictures.images import sanitize
from tui.pictures.files import load_large
from tui.pictures.image_mode import ImageMode, cell_ratio, image_widget, show_image
from tui.pictures.thumbnails import GONE, Picture, fit_box
from tui.widgets.picture import PICTURE_KEYS, SHORT, Wish

FRAME = (4, 7)  # columns and rows that are not the picture's
NEEDS_THE_CHAT: frozenset[Wish] = frozenset({"use", "similar"})

Act = Callable[[Wish, Picture, Sequence[Picture]], Awaitable[None]]


class Viewer(ModalScreen[tuple[Wish, Picture] | None]):
    """Ends with a wish that only the chat can fulfil, if there is one.

    Args:
        series: the pictures to leaf through.
        start: which one comes first.
        mode: how pictures are drawn.
        act: does what a key says with a picture.
        hidden: ids of the pictures that are hidden.
    """

    BINDINGS = [
        Binding("escape,q,enter", "dismiss(None)", "Close", id="viewer-close"),
        Binding("right,down,space", "step(1)", "Next picture", id="picture-next"),
        Binding("left,up,backspace", "step(-1)", "Picture before", id="picture-previous"),
        *PICTURE_KEYS,
    ]

    def __init__(
        self,
        series: Sequence[Picture],
        start: int,
        mode: ImageMode,
        act: Act,
        hidden: Callable[[], Collection[int]],
    ) -> None:
        super().__init__()
        self._series, self._place, self._mode, self._act = tuple(series), start, mode, act
        self._hidden = hidden

    @property
    def picture(self) -> Picture:
        """The one that is shown."""
        return self._series[self._place]

    def compose(self) -> ComposeResult:
        yield Static("", id="viewer-title", markup=False)
        with Middle(id="viewer-middle"), Center():
            kind = image_widget(self._mode)
            if kind is not None:
                yield kind(self.picture.image, id="viewer-picture")
            yield Static("", id="viewer-missing", markup=False)
        yield Static("", id="viewer-source", markup=False)
        yield Static("", id="viewer-keys", markup=False)

    def on_mount(self) -> None:
        self.show()

    def on_resize(self, event: Resize) -> None:
        self._fit()
        self._write()

    def show(self) -> None:
        """Draws the current picture; a larger version of it as soon as it is read."""
        picture = self.picture
        missing = self.query_one("#viewer-missing", Static)
        drawn = picture.image is not None and self._mode is not ImageMode.NONE
        missing.display = not drawn
        missing.update("" if drawn else picture.problem or "▣ pictures are not drawn here")
        for box in self.query("#viewer-picture"):
            box.display = drawn
            if drawn:
                show_image(box, picture.image)
        self._fit()
        self._write()
        if drawn and self._mode is not ImageMode.HALFBLOCK:  # half blocks have fewer dots than the small picture
            self.run_worker(self._sharpen(picture), group="large", exclusive=True)

    async def _sharpen(self, picture: Picture) -> None:
        image = await asyncio.to_thread(load_large, picture)
        if image is not None and picture is self.picture:
            for box in self.query("#viewer-picture"):
                show_image(box, image)

    def _fit(self) -> None:
        if self.picture.image is None:
            return
        room = (max(1, self.app.size.width - FRAME[0]), max(1, self.app.size.height - FRAME[1]))
        columns, rows = fit_box(self.picture.image.size, room, cell_ratio())
        for box in self.query("#viewer-picture"):
            box.styles.width, box.styles.height = columns, rows

    def _write(self) -> None:
        picture, count = self.picture, len(self._series)
        place = f"{self._place + 1} of {count}  " if count > 1 else ""
        caption = f"⊘ hidden  {picture.caption}" if picture.hit_id in self._hidden() else picture.caption
        self.query_one("#viewer-title", Static).update(Content.assemble((place, "$primary bold"), (caption, "bold")))
        score = f"match {picture.score:.3f} · " if picture.score is not None else ""
        gone = f"{GONE}, this is the small copy of it · " if picture.gone and picture.image is not None else ""
        self.query_one("#viewer-source", Static).update(score + gone + sanitize(picture.path))
        self.query_one("#viewer-keys", Static).update(f"{key_line(self.screen, leaf=count > 1)} · Esc closes")

    def action_step(self, step: int) -> None:
        place = self._place + step
        if 0 <= place < len(self._series):
            self._place = place
            self.show()

    async def action_wish(self, wish: Wish) -> None:
        if wish in NEEDS_THE_CHAT:
            self.dismiss((wish, self.picture))
        else:
            await self._act(wish, self.picture, self._series)
            if self.is_attached:  # another program may have taken its time
                self._write()


def key_line(screen: Screen[Any], leaf: bool = False) -> str:
    """What the keys do with a picture, as they are bound now; with `leaf` the arrow keys, too."""
    keys: dict[str, str] = {}
    for active in screen.active_bindings.values():
        if (id := active.binding.id) in SHORT:
            keys.setdefault(id, active.binding.key)
    parts = ["←→ next" if leaf else ""]
    parts += [f"{key.capitalize() if len(key) > 1 else key} {SHORT[id]}" for id in SHORT if (key := keys.get(id))]
    return " · ".join(filter(None, parts))
