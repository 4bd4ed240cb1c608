"""Pictures for the next message: by path, from the file browser, from the clipboard, dropped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

from fromage_lite.config import PHOTOS
from fromage_lite.errors import ImageError
from index.files import write_bytes
from index.paths import cache_folder
from tui import pictures
from tui.input.attachments import paths_of_argument
from tui.input.clipboard import clipboard_pictures
from tui.input.commands import Key, command
from tui.screens.browser import FileBrowser
from tui.screens.feature import Feature
from tui.screens.interface import TYPED
from tui.screens.sending import read_pictures

LAST_FOLDER = "last-folder"
# A scene that `playground.world.render` drew with a seed that no training has seen; a photograph, with its licence.
SCENE, PHOTOGRAPH = (Path(pictures.__file__).with_name(name) for name in ("sample.png", "sample-photograph.jpg"))
QUESTION = "what is in this picture?"

log = logging.getLogger(__name__)


class Attaching(Feature):
    """What the chat does with pictures before they are sent."""

    @command(
        "image",
        "Attach a picture; without a file, look for one",
        argument="[PATH]",
        aliases=("attach",),
        completes="pictures",
        key=Key("ctrl+o", "Attach a picture", "attach"),
    )
    async def attach(self, argument: str) -> None:
        files = paths_of_argument(argument)
        folder = files[0] if len(files) == 1 and await asyncio.to_thread(_is_folder, files[0]) else None
        if files and folder is None:
            self.attach_files(files)
        else:
            where = folder.absolute() if folder is not None else self._last_folder()
            await self.chat.app.push_screen(FileBrowser(where, self.chat.mode), self._take)

    @command(
        "sample",
        "Attach a sample picture, and a question",
        key=Key("f5", "A sample picture to ask about", "sample"),
    )
    async def sample(self) -> None:
        chat = self.chat
        await self._add_chips([PHOTOGRAPH if chat.conversation.sees == PHOTOS else SCENE])
        if not chat.composer.prompt.text.strip():
            chat.composer.prompt.fill(QUESTION)
        chat.composer.prompt.focus()

    @command("paste", "Attach the picture that is in the clipboard")
    async def paste(self) -> None:
        self.chat.start(self._paste(), "attach")

    def paste_picture_or_text(self) -> None:
        """Attaches the clipboard's picture; without one, inserts the text that was copied inside the app."""
        self.chat.start(self._paste_picture_or_text(), "attach")

    def attach_files(self, files: Iterable[Path]) -> None:
        """Reads these files in the background and adds a chip for each; says which can't be read."""
        self.chat.forget(TYPED)
        self.chat.start(self._add_chips(list(files)), "attach")

    def _take(self, chosen: list[Path] | None) -> None:
        if chosen:
            self.chat.start(asyncio.to_thread(self._remember_folder, chosen[-1].parent), "state")
            self.attach_files(chosen)
        self.chat.composer.prompt.focus()

    async def _add_chips(self, files: list[Path]) -> None:
        for file in files:
            try:
                self.chat.composer.attach(*await read_pictures([file]))
            except ImageError as error:
                await self.chat.note_error(error, about=TYPED)

    async def _paste(self) -> None:
        await self._add_chips(await asyncio.to_thread(clipboard_pictures, cache_folder() / "clipboard"))

    async def _paste_picture_or_text(self) -> None:
        try:
            await self._paste()
        except ImageError as error:
            if self.chat.app.clipboard:
                self.chat.composer.prompt.action_paste()
            else:
                self.chat.hint(error.message)

    # The browser's folder ---------------------------------------------------------------------------------------

    @property
    def _folder_file(self) -> Path | None:
        state = self.chat.host.state
        return state / LAST_FOLDER if state is not None else None

    def _last_folder(self) -> Path:
        try:
            if self._folder_file is not None:
                folder = Path(self._folder_file.read_text(encoding="utf-8", errors="surrogateescape").strip("\n"))
                if folder.is_absolute() and folder.is_dir():
                    return folder
        except (OSError, ValueError):
            pass
        return Path.cwd()

    def _remember_folder(self, folder: Path) -> None:
        if self._folder_file is not None:
            try:
                write_bytes(self._folder_file, str(folder.resolve()).encode("utf-8", "surrogateescape"), mode=0o600)
            except OSError as error:
                log.warning("the last folder can't be kept: %s", error)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
