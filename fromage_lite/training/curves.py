"""The curves of a run as a picture; with matplotlib, which the extra `report` brings."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from index.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = "curves.png"
NEEDED = "Curves as pictures take matplotlib: pip install 'fromage-lite[report]'."
_NOT_LOSSES = {"step", "gradient_norm", "learning_rate", "temperature"}


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw_run(metrics: Sequence[Mapping[str, float]], path: Path) -> bool:
    """Draws the losses of a run, its held-out figures and its learning rate over the steps.

    Args:
        metrics: as in `metrics.jsonl`.
        path: a PNG file, replaced atomically.

    Returns:
        whether it was drawn: not without matplotlib, nor before the first step.
    """
    training = [entry for entry in metrics if "validation/total" not in entry]
    held_out = [entry for entry in metrics if "validation/total" in entry]
    if not can_draw() or not training:
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), layout="constrained")
    losses, validation, rate, scores = figure.subplots(2, 2).flatten()
    names = [name for name in training[0] if name not in _NOT_LOSSES]
    _lines(losses, training, names, "losses in training")
    shares = [name for name in (held_out[0] if held_out else ()) if "recall" in name or "accuracy" in name]
    _lines(validation, held_out, [f"validation/{name}" for name in names], "losses on held-out data")
    _lines(scores, held_out, shares, "shares on held-out data")
    _lines(rate, training, ["learning_rate", "gradient_norm"], "learning rate and norm of the gradients")
    rate.set_yscale("log")
    _save(figure, path)
    return True


def draw_rates(
    rates: Sequence[float], losses: Sequence[float], smooth: Sequence[float], best: float, path: Path
) -> bool:
    """Draws the loss over the learning rate of a search for one; returns whether it was drawn."""
    if not can_draw():
        return False
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses, alpha=0.3, label="loss")
    axes.plot(rates, smooth, label="smoothed")
    axes.axvline(best, linestyle="--", color="grey", label=f"steepest: {best:.1e}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="total loss")
    axes.legend()
    _save(figure, path)
    return True


def _lines(axes: Axes, entries: Sequence[Mapping[str, float]], names: Sequence[str], title: str) -> None:
    for name in names:
        points = [(entry["step"], entry[name]) for entry in entries if name in entry]
        if points:
            marker = "o" if len(points) < 20 else ""
            axes.plot(*zip(*points, strict=True), label=name.removeprefix("validation/"), marker=marker, markersize=3)
    axes.set(title=title, xlabel="step")
    if axes.lines:
        axes.legend(fontsize="small")


def _save(figure: Figure, path: Path) -> None:
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=100)
    write_bytes(path, image.getvalue())
