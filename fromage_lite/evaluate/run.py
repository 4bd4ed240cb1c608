"""One task on one data set: what `fromage-lite evaluate --task` calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from fromage_lite.config import LoadOptions
from fromage_lite.errors import ConfigError, StoreError
from fromage_lite.evaluate.formats.captions import read_captions
from fromage_lite.evaluate.formats.dialogues import read_visdial
from fromage_lite.evaluate.formats.questions import read_questions
from fromage_lite.evaluate.formats.stories import read_vist
from fromage_lite.evaluate.report.document import Code, Report, Samples, Section, Table, shown
from fromage_lite.evaluate.report.writing import write_report
from fromage_lite.evaluate.tasks.answers import evaluate_answers
from fromage_lite.evaluate.tasks.captions import evaluate_captions
from fromage_lite.evaluate.tasks.dialogues import evaluate_dialogues
from fromage_lite.evaluate.tasks.questions import evaluate_questions
from fromage_lite.evaluate.tasks.result import TaskResult
from fromage_lite.evaluate.tasks.retrieval import evaluate_retrieval
from fromage_lite.evaluate.tasks.seen import SeenPictures
from fromage_lite.evaluate.tasks.stories import evaluate_stories
from fromage_lite.model.fromage import Fromage
from fromage_lite.progress import Report as Tell
from fromage_lite.progress import ignore
from index.errors import reason
from index.files import write_bytes

Task = Literal["captions", "retrieval", "stories", "dialogues", "answers", "questions"]
TASKS: tuple[Task, ...] = get_args(Task)
RESULT = "result.json"

Measure = Callable[[Fromage, SeenPictures], TaskResult]


@dataclass(frozen=True)
class TaskOptions:
    """A task and its data.

    Attributes:
        task: `captions` and `retrieval` take COCO's, NoCaps', Flickr30k's and CC3M's formats, `stories` VIST's,
            `dialogues` and `answers` VisDial's, `questions` VQA v2's, OK-VQA's and GQA's.
        data: the data set's file.
        images: folders with its pictures; none is the file's own folder and `images` in it.
        model: folder or name of the bridge; None is the shipped playground's default.
        out: where the report, the result with its intervals and the pictures' features go; None writes none.
        dense: VisDial's dense annotations.
        examples: questions with answers that stand before each question (`questions`).
        shots: how many of them.
        beams: numbers of beams (`captions`).
        split: of Karpathy's files.
        limit: only the first so many entries; None is all.
        as_original: the way of the original's scripts, faults included (`stories`, `answers`).
        prompt: words between picture and caption (`captions`).
        seed: of draws and intervals.
        device, dtype, quantize: as in `LoadOptions`.
    """

    task: Task
    data: Path
    images: Sequence[Path] = ()
    model: str | None = None
    out: Path | None = None
    dense: Path | None = None
    examples: Path | None = None
    shots: Sequence[int] = (0, 1, 2, 4, 8)
    beams: Sequence[int] = (1, 3)
    split: str = "test"
    limit: int | None = None
    as_original: bool = False
    prompt: str = ""
    seed: int = 0
    device: str = LoadOptions.device
    dtype: str = LoadOptions.dtype
    quantize: str = LoadOptions.quantize

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ConfigError(f"There is no task {self.task!r}.", f"Choose among {', '.join(TASKS)}.")
        if self.as_original and self.task not in ("stories", "answers"):
            raise ConfigError(f"{self.task} has no way of the original's.", "Leave --as-original out.")


def run_task(options: TaskOptions, model_name: str, report: Tell = ignore) -> TaskResult:
    """Reads the data, loads the model, measures; with `out` writes the report.

    Args:
        options: what to measure.
        model_name: the bridge's folder or name.
        report: gets a sentence now and then.

    Raises:
        CheckpointError, ConfigError, MemoryPlanError: the model can't be loaded, or can't do this.
        DataError: the data can't be read, or none of its pictures is there.
        StoreError: `out` can't be written.
    """
    measure = _reading(options)  # first, so that a damaged file fails at once
    model = Fromage.from_pretrained(
        model_name, device=options.device, dtype=options.dtype, quantize=options.quantize, notice=report
    )
    folders = list(options.images) or [options.data.parent, options.data.parent / "images"]
    cache = None if options.out is None else options.out / "features.npz"
    seen = SeenPictures(model, folders, cache)
    result = measure(model, seen)
    if seen.missing or seen.unreadable:
        report(f"{len(seen.missing)} pictures are missing and {len(seen.unreadable)} can't be opened: left out.")
    if options.out is not None:
        _write(options, model_name, result, seen)
    return result


def _reading(options: TaskOptions) -> Measure:
    """Reads the data; returns what measures a model on it."""
    limit, seed = options.limit, options.seed
    match options.task:
        case "captions":
            captioned = read_captions(options.data, options.split)[:limit]
            return lambda model, seen: evaluate_captions(
                model, seen, captioned, beams=options.beams, prompt=options.prompt, seed=seed
            )
        case "retrieval":
            captioned = read_captions(options.data, options.split)[:limit]
            return lambda model, seen: evaluate_retrieval(model, seen, captioned, seed=seed)
        case "stories":
            read = read_vist(options.data)
            stories = replace(read, stories=read.stories[:limit])
            return lambda model, seen: evaluate_stories(model, seen, stories, seed=seed, bos_each=options.as_original)
        case "dialogues":
            dialogues = read_visdial(options.data)[:limit]
            return lambda model, seen: evaluate_dialogues(model, seen, dialogues, seed=seed)
        case "answers":
            dialogues = read_visdial(options.data, options.dense)[:limit]
            return lambda model, seen: evaluate_answers(
                model, seen, dialogues, as_original=options.as_original, seed=seed
            )
        case "questions":
            asked = read_questions(options.data)[:limit]
            examples = [] if options.examples is None else read_questions(options.examples)
            shots = [n for n in options.shots if examples or not n]
            return lambda model, seen: evaluate_questions(model, seen, asked, examples, shots=shots, seed=seed)


def _write(options: TaskOptions, model_name: str, result: TaskResult, seen: SeenPictures) -> None:
    assert options.out is not None
    content = {"task": options.task, "data": options.data.name, "model": model_name, "seed": options.seed}
    try:
        write_bytes(options.out / RESULT, (json.dumps(content | result.to_dict(), indent=1) + "\n").encode())
    except OSError as error:
        raise StoreError(f"{options.out} can't be written: {reason(error)}.", "Name another --out.") from error
    rows = [(name, shown(figure, digits=4), str(figure.n)) for name, figure in result.figures.items()]
    counts = ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in result.counts.items())
    way = " in the original's way" if options.as_original else ""
    sections = [
        Section("Figures", [f"{counts}.", Table(("figure", "value", "n"), rows)]),
        Section("Examples", [Samples(result.samples)]),
        Section("Command", [Code(_command(options, model_name))]),
    ]
    facts = f"{model_name} on {options.data.name}{way}; 95 % intervals by 1,000 resamples of the examples"
    write_report(Report(f"{options.task.capitalize()}", facts, sections), options.out, seen.path_if_seen)


def _command(options: TaskOptions, model_name: str) -> str:
    parts = [f"fromage-lite evaluate --task {options.task} --data {options.data} --model {model_name}"]
    parts += [f"--images {folder}" for folder in options.images]
    named = (("dense", options.dense), ("examples", options.examples), ("limit", options.limit), ("out", options.out))
    parts += [f"--{name} {value}" for name, value in named if value is not None]
    parts += ["--as-original"] if options.as_original else []
    return " ".join([*parts, f"--seed {options.seed}"])
