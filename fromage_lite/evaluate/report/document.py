"""What a report consists of, before it is HTML or Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fromage_lite.evaluate.intervals import Figure
from fromage_lite.evaluate.tasks.result import Sample


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        columns: the headings.
        rows: as many cells each.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plot:
    """Figures with their intervals over a few places.

    Attributes:
        name: of its file.
        title, x_label, y_label: what it shows.
        places: what stands under the axis, in order.
        lines: for each name a figure at each place; None where there is none.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    places: Sequence[str]
    lines: Mapping[str, Sequence[Figure | None]]


@dataclass(frozen=True)
class Samples:
    """Examples, with their pictures."""

    samples: Sequence[Sample]


@dataclass(frozen=True)
class Code:
    """Lines to be shown as they are."""

    text: str


Block = str | Table | Plot | Samples | Code
"""A paragraph, or one of these."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Report:
    """All of it.

    Attributes:
        title: its heading.
        facts: a line under it.
        sections: in order.
    """

    title: str
    facts: str
    sections: Sequence[Section]


def shown(figure: Figure | None, digits: int = 3) -> str:
    """`0.965 [0.935, 0.985]`, or a dash for what was not measured."""
    if figure is None or math.isnan(figure.value):
        return "–"
    return f"{figure.value:.{digits}f} [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"
