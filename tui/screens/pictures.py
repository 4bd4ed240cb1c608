"""What one can do with a picture in the conversation: see it large, go on from it, keep it, hide it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from fromage_lite.chat.request import SearchRequest
from fromage_lite.chat.search import Term
from fromage_lite.errors import FromageError
from fromage_lite.text.message import ImageSegment
from index.pictures.images import is_url
from tui.pictures.files import file_of, open_outside
from tui.pictures.thumbnails import GONE, Picture
from tui.screens.interface import LOADING_FIRST, NOT_LOADED, Chat
from tui.screens.saving import SavePicture
from tui.screens.viewer import Viewer
from tui.widgets.found import Found
from tui.widgets.picture import FocusablePicture, Wish

SIMILAR_COUNT = 8


class Pictures:
    """Fulfils what the keys of pictures wish for, in the transcript and in the viewer."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._acts = {
            "view": self._view,
            "use": self._use,
            "similar": self._similar,
            "open": self._open,
            "save": self._save,
            "copy": self._copy,
            "hide": self._hide,
        }

    def start(self, wish: Wish, picture: Picture, series: Sequence[Picture]) -> None:
        """Does what a key says with a picture, in the background."""
        self._chat.start(self.act(wish, picture, series), "picture")

    async def act(self, wish: Wish, picture: Picture, series: Sequence[Picture]) -> None:
        """Does what a key says with a picture. Errors are notifications: a viewer may cover the transcript."""
        try:
            await self._acts[wish](picture, series)
        except FromageError as error:
            words = " ".join(filter(None, (error.message, error.hint)))
            self._chat.notify(words, severity="warning", markup=False)

    async def _view(self, picture: Picture, series: Sequence[Picture]) -> None:
        start = next((place for place, other in enumerate(series) if other is picture), 0)
        chat = self._chat
        viewer = Viewer(series or (picture,), start, chat.mode, self.act, lambda: chat.conversation.hidden)

        def left(wanted: tuple[Wish, Picture] | None) -> None:
            if wanted is not None:
                self.start(*wanted, series)

        await chat.app.push_screen(viewer, left)

    async def _use(self, picture: Picture, series: Sequence[Picture]) -> None:
        path = await asyncio.to_thread(file_of, picture)
        self._chat.composer.attach(Picture(picture.image, picture.caption, picture.detail, str(path)))
        self._chat.composer.prompt.focus()

    async def _similar(self, picture: Picture, series: Sequence[Picture]) -> None:
        chat = self._chat
        if chat.conversation.agent is None:
            chat.hint(NOT_LOADED, LOADING_FIRST)
            return
        with chat.working("searching"):
            path = await asyncio.to_thread(file_of, picture)
            itself = [picture.hit_id] if picture.hit_id is not None else []
            request = SearchRequest((Term(1.0, (ImageSegment(str(path)),)),))
            found = await chat.conversation.search(request, SIMILAR_COUNT, itself)
            view = Found(picture.caption, found, chat.mode, like=True)
            await chat.transcript.add(view)
            chat.conversation.note_search(picture.caption, found, like=True)
            if cards := view.query(FocusablePicture):
                cards.first().focus()

    async def _open(self, picture: Picture, series: Sequence[Picture]) -> None:
        await asyncio.to_thread(open_outside, picture)
        self._chat.hint("Opened in another program")

    async def _save(self, picture: Picture, series: Sequence[Picture]) -> None:
        await self._chat.app.push_screen(SavePicture(picture), self._saved)

    def _saved(self, where: Path | None) -> None:
        if where is not None:
            self._chat.notify(f"Saved as {where}", markup=False)

    async def _copy(self, picture: Picture, series: Sequence[Picture]) -> None:
        path = picture.path if is_url(picture.path) else str(Path(picture.path).expanduser())
        self._chat.app.copy_to_clipboard(path)
        self._chat.hint(f"Path copied · {GONE}" if picture.gone else "Path copied")

    async def _hide(self, picture: Picture, series: Sequence[Picture]) -> None:
        if picture.hit_id is None:
            self._chat.hint("Only found pictures of the open index can be hidden")
            return
        hide = picture.hit_id not in self._chat.conversation.hidden
        await self._chat.conversation.hide(picture.hit_id, hide)
        self._chat.transcript.mark_hidden(self._chat.conversation.hidden)
        self._chat.hint(f"Hidden in this conversation · {self._hide_key} shows it again" if hide else "Shown again")

    @property
    def _hide_key(self) -> str:
        return self._chat.host.preferences.keys.get("picture-hide", "x").split(",")[0]
