"""`fromage-lite evaluate`: how well a model does."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fromage_lite.errors import ConfigError
from fromage_lite.evaluate.options import TaskOptions
from tui.cli.console import StatusLine
from tui.cli.options import Device, Dtype, Quantize, with_options

SUITES = ("paper", "recipes")
_SUITE, _SCENES = "The paper in miniature", 500


@with_options
def evaluate(
    model: Annotated[
        Path | None,
        typer.Option(help="A shipped model's folder, or one bridge's folder. Default: the shipped playground."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures to this file.")
    ] = None,
    n: Annotated[int, typer.Option(min=10, help="Scenes or questions per figure.")] = _SCENES,
    n_retrieval: Annotated[int, typer.Option(min=10, help="Scenes for the retrieval figures.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of scenes, questions, draws and intervals.")] = 1,
    photographs: Annotated[
        Path | None,
        typer.Option(help="For photos: a folder of real ones, filled by scripts/fetch_photographs.py."),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="paper|recipes",
            help="In the playground: the paper's tasks and ablations, or its relatives compared. Writes to --out.",
            rich_help_panel=_SUITE,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps of each training in the suite.",
            show_default="100 for ablations, the recipes' own",
            rich_help_panel=_SUITE,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for a report, as HTML and Markdown. A run that was interrupted goes on there."),
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quantize: Quantize = "none",
    *,
    on_data: TaskOptions,
) -> None:
    """Measure a model: in its world (by default), on a published data set (--task), or by the paper's tasks and
    ablations in miniature (--suite paper).

    Prints the figures as one flat JSON object; progress goes to stderr.
    """
    if suite is not None and on_data.task is not None:
        raise ConfigError("--suite and --task are two things.", "Give one of them.")
    if suite == "recipes":
        _recipes(out, steps, n if n != _SCENES else None, seed, device)
    elif suite is not None:
        _paper(suite, model, out, seed, steps or 100, device)
    elif on_data.task is not None:
        _task(on_data, model, out, json_file, seed, device, dtype, quantize)
    else:
        _world(model, json_file, n, n_retrieval, seed, photographs, device, dtype, quantize)


def _world(
    model: Path | None,
    json_file: Path | None,
    n: int,
    n_retrieval: int,
    seed: int,
    photographs: Path | None,
    device: str,
    dtype: str,
    quantize: str,
) -> None:
    """On held-out scenes of the playground, or on simulated photographs."""
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


def _task(
    options: TaskOptions,
    model: Path | None,
    out: Path | None,
    json_file: Path | None,
    seed: int,
    device: str,
    dtype: str,
    quantize: str,
) -> None:
    """On a published data set."""
    from fromage_lite.config import playground_dir
    from fromage_lite.evaluate.figures_file import as_json, write_figures
    from fromage_lite.evaluate.run import run_task

    name = str(model or playground_dir())
    with StatusLine() as line:
        result = run_task(
            options, name, out=out, seed=seed, device=device, dtype=dtype, quantize=quantize, report=line.keep
        )
        line.keep(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in result.counts.items()))
    figures = {name: figure.value for name, figure in result.figures.items()}
    if json_file is not None:
        write_figures(json_file, figures)
    typer.echo(as_json(figures))


def _recipes(out: Path | None, steps: int | None, n: int | None, seed: int, device: str) -> None:
    """FROMAGe's relatives compared."""
    from fromage_lite.playground.suite.recipes import run_recipes

    if out is None:
        raise ConfigError("The suite's table needs a folder.", "Name one: --out DIR.")
    with StatusLine() as line:
        table = run_recipes(out, steps=steps, n=n or 200, seed=seed, device=device, report=line.keep)
    typer.echo(table.read_text(encoding="utf-8"), nl=False)


def _paper(suite: str, model: Path | None, out: Path | None, seed: int, steps: int, device: str) -> None:
    """The paper in miniature."""
    from fromage_lite.config import playground_dir
    from fromage_lite.photos.evaluation.run import sees_photographs
    from fromage_lite.playground.suite.run import run_suite
    from fromage_lite.playground.suite.stages import SuiteOptions

    if suite not in SUITES:
        raise ConfigError(f"There is no suite {suite!r}.", f"Choose {' or '.join(SUITES)}.")
    if out is None:
        raise ConfigError("The suite's report needs a folder.", "Name one: --out DIR.")
    if model is not None and sees_photographs(model):
        raise ConfigError(f"{model} sees photographs, and the suite is of the playground.", "Name another --model.")
    options = SuiteOptions(model=model or playground_dir(), out=out, seed=seed, steps=steps, device=device)
    with StatusLine() as line:
        page = run_suite(options, line.keep)
    typer.echo(json.dumps({"report": str(page)}))
