"""The words nearest to each patch of a picture, written over the patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from rich.cells import cell_len
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalGroup, VerticalScroll
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from tui.pictures.image_mode import cell_ratio
from tui.widgets.inspection import visible

if TYPE_CHECKING:
    from PIL.Image import Image

    from fromage_lite.model.inspection import PatchGrid, TokenMatch

WIDEST = 16  # columns of a patch
ROWS_AROUND = 10  # of the screen that are not for the picture
Pixel = tuple[int, int, int]


class Patches(Widget, can_focus=True):
    """The picture in half blocks with a word on each patch. Blocks and letters alone: so it looks the same in every
    terminal, also where pictures are drawn in dots, over which no text can be written."""

    BINDINGS = [
        Binding("left", "go(-1, 0)", "Patch to the left", id="patch-left"),
        Binding("right", "go(1, 0)", "Patch to the right", id="patch-right"),
        Binding("up", "go(0, -1)", "Patch above", id="patch-up"),
        Binding("down", "go(0, 1)", "Patch below", id="patch-down"),
    ]

    chosen = reactive(0)
    """The patch whose words are shown, counted row by row."""

    class Chosen(Message):
        """Another patch has been chosen; it is `Patches.chosen`."""

    def __init__(self, words: Sequence[str], grid: PatchGrid) -> None:
        super().__init__()
        self._words, self._grid = tuple(words), grid
        self._patch = (0, 0)  # columns and rows of cells
        self._pixels: Image | None = None  # one for each half of a cell

    # Size -------------------------------------------------------------------------------------------------------

    def get_content_width(self, container: Size, viewport: Size) -> int:
        self._measure(container.width, viewport.height)
        return self._grid.columns * self._patch[0]

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        self._measure(container.width, viewport.height)
        return self._grid.rows * self._patch[1]

    def _measure(self, width: int, screen_height: int) -> None:
        """The largest patches that fit, not stretched more than the room for the whole picture demands."""
        grid = self._grid
        columns = max(1, min(WIDEST, width // grid.columns))
        shape = (grid.image.height / grid.rows) / (grid.image.width / grid.columns)
        room = max(1, (screen_height - ROWS_AROUND) // grid.rows)
        patch = columns, max(1, min(room, round(columns * shape / cell_ratio())))
        if patch != self._patch:
            self._patch = patch
            self._pixels = grid.image.convert("RGB").resize((grid.columns * columns, grid.rows * patch[1] * 2))

    # Drawing ----------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        row, line = divmod(y, max(1, self._patch[1]))
        if self._pixels is None or row >= self._grid.rows:
            return Strip.blank(self.size.width)
        has_words = line == (self._patch[1] - 1) // 2
        segments: list[Segment] = []
        for column in range(self._grid.columns):
            place = row * self._grid.columns + column
            chosen = place == self.chosen and self.has_focus
            segments += self._line_of_patch(self._words[place] if has_words else "", column, y, chosen)
        return Strip(segments, self._grid.columns * self._patch[0])

    def _line_of_patch(self, word: str, column: int, y: int, chosen: bool) -> Iterator[Segment]:
        columns = self._patch[0]
        left, right = column * columns, (column + 1) * columns
        end = max(left + 1, right - 1)  # a column stays free between two words
        x = left
        for character in word:
            width = cell_len(character)
            if x + width > end:
                break
            yield Segment(character, _lettering(self._halves(x, y), chosen))
            x += width
        for rest in range(x, right):
            upper, lower = self._halves(rest, y)
            if chosen and rest == right - 1:
                yield Segment("▐", _lettering((upper, lower), False))
            else:
                yield Segment("▀", Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower)))

    def _halves(self, x: int, y: int) -> tuple[Pixel, Pixel]:
        assert self._pixels is not None
        upper, lower = (cast(Pixel, self._pixels.getpixel((x, 2 * y + half))) for half in (0, 1))  # the image is RGB
        return upper, lower

    # Choosing ---------------------------------------------------------------------------------------------------

    def action_go(self, right: int, down: int) -> None:
        row, column = divmod(self.chosen, self._grid.columns)
        row, column = row + down, column + right
        if 0 <= row < self._grid.rows and 0 <= column < self._grid.columns:
            self.chosen = row * self._grid.columns + column

    def on_click(self, event: events.Click) -> None:
        column, row = event.x // max(1, self._patch[0]), event.y // max(1, self._patch[1])
        if column < self._grid.columns and row < self._grid.rows:
            self.chosen = row * self._grid.columns + column

    def watch_chosen(self) -> None:
        self.post_message(self.Chosen())
        scroll = next((widget for widget in self.ancestors if isinstance(widget, VerticalScroll)), None)
        if scroll is not None:  # a large grid may be taller than the screen
            top = self.region.y - scroll.region.y + scroll.scroll_offset.y
            row = self.chosen // self._grid.columns
            patch = Region(0, top + row * self._patch[1], 1, self._patch[1] + 2)
            scroll.scroll_to_region(patch, animate=False, x_axis=False)


def _lettering(halves: tuple[Pixel, Pixel], reverse: bool) -> Style:
    """Letters that can be read on what lies below them."""
    ground = tuple((a + b) // 2 for a, b in zip(*halves, strict=True))
    light = 0.299 * ground[0] + 0.587 * ground[1] + 0.114 * ground[2] > 140
    ink = Color.from_rgb(0, 0, 0) if light else Color.from_rgb(255, 255, 255)
    paper = Color.from_rgb(*ground)
    if reverse:
        ink, paper = (Color.from_rgb(255, 255, 255), ink) if light else (Color.from_rgb(0, 0, 0), ink)
    return Style(color=ink, bgcolor=paper, bold=True)


class TokenMap(VerticalGroup):
    """A picture with the nearest word on each patch, and all words of the chosen patch below."""

    def __init__(self, name: str, tokens: Sequence[Sequence[TokenMatch]], grid: PatchGrid) -> None:
        """
        Args:
            name: of the picture.
            tokens: the nearest words of each patch, row by row, best first.
            grid: the patches.
        """
        super().__init__(classes="inspection")
        self._name, self._tokens, self._grid = name, tokens, grid

    def compose(self) -> ComposeResult:
        size = f"{self._grid.rows} × {self._grid.columns}"
        yield Static(
            f"◇ The language model's words nearest to the {size} patches of {self._name}; arrow keys choose a patch",
            markup=False,
            classes="found-title",
        )
        words = [visible(matches[0].text).lstrip("·") if matches else "" for matches in self._tokens]
        yield Patches(words, self._grid)
        yield Static("", markup=False, classes="words-of-patch")

    def on_mount(self) -> None:
        self._tell()

    @property
    def patches(self) -> Patches:
        return self.query_one(Patches)

    def on_patches_chosen(self, event: Patches.Chosen) -> None:
        event.stop()
        self._tell()

    def _tell(self) -> None:
        place = self.patches.chosen
        row, column = divmod(place, self._grid.columns)
        parts = [(f"row {row + 1}, column {column + 1}", "$primary bold")]
        for rank, match in enumerate(self._tokens[place]):
            parts.append(("  " + visible(match.text), "bold" if rank == 0 else ""))
            parts.append((f" {match.cosine:.2f}", "$foreground 60%"))
        self.query_one(".words-of-patch", Static).update(Content.assemble(*parts))
