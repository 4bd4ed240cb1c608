"""Asks where to save a copy of a picture."""

from __future__ import annotations

import asyncio
from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from fromage_lite.errors import ImageError
from index.pictures.images import sanitize
from tui.input.attachments import to_path
from tui.pictures.files import save_copy, suggested_name
from tui.pictures.thumbnails import Picture


class SavePicture(ModalScreen[Path | None]):
    """One line for the path; gives where the copy is, or None."""

    BINDINGS = [Binding("escape", "dismiss(None)", "Don't save", id="save-close")]

    def __init__(self, picture: Picture) -> None:
        super().__init__()
        self._picture = picture
        self._confirmed = ""  # a name that exists and may be written over

    def compose(self) -> ComposeResult:
        with Vertical(id="saving") as sheet:
            sheet.border_title = "Save a copy of the picture"
            sheet.border_subtitle = "Enter saves · Esc closes"
            yield Input(str(Path.cwd() / suggested_name(self._picture)), compact=True, select_on_focus=False)
            yield Static("", id="saving-problem", markup=False)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        name = event.value.strip()
        if not name:
            return
        try:
            where = await asyncio.to_thread(save_copy, self._picture, to_path(name), overwrite=name == self._confirmed)
        except FileExistsError as error:
            self._confirmed = name
            self._say(f"{sanitize(str(error))} exists. Enter again writes over it.")
        except ImageError as error:
            self._say(" ".join(filter(None, (error.message, error.hint))))
        else:
            self.dismiss(where)

    def _say(self, text: str) -> None:
        self.query_one("#saving-problem", Static).update(f"! {text}")
