"""Plots as PNG, by matplotlib."""

from __future__ import annotations

import io

from fromage_lite.evaluate.extra import PLOTS, need
from fromage_lite.evaluate.report.document import Plot

_SIZE = (6.4, 3.8)  # inches
_COLOURS = ("#1f5fa8", "#c2571a", "#2d7d46", "#7a4a9e", "#555555")


def draw(plot: Plot) -> bytes:
    """The plot as a PNG file: a line and its bars of intervals for each name.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    need(PLOTS)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=_SIZE, dpi=120, layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.add_subplot()
    for number, (name, figures) in enumerate(plot.lines.items()):
        known = [(place, figure) for place, figure in enumerate(figures) if figure is not None and figure.n]
        if not known:
            continue
        values = [figure.value for _, figure in known]
        below = [max(figure.value - figure.low, 0.0) for _, figure in known]
        above = [max(figure.high - figure.value, 0.0) for _, figure in known]
        # Side by side, so that intervals don't hide each other.
        shift = 0.04 * (number - (len(plot.lines) - 1) / 2)
        places = [place + shift for place, _ in known]
        colour = _COLOURS[number % len(_COLOURS)]
        axes.errorbar(places, values, yerr=[below, above], label=name, color=colour, marker="o", capsize=3, lw=1.6)
    axes.set_xticks(range(len(plot.places)), plot.places)
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small")
    stream = io.BytesIO()
    drawing.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
