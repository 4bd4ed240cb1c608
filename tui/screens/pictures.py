"""What one can do with a picture in the conversation: see it large, go on from it, keep it, hide it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from textual import events

from fromage_lite.errors import FromageError
from fromage_lite.text.message import ImageSegment
from tui.pictures.files import file_of, is_url, open_outside
from tui.pictures.thumbnails import Picture
from tui.screens.dialogue import STOP_FIRST, DialogueScreen
from tui.screens.saving import SavePicture
from tui.screens.viewer import Viewer, key_line
from tui.sessions.conversation import SavedConversation
from tui.widgets.found import Found
from tui.widgets.picture import FocusablePicture, Wish

SIMILAR_COUNT = 8


class PictureScreen(DialogueScreen):
    """The dialogue screen with pictures that keys act on."""

    conversation: SavedConversation

    # Focus ------------------------------------------------------------------------------------------------------

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        if isinstance(event.widget, FocusablePicture):
            self.status.keys = key_line(self)

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        if not isinstance(self.focused, FocusablePicture):
            self.status.keys = ""

    def on_focusable_picture_left(self) -> None:
        self.composer.prompt.focus()

    def focus_pictures(self) -> None:
        """From the composer to the newest pictures."""
        if pictures := self.transcript.last_pictures:
            pictures[0].focus()
        else:
            self.focus_next()

    def show_agent(self) -> None:
        super().show_agent()
        self.show_hidden()  # what is hidden in a resumed conversation is known only now

    # Wishes -----------------------------------------------------------------------------------------------------

    def on_focusable_picture_wanted(self, event: FocusablePicture.Wanted) -> None:
        event.stop()
        self.run_worker(self.act(event.wish, event.picture, event.series), group="picture")

    async def act(self, wish: Wish, picture: Picture, series: Sequence[Picture]) -> None:
        """Does what a key says with a picture."""
        try:
            await getattr(self, f"_{wish}_picture")(picture, series)
        except FromageError as error:
            self.notify(" ".join(filter(None, (error.message, error.hint))), severity="warning", markup=False)

    async def _view_picture(self, picture: Picture, series: Sequence[Picture]) -> None:
        start = next((place for place, other in enumerate(series) if other is picture), 0)
        viewer = Viewer(series or (picture,), start, self.mode, self.act, lambda: self.conversation.hidden)

        def left(wanted: tuple[Wish, Picture] | None) -> None:
            if wanted is not None:
                self.run_worker(self.act(*wanted, series), group="picture")

        await self.app.push_screen(viewer, left)

    async def _use_picture(self, picture: Picture, series: Sequence[Picture]) -> None:
        path = await asyncio.to_thread(file_of, picture)
        self.composer.attach(Picture(picture.image, picture.caption, picture.detail, str(path)))
        self.composer.prompt.focus()

    async def _similar_picture(self, picture: Picture, series: Sequence[Picture]) -> None:
        if self.conversation.agent is None:
            self.hint("The model isn't loaded yet")
            return
        if self.busy:
            self.hint(STOP_FIRST if self.busy == "replying" else "Not now, please wait")
            return
        self.busy = "searching"
        try:
            path = await asyncio.to_thread(file_of, picture)
            itself = [picture.hit_id] if picture.hit_id is not None else []
            found = await self.conversation.search((ImageSegment(str(path)),), SIMILAR_COUNT, itself)
            view = Found(picture.caption, found, self.mode, like=True)
            await self.transcript.add(view)
            self.conversation.note_search(picture.caption, found, like=True)
            if cards := view.query(FocusablePicture):
                cards.first().focus()
        finally:
            self.busy = ""

    async def _open_picture(self, picture: Picture, series: Sequence[Picture]) -> None:
        await asyncio.to_thread(open_outside, picture)
        self.hint("Opened in another program")

    async def _save_picture(self, picture: Picture, series: Sequence[Picture]) -> None:
        await self.app.push_screen(SavePicture(picture), self._saved)

    def _saved(self, where: Path | None) -> None:
        if where is not None:
            self.notify(f"Saved as {where}", markup=False)

    async def _copy_picture(self, picture: Picture, series: Sequence[Picture]) -> None:
        path = picture.path if is_url(picture.path) else str(Path(picture.path).expanduser())
        self.app.copy_to_clipboard(path)
        self.hint("Path copied")

    async def _hide_picture(self, picture: Picture, series: Sequence[Picture]) -> None:
        if picture.hit_id is None:
            self.hint("Only found pictures of the open index can be hidden")
            return
        hide = picture.hit_id not in self.conversation.hidden
        await self.conversation.hide(picture.hit_id, hide)
        self.show_hidden()
        self.hint("It will not be found again in this conversation" if hide else "It may be found again")

    def show_hidden(self) -> None:
        """Draws the pictures in the transcript as hidden or not."""
        hidden = self.conversation.hidden
        for widget in self.transcript.query(FocusablePicture):
            widget.mark_hidden(hidden)
