"""`fromage-lite evaluate`: how well a model does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tui.cli.console import StatusLine
from tui.cli.options import Device, Dtype, Quantize


def evaluate(
    model: Annotated[
        Path | None,
        typer.Option(help="A shipped model's folder, or one bridge's folder. Default: the shipped playground."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures to this file.")
    ] = None,
    n: Annotated[int, typer.Option(min=10, help="Scenes or questions per figure.")] = 500,
    n_retrieval: Annotated[int, typer.Option(min=10, help="Scenes for the retrieval figures.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of scenes and questions.")] = 1,
    photographs: Annotated[
        Path | None,
        typer.Option(help="For photos: a folder of real ones, filled by scripts/fetch_photographs.py."),
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quantize: Quantize = "none",
) -> None:
    """Measure a model in its world: on held-out scenes of the playground, or on simulated photographs.

    Prints the figures as one flat JSON object; progress goes to stderr.
    """
    from fromage_lite.config import playground_dir
    from fromage_lite.evaluate.figures_file import as_json, write_figures
    from fromage_lite.photos.evaluation.run import evaluate_photos, sees_photographs
    from fromage_lite.playground.evaluation.run import evaluate_playground
    from fromage_lite.sides import side_figures

    folder = model or playground_dir()
    of_photographs = sees_photographs(folder)
    with StatusLine() as line:
        measure = (
            partial(evaluate_photos, photographs=photographs)
            if of_photographs
            else partial(evaluate_playground, n_retrieval=n_retrieval, progress=line)
        )
        figures = measure(folder, device=device, dtype=dtype, quantize=quantize, n=n, seed=seed, report=line.keep)
        if of_photographs:
            figures.update(side_figures(photographs, n, seed))
    if json_file is not None:
        write_figures(json_file, figures)
    typer.echo(as_json(figures))
