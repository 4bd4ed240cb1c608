"""Looking for a picture file: a tree of folders with their pictures, and what the one under the cursor shows."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.events import Key, Resize
from textual.message import Message
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import DirectoryTree, Static, Tree
from textual.widgets.directory_tree import DirEntry
from textual.widgets.tree import TreeNode

from fromage_lite.errors import ImageError
from index.pictures.images import PICTURE_SUFFIXES, sanitize
from tui.pictures.image_mode import ImageMode, cell_ratio, image_widget
from tui.pictures.thumbnails import Picture, fit_box, load_file


def natural(name: str) -> list[tuple[int, str]]:
    """By this `10.png` comes after `9.png`."""
    return [
        (int(part) if part.isdecimal() and len(part) < 20 else -1, part) for part in re.split(r"(\d+)", name.lower())
    ]


class PictureTree(DirectoryTree):
    """Folders and pictures, hidden ones left out unless wanted."""

    BINDINGS = [
        Binding("left", "close_or_up", "Close the folder, or go up", id="files-left"),
        Binding("right", "open", "Open the folder", id="files-right"),
    ]
    ICON_NODE = "▸ "
    ICON_NODE_EXPANDED = "▾ "
    ICON_FILE = "  "
    hidden: reactive[bool] = reactive(False, init=False)

    class LeftRoot(Message):
        """The user wants the folder above."""

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        return (path for path in paths if self._is_wanted(path))

    def _is_wanted(self, path: Path) -> bool:
        if path.name.startswith(".") and not self.hidden:
            return False
        return path.suffix.lower() in PICTURE_SUFFIXES or self._safe_is_dir(path)

    def _populate_node(self, node: TreeNode[DirEntry], content: Iterable[Path]) -> None:
        ordered = sorted(content, key=lambda path: (not self._safe_is_dir(path), natural(path.name)))
        super()._populate_node(node, ordered)

    def process_label(self, label: str | Text) -> Text:
        return Text(sanitize(str(label)).replace("\n", " ") or "?")

    async def watch_hidden(self) -> None:
        await self.reload()

    def action_open(self) -> None:
        node = self.cursor_node
        if node is not None and node.allow_expand:
            if node.is_expanded and node.children:
                self.action_cursor_down()
            else:
                node.expand()

    def action_close_or_up(self) -> None:
        node = self.cursor_node
        if node is None:
            return
        if node.allow_expand and node.is_expanded and node is not self.root:
            node.collapse()
        elif node.parent is not None:
            self.move_cursor(node.parent)
        else:
            self.post_message(self.LeftRoot())

    def find(self, start: str) -> bool:
        """Moves to the next entry whose name begins so."""
        cursor = self.cursor_line
        for line in [*range(cursor + (len(start) == 1), self.last_line + 1), *range(cursor + 1)]:
            node = self.get_node_at_line(line)
            if node is not None and node is not self.root and str(node.label).lower().startswith(start):
                self.move_cursor(node)
                return True
        return False


class FileBrowser(ModalScreen[list[Path]]):
    """Gives the chosen pictures back, or an empty list.

    Args:
        folder: where to begin.
        mode: how the preview is drawn.
    """

    CSS_PATH = "browser.tcss"
    BINDINGS = [
        Binding("escape", "cancel", "Close without a picture", id="files-cancel"),
        Binding("space", "mark", "Take several: mark this one", id="files-mark", priority=True),
        Binding("backspace", "up", "The folder above", id="files-up"),
        Binding("tilde", "home", "The home folder", id="files-home"),
        Binding("full_stop", "toggle_hidden", "Show hidden files, or don't", id="files-hidden"),
    ]

    def __init__(self, folder: Path, mode: ImageMode) -> None:
        super().__init__()
        self._folder = folder
        self._mode = mode
        self._marked: list[Path] = []
        self._typed = ""
        self._previewed: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder that is shown."""
        return Path(self.tree_widget.path)

    @property
    def tree_widget(self) -> PictureTree:
        return self.query_one(PictureTree)

    def compose(self) -> ComposeResult:
        with Vertical(id="files") as sheet:
            sheet.border_title = "Attach a picture"
            with Horizontal(id="files-body"):
                yield PictureTree(self._folder)
                with Vertical(id="preview"):
                    yield Static("", id="preview-words", markup=False)
            yield Static("", id="files-status", markup=False)

    def on_mount(self) -> None:
        self.tree_widget.focus()
        self._say()

    def on_resize(self, event: Resize) -> None:
        keys = ("Enter takes", "Space marks", "Backspace up", "Esc closes")
        fitting = keys if event.size.width >= 64 else keys[::3]
        self.query_one("#files").border_subtitle = " · ".join(fitting)

    # Choosing ---------------------------------------------------------------------------------------------------

    def on_directory_tree_file_selected(self, event: DirectoryTree.FileSelected) -> None:
        event.stop()
        self.dismiss([*(path for path in self._marked if path != event.path), event.path])

    def action_cancel(self) -> None:
        self.dismiss([])

    def action_mark(self) -> None:
        node = self.tree_widget.cursor_node
        if node is None or node.data is None:
            return
        if node.allow_expand:
            self.tree_widget.action_toggle_node()
            return
        path = node.data.path
        if path in self._marked:
            self._marked.remove(path)
        else:
            self._marked.append(path)
        mark = f"✓ {sanitize(path.name)}" if path in self._marked else sanitize(path.name)
        node.set_label(mark)
        self._say()
        self.tree_widget.action_cursor_down()

    def _say(self) -> None:
        marked = f" · {len(self._marked)} marked" if self._marked else ""
        self.query_one("#files-status", Static).update(f"{sanitize(str(self.folder))}{marked}")

    # Moving -----------------------------------------------------------------------------------------------------

    def action_up(self) -> None:
        self._go(self.folder.resolve().parent)

    def action_home(self) -> None:
        self._go(Path.home())

    def action_toggle_hidden(self) -> None:
        self.tree_widget.hidden = not self.tree_widget.hidden

    def _go(self, folder: Path) -> None:
        self.tree_widget.path = folder
        self._typed = ""
        self._say()

    def on_picture_tree_left_root(self) -> None:
        self.action_up()

    def on_key(self, event: Key) -> None:
        character = event.character
        if not event.is_printable or not character or character in " ~.":
            self._typed = ""
            return
        self._typed += character.lower()
        if not self.tree_widget.find(self._typed):
            self._typed = character.lower()
            self.tree_widget.find(self._typed)

    # Preview ----------------------------------------------------------------------------------------------------

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[DirEntry]) -> None:
        data = event.node.data
        path = data.path if data is not None and not event.node.allow_expand else None
        if path != self._previewed:
            self._previewed = path
            self.run_worker(self._preview(path), group="preview", exclusive=True)

    async def _preview(self, path: Path | None) -> None:
        picture, words = None, ""
        if path is not None:
            try:
                picture = await asyncio.to_thread(load_file, path)
                words = f"{picture.caption}\n{picture.detail}"
            except ImageError as error:
                words = f"✗ {error.message}"
        pane = self.query_one("#preview")
        await pane.query(".preview-picture").remove()
        if picture is not None and (widget := self._picture(picture)) is not None:
            await pane.mount(widget, before=0)
        self.query_one("#preview-words", Static).update(words)

    def _picture(self, picture: Picture) -> Widget | None:
        kind = image_widget(self._mode)
        if kind is None or picture.image is None:
            return None
        pane = self.query_one("#preview")
        limit = (max(4, pane.content_size.width), max(2, pane.content_size.height - 3))
        widget = kind(picture.image, classes="preview-picture")
        widget.styles.width, widget.styles.height = fit_box(picture.image.size, limit, cell_ratio())
        return widget
