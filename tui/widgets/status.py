"""The bottom line: what the app is doing, with what, and how fast. Drops what doesn't fit, least important first."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.timer import Timer
from textual.widget import Widget

from fromage_lite.chat.events import Statistics

HELP = "F1 help"
REMARK_SECONDS = 4


class StatusBar(Widget):
    """One line. `state` is always shown; the rest as there is room."""

    state = reactive("starting")
    kind = reactive("busy")  # busy, ready or error
    model = reactive("")
    device = reactive("")
    pictures = reactive("")
    work = reactive("")
    """What is going on in the background."""
    statistics: reactive[Statistics | None] = reactive(None)
    remark = reactive("")
    keys = reactive("")
    """What the keys do with what has the focus; shown in place of the details."""
    remark_about = ""
    """The matter of the remark, with which it goes."""
    _timer: Timer | None = None

    SIGNS = {"busy": ("◔", "$warning"), "ready": ("●", "$success"), "error": ("✗", "$error")}

    def flash(self, text: str, about: str = "") -> None:
        """Shows a passing remark in place of the details, until its matter is over or for a moment."""
        self.remark, self.remark_about = text, about
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(REMARK_SECONDS, self.clear_remark)

    def clear_remark(self) -> None:
        self.remark = self.remark_about = ""

    def forget(self, about: str) -> None:
        """Removes the remark if its matter is over."""
        if self.remark_about == about:
            self.clear_remark()

    def render(self) -> Content:
        sign, colour = self.SIGNS[self.kind]
        if self.remark:
            remark = Content.assemble((f"{sign} ", colour), (self.remark, "$warning"))
            return remark.truncate(self.content_size.width, ellipsis=True)
        state = Content.assemble((f"{sign} ", colour), self.state, (f" · {self.work}" if self.work else "", "$accent"))
        if self.keys:
            line = Content.assemble(state, (f" · {self.keys}", "$foreground 80%"))
            return line.truncate(self.content_size.width, ellipsis=True)
        room = self.content_size.width - state.cell_length
        # By importance: (rank, text); drawn in the order of the list.
        parts = [(1, self.model), (4, self.device), (5, self.pictures)]
        if self.statistics is not None:
            s = self.statistics
            parts += [(2, f"{s.tokens_per_second:.0f} tok/s"), (3, f"first {s.time_to_first_token:.2f} s")]
            if s.retrieval_ms:
                parts.append((3, f"search {s.retrieval_ms:.1f} ms"))
        kept: set[int] = set()
        for index, (_, text) in sorted(enumerate(parts), key=lambda entry: entry[1][0]):
            if text and len(text) + 3 <= room:
                kept.add(index)
                room -= len(text) + 3
        details = "".join(f" · {text}" for index, (_, text) in enumerate(parts) if index in kept)
        line = Content.assemble(state, (details, "$foreground 60%"))
        if room >= len(HELP) + 2:
            line = Content.assemble(line, " " * (room - len(HELP)), (HELP, "$foreground 60%"))
        return line.truncate(self.content_size.width, ellipsis=True)
