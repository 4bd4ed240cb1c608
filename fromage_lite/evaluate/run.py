"""One task on one data set: what `fromage-lite evaluate --task` calls."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

from fromage_lite.errors import StoreError
from fromage_lite.evaluate.extra import SCORES, need
from fromage_lite.evaluate.formats.captions import read_captions
from fromage_lite.evaluate.formats.dialogues import read_visdial
from fromage_lite.evaluate.formats.questions import read_questions
from fromage_lite.evaluate.formats.stories import read_vist
from fromage_lite.evaluate.options import TaskOptions
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

RESULT = "result.json"

Measure = Callable[[Fromage, SeenPictures], TaskResult]


def run_task(
    options: TaskOptions,
    model_name: str,
    *,
    out: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    dtype: str = "auto",
    quantize: str = "none",
    report: Tell = ignore,
) -> TaskResult:
    """Reads the data, loads the model, measures; with `out` writes the report.

    Args:
        options: what to measure; they name a task.
        model_name: the bridge's folder or name.
        out: where report, result with its intervals, and the pictures' features go; None writes none. Features that
            are there already are not computed again.
        seed: of draws and intervals.
        device, dtype, quantize: as in `LoadOptions`.
        report: gets a sentence now and then.

    Raises:
        CheckpointError, ConfigError, MemoryPlanError: the model can't be loaded, or can't do this.
        DataError: the data can't be read, or none of its pictures is there.
        StoreError: `out` can't be written.
    """
    assert options.data is not None  # the options have checked it
    if options.named == "captions":
        need(SCORES)
    measure = _reading(options, options.data, seed)  # first, so that a damaged file fails at once
    model = Fromage.from_pretrained(model_name, device=device, dtype=dtype, quantize=quantize, notice=report)
    folders = options.images or [options.data.parent, options.data.parent / "images"]
    seen = SeenPictures(model, folders, None if out is None else out / "features.npz")
    result = measure(model, seen)
    if seen.missing or seen.unreadable:
        report(f"Pictures left out: {len(seen.missing)} missing, {len(seen.unreadable)} that can't be opened.")
    if out is not None:
        _write(options, model_name, out, seed, result, seen)
    return result


def _reading(options: TaskOptions, data: Path, seed: int) -> Measure:
    """Reads the data; returns what measures a model on it."""
    limit = options.limit
    match options.named:
        case "captions":
            captioned = read_captions(data, options.split)[:limit]
            return lambda model, seen: evaluate_captions(
                model, seen, captioned, beams=options.beam_counts, prompt=options.prompt, seed=seed
            )
        case "retrieval":
            captioned = read_captions(data, options.split)[:limit]
            return lambda model, seen: evaluate_retrieval(model, seen, captioned, seed=seed)
        case "stories":
            read = read_vist(data)
            stories = replace(read, stories=read.stories[:limit])
            return lambda model, seen: evaluate_stories(model, seen, stories, seed=seed, bos_each=options.as_original)
        case "dialogues":
            dialogues = read_visdial(data)[:limit]
            return lambda model, seen: evaluate_dialogues(model, seen, dialogues, seed=seed)
        case "answers":
            dialogues = read_visdial(data, options.dense)[:limit]
            return lambda model, seen: evaluate_answers(
                model, seen, dialogues, as_original=options.as_original, seed=seed
            )
        case "questions":
            asked = read_questions(data)[:limit]
            examples = [] if options.examples is None else read_questions(options.examples)
            shots = [n for n in options.shot_counts if examples or not n]
            return lambda model, seen: evaluate_questions(model, seen, asked, examples, shots=shots, seed=seed)


def _write(options: TaskOptions, model_name: str, out: Path, seed: int, result: TaskResult, seen: SeenPictures) -> None:
    assert options.data is not None
    content = {"task": options.task, "data": options.data.name, "model": model_name, "seed": seed}
    try:
        write_bytes(out / RESULT, (json.dumps(content | result.to_dict(), indent=1) + "\n").encode())
    except OSError as error:
        raise StoreError(f"{out} can't be written: {reason(error)}.", "Name another --out.") from error
    rows = [(name, shown(figure, digits=4), str(figure.n)) for name, figure in result.figures.items()]
    counts = ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in result.counts.items())
    way = " in the original's way" if options.as_original else ""
    sections = [
        Section("Figures", [f"{counts}.", Table(("figure", "value", "n"), rows)]),
        Section("Examples", [Samples(result.samples)]),
        Section("Command", [Code(_command(options, model_name, out, seed))]),
    ]
    facts = f"{model_name} on {options.data.name}{way}; 95 % intervals by 1,000 resamples of the examples"
    write_report(Report(options.named.capitalize(), facts, sections), out, seen.path_if_seen)


def _command(options: TaskOptions, model_name: str, out: Path, seed: int) -> str:
    """The command that measures the same: every option that is not as it is by default."""
    plain = TaskOptions()
    parts = ["fromage-lite evaluate"]
    for field in fields(TaskOptions):
        value = getattr(options, field.name)
        name = "--" + field.name.replace("_", "-")
        if value is True:
            parts.append(name)
        elif value != getattr(plain, field.name):
            values = value if isinstance(value, list) else [value]
            parts += [f"{name} {shlex.quote(str(one))}" for one in values]
    return " ".join([*parts, f"--model {shlex.quote(model_name)} --out {shlex.quote(str(out))} --seed {seed}"])
