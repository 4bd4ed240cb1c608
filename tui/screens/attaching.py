"""Pictures for the next message: by path, from the file browser, from the clipboard, dropped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path

from fromage_lite.errors import ImageError
from index.files import write_bytes
from index.paths import cache_folder
from tui.input.attachments import paths_of_argument
from tui.input.clipboard import clipboard_pictures
from tui.screens.browser import FileBrowser
from tui.screens.dialogue import DialogueScreen
from tui.widgets.composer import Composer, PromptArea

LAST_FOLDER = "last-folder"

log = logging.getLogger(__name__)


class AttachingScreen(DialogueScreen):
    """What the chat does with pictures before they are sent."""

    async def on_prompt_area_dropped(self, event: PromptArea.Dropped) -> None:
        self.attach_files(event.paths)

    async def on_composer_picture_chosen(self, event: Composer.PictureChosen) -> None:
        self.attach_files([event.path])

    async def on_prompt_area_paste_wanted(self) -> None:
        self.run_worker(self._paste(or_text=True), group="attach")

    async def command_image(self, argument: str) -> None:
        if argument:
            self.attach_files(paths_of_argument(argument))
        else:
            await self.action_attach()

    async def command_paste(self, argument: str = "") -> None:
        self.run_worker(self._paste(), group="attach")

    async def action_attach(self) -> None:
        await self.app.push_screen(FileBrowser(self._last_folder(), self.mode), self._take)

    def _take(self, chosen: list[Path] | None) -> None:
        if chosen:
            self.run_worker(asyncio.to_thread(self._remember_folder, chosen[-1].parent), group="state")
            self.attach_files(chosen)
        self.composer.prompt.focus()

    def attach_files(self, paths: Iterable[Path]) -> None:
        """Reads these files in the background and adds a chip for each; says which can't be read."""
        self.run_worker(self._add_chips(list(paths)), group="attach")

    async def _add_chips(self, paths: list[Path]) -> None:
        for path in paths:
            try:
                self.composer.attach(*await self.read([path]))
            except ImageError as error:
                await self.note_error(error)

    async def _paste(self, or_text: bool = False) -> None:
        try:
            pictures = await asyncio.to_thread(clipboard_pictures, cache_folder() / "clipboard")
        except ImageError as error:
            if not or_text:
                await self.note_error(error, "")
            elif self.app.clipboard:  # what was copied inside the app
                self.composer.prompt.action_paste()
            else:
                self.hint(error.message)
        else:
            await self._add_chips(pictures)

    # The browser's folder ---------------------------------------------------------------------------------------

    @property
    def _folder_file(self) -> Path | None:
        state: Path | None = getattr(self.app, "state", None)
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
