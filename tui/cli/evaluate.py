"""`fromage-lite evaluate`: how well a model does."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fromage_lite.errors import ConfigError
from tui.cli.console import StatusLine
from tui.cli.options import Device, Dtype, Quantize

if TYPE_CHECKING:
    from fromage_lite.evaluate.run import TaskOptions
    from fromage_lite.evaluate.tasks.result import TaskResult

SUITES = ("paper",)
_DATA, _SUITE = "On a data set", "The paper in miniature"


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
    seed: Annotated[int, typer.Option(help="Seed of scenes, questions, draws and intervals.")] = 1,
    photographs: Annotated[
        Path | None,
        typer.Option(help="For photos: a folder of real ones, filled by scripts/fetch_photographs.py."),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="paper",
            help="Measure the paper's tasks and ablations in the playground, and write one report to --out.",
            rich_help_panel=_SUITE,
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each ablation's training.", rich_help_panel=_SUITE)] = 80,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the report. A run that was interrupted goes on there.", rich_help_panel=_SUITE),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="captions, retrieval (COCO, NoCaps, Flickr30k, CC3M), stories (VIST), dialogues, answers (VisDial) "
            "or questions (VQA v2, OK-VQA, GQA).",
            rich_help_panel=_DATA,
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The data set's file.", rich_help_panel=_DATA)] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of its pictures; may be given several times. Default: the file's own, and images in it.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    dense: Annotated[Path | None, typer.Option(help="VisDial's dense annotations.", rich_help_panel=_DATA)] = None,
    examples: Annotated[
        Path | None, typer.Option(help="Questions with answers to put before each question.", rich_help_panel=_DATA)
    ] = None,
    shots: Annotated[
        str, typer.Option(help="How many of them, separated by commas.", rich_help_panel=_DATA)
    ] = "0,1,2,4,8",
    beams: Annotated[
        str, typer.Option(help="Numbers of beams for captions; 1 is greedy.", rich_help_panel=_DATA)
    ] = "1,3",
    prompt: Annotated[str, typer.Option(help="Words between a picture and its caption.", rich_help_panel=_DATA)] = "",
    split: Annotated[str, typer.Option(help="Of Karpathy's files.", rich_help_panel=_DATA)] = "test",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many entries.", rich_help_panel=_DATA)
    ] = None,
    as_original: Annotated[
        bool,
        typer.Option(
            "--as-original", help="Score as the original's scripts do, faults included.", rich_help_panel=_DATA
        ),
    ] = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quantize: Quantize = "none",
) -> None:
    """Measure a model: in its world (by default), on a published data set (--task), or by the paper's tasks and
    ablations in miniature (--suite paper).

    Prints the figures as one flat JSON object; progress goes to stderr.
    """
    if suite is not None or task is not None:
        if suite is not None and task is not None:
            raise ConfigError("--suite and --task are two things.", "Give one of them.")
        if suite is not None:
            _paper(suite, model, out, seed, steps, device)
            return
        if data is None:
            raise ConfigError(f"The task {task} needs a data set.", "Name its file: --data FILE.")
        from fromage_lite.evaluate.run import TaskOptions

        options = TaskOptions(
            task=task,  # type: ignore[arg-type]  # checked there
            data=data,
            images=tuple(images or ()),
            out=out,
            dense=dense,
            examples=examples,
            shots=_numbers(shots, "--shots", 0),
            beams=_numbers(beams, "--beams", 1),
            split=split,
            limit=limit,
            as_original=as_original,
            prompt=prompt,
            seed=seed,
            device=device,
            dtype=dtype,
            quantize=quantize,
        )
        _task(options, model, json_file)
        return
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


def _task(options: TaskOptions, model: Path | None, json_file: Path | None) -> None:
    """On a published data set."""
    from fromage_lite.config import playground_dir
    from fromage_lite.evaluate.figures_file import as_json, write_figures
    from fromage_lite.evaluate.run import run_task

    with StatusLine() as line:
        result: TaskResult = run_task(options, str(model or playground_dir()), line.keep)
        line.keep(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in result.counts.items()))
    figures = {name: figure.value for name, figure in result.figures.items()}
    if json_file is not None:
        write_figures(json_file, figures)
    typer.echo(as_json(figures))


def _paper(suite: str, model: Path | None, out: Path | None, seed: int, steps: int, device: str) -> None:
    """The paper in miniature."""
    from fromage_lite.config import playground_dir
    from fromage_lite.playground.suite.run import run_suite
    from fromage_lite.playground.suite.stages import SuiteOptions

    if suite not in SUITES:
        raise ConfigError(f"There is no suite {suite!r}.", f"Choose {' or '.join(SUITES)}.")
    if out is None:
        raise ConfigError("The suite's report needs a folder.", "Name one: --out DIR.")
    options = SuiteOptions(model=model or playground_dir(), out=out, seed=seed, steps=steps, device=device)
    with StatusLine() as line:
        page = run_suite(options, line.keep)
    typer.echo(json.dumps({"report": str(page)}))


def _numbers(text: str, name: str, least: int) -> tuple[int, ...]:
    """Whole numbers, separated by commas.

    Raises:
        ConfigError: these are none.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 4 and int(part) >= least for part in parts):
        raise ConfigError(f"{name} must be whole numbers from {least} on, separated by commas, not {text!r}.")
    return tuple(dict.fromkeys(map(int, parts)))
