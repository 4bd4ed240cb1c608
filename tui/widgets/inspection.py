"""What looking inside shows: words beside visual tokens, the probability of `[RET]` along a reply."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import set_cell_size
from textual.app import ComposeResult
from textual.containers import VerticalGroup
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from fromage_lite.chat.events import ContextPart, RetTrace
from fromage_lite.text.marks import RET
from index.pictures.images import one_line

if TYPE_CHECKING:
    from fromage_lite.model.inspection import TokenMatch

BARS = "▁▂▃▄▅▆▇█"
WORD_WIDTH = 15
BEFORE = 30  # characters of the reply shown before its peak


class TokenTable(VerticalGroup):
    """For each visual token of a picture the nearest words, as many as there is room for."""

    def __init__(self, name: str, tokens: Sequence[Sequence[TokenMatch]]) -> None:
        super().__init__(classes="inspection")
        self._name, self._tokens = name, tokens

    def compose(self) -> ComposeResult:
        count = len(self._tokens)
        plural = "s" if count != 1 else ""
        yield Static(
            f"◇ The language model's words nearest to the {count} visual token{plural} of {self._name} (cosine)",
            markup=False,
            classes="found-title",
        )
        yield Static("", markup=False, classes="table")

    def on_resize(self, event: Resize) -> None:
        fits = max(1, (self.size.width - 4) // (WORD_WIDTH + 5))
        rows = [
            Content.assemble((f"{n:>3} ", "$foreground 60%"), *_words(m[:fits])) for n, m in enumerate(self._tokens, 1)
        ]
        self.query_one(".table", Static).update(Content("\n").join(rows))


def _words(matches: Sequence[TokenMatch]) -> list[Content | tuple[str, str]]:
    parts: list[Content | tuple[str, str]] = []
    for rank, match in enumerate(matches):
        word = set_cell_size(visible(match.text), WORD_WIDTH - 2)
        cosine = f" {f'{match.cosine:.2f}'.replace('0.', '.', 1):>5} "
        parts += [(word, "bold" if rank == 0 else ""), (cosine, "$foreground 60%")]
    return parts


def visible(token: str) -> str:
    """A token as it can be shown: blanks and line breaks as signs."""
    return one_line(token.replace(" ", "·").replace("\n", "⏎").replace("\t", "⇥")) or "?"


class WhyView(VerticalGroup):
    """How near each step of a reply was to `[RET]`, and what the model had read."""

    def __init__(self, trace: RetTrace) -> None:
        super().__init__(classes="inspection")
        self._trace = trace

    def compose(self) -> ComposeResult:
        yield Static("◇ Probability of [RET] at each token of the last reply", markup=False, classes="found-title")
        if self._trace.probabilities:
            yield Static("", markup=False, classes="sparkline")
        yield Static("\n".join(self._facts()), markup=False, classes="facts")

    def on_resize(self, event: Resize) -> None:
        width = max(1, self.size.width)
        bars = "".join(map(bar, self._trace.probabilities))
        said = {step for step, text in enumerate(self._trace.texts) if text == RET}
        lines = []
        for start in range(0, len(bars), width):
            cells = [
                (bars[i], "$accent" if i in said else "$primary") for i in range(start, min(start + width, len(bars)))
            ]
            lines.append(Content.assemble(*cells))
        for line in self.query(".sparkline").results(Static):
            line.update(Content("\n").join(lines))

    def _facts(self) -> list[str]:
        probabilities, texts = self._trace.probabilities, self._trace.texts
        if not probabilities:
            return ["Nothing was generated."]
        peak = max(range(len(probabilities)), key=probabilities.__getitem__)
        before = one_line("".join(text for text in texts[:peak] if text != RET))
        where = (
            f"after “{'…' if len(before) > BEFORE else ''}{before[-BEFORE:]}”" if before else "at the very beginning"
        )
        facts = [f"peak  {figure(probabilities[peak])} at token {peak + 1} of {len(probabilities)}, {where}"]
        said = [n for n, text in enumerate(texts, 1) if text == RET]
        if said:
            facts.append(
                f"said  at token {', '.join(map(str, said))}; each query is made from all that was read before:"
            )
        else:
            facts.append("said  never. Had it been, the query would have been made from all that was read before:")
        facts += [f"      {line}" for line in map(part_in_words, self._trace.context[:-1])]
        if self._trace.context:
            this = self._trace.context[-1]
            facts.append(f"      {part_in_words(this)}  (the message itself)")
        if said:
            facts.append(f"      this reply up to [RET]: {said[-1] - 1} token{'s' if said[-1] != 2 else ''}")
        return facts


def bar(probability: float) -> str:
    """One cell of the sparkline: eighths from 0 to 1."""
    return BARS[min(len(BARS) - 1, int(probability * len(BARS)))]


def figure(probability: float) -> str:
    """A probability with three significant digits, never rounded to 0 or 1 in words."""
    if probability < 0.001:
        return "below 0.001"
    return f"{probability:.3f}" if probability < 0.9995 else "above 0.999"


def part_in_words(part: ContextPart) -> str:
    """A turn of the context on one line."""
    names = ", ".join(one_line(Path(path).name) for path in part.pictures)
    with_pictures = f", with {names}" if names else ""
    return f"turn {part.turn}: {part.positions} token{'s' if part.positions != 1 else ''}{with_pictures}"
