"""A whole training run, from names to a written checkpoint: what `fromage-lite train` calls."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from fromage_lite.checkpoint.card import Provenance
from fromage_lite.config import WEIGHTS_FILE, FromageConfig, playground_dir
from fromage_lite.errors import ConfigError
from fromage_lite.files import read_tensors
from fromage_lite.model.bridge import Whitening, load_bridge
from fromage_lite.model.fromage import Fromage
from fromage_lite.placement import choose_device, choose_placement
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.data.sources import DataSource, file_data
from fromage_lite.training.recipe import Recipe
from fromage_lite.training.state import BEST, LAST, has_checkpoint
from fromage_lite.training.trainer import FitResult, Trainer, make_accelerator

Report = Callable[[str], None]
_SAMPLE = 20_000  # features that statistics are taken from, at most


@dataclass(frozen=True)
class RunOptions:
    """The options of `fromage-lite train`, by the same names; see its `--help`."""

    recipe: Recipe
    out: Path
    data: Path | None = None
    images_root: Path | None = None
    language_model: str | None = None
    vision_encoder: str | None = None
    resume: bool = False
    overwrite: bool = False
    max_steps: int | None = None
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"
    quantize: str = "none"
    max_bad_share: float = 0.05
    export: Path | None = None


def run(options: RunOptions, report: Report, own_data: DataSource | None = None) -> bool:
    """Loads, trains, writes; returns whether it was interrupted.

    Args:
        options: what and where.
        report: gets lines of text for the user.
        own_data: makes what is trained on where the options name no data.

    Raises:
        FromageError: with what to do about it.
    """
    if has_checkpoint(options.out / LAST) and not (options.resume or options.overwrite):
        hint = "Give --resume to go on with it, --overwrite to start anew, or another --out."
        raise ConfigError(f"There is already a run in {options.out}.", hint)
    accelerator = make_accelerator(options.recipe, options.out, choose_device(options.device))
    torch.manual_seed(options.seed)  # the bridge's first values
    tell = report if accelerator.is_main_process else None
    place = choose_placement(accelerator.device, options.dtype, options.quantize)
    model = Fromage.from_config(_config(options), place, notice=tell)
    with accelerator.main_process_first():  # it fills the feature store, the others read it
        data, source = load_data(options, model, own_data)
    model.provenance = _provenance(options, data)
    _prepare(model, data, options.recipe)
    trainer = Trainer(model, data, options.recipe, options.out, options.seed, accelerator)
    if accelerator.is_main_process:
        report(as_text(parameter_table(model)))
        report(source)
        report(f"Training {options.recipe.steps} steps on {accelerator.device}; the run is in {options.out}.")
    result = trainer.fit(options.resume, options.max_steps)
    model.bridge.fold()
    if accelerator.is_main_process:
        _finish(options, model, result, report)
    return result.interrupted


def load_data(options: RunOptions, model: Fromage, own_data: DataSource | None) -> tuple[TrainingData, str]:
    """The data that the options name, else `own_data`, and a sentence on it.

    Raises:
        ConfigError: there is neither.
    """
    if options.data is not None:
        store = options.out / "features"
        return file_data(
            options.data,
            model,
            store,
            images_root=options.images_root,
            max_bad_share=options.max_bad_share,
            seed=options.seed,
        )
    if own_data is None:
        raise ConfigError("There is nothing to train on.", "Name a table of captions or a feature store: --data.")
    return own_data(model, options.recipe, options.seed)


def parameter_table(model: Fromage) -> Table:
    """What is trained, tensor by tensor, and what is frozen."""
    table = Table("part", "tensor", "shape", "numbers")
    trained = model.trained_parameters()
    for name, parameter in trained.items():
        table.add_row("trained", name, " x ".join(map(str, parameter.shape)) or "1", f"{parameter.numel():,}")
    table.add_row(
        "trained", "all", "", f"{sum(parameter.numel() for parameter in trained.values()):,}", end_section=True
    )
    for name, module in ((model.config.language_model, model.language.model), (model.vision.name, model.vision.module)):
        table.add_row("frozen", Path(name).name, "", f"{sum(parameter.numel() for parameter in module.parameters()):,}")
    return table


def as_text(table: Table) -> str:
    """A table as plain lines."""
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip()


def _prepare(model: Fromage, data: TrainingData, recipe: Recipe) -> None:
    """Fits the bridge's first values to the scale of the features: the same in a resumed run."""
    every = -(-len(data.features) // _SAMPLE)
    sample = torch.from_numpy(np.asarray(data.features[::every], dtype=np.float32))
    if recipe.whiten_features:
        model.bridge.whiten(Whitening.of(sample))
    if recipe.visual_init == "scaled":
        model.bridge.normalise_visual(sample, model.language.mean_row_norm)
    elif recipe.visual_init == "text":
        rows, ids = visual_texts(data, model)
        features = torch.from_numpy(np.asarray(data.features[rows], dtype=np.float32))
        model.bridge.fit_visual(features, lambda part: model.language.embed(ids[part], model.bridge.ret_row))


def visual_texts(data: TrainingData, model: Fromage) -> tuple[npt.NDArray[np.int64], Tensor]:
    """Rows of pictures (at most `_SAMPLE`), and for each the `(n, n_visual_tokens)` first tokens of a text about it.

    The text is the data's own for the picture (`TrainingData.texts`), else its first caption; short ones are filled up
    with their last token.
    """
    captions: dict[int, str] = {}
    for caption, row in data.captions:
        captions.setdefault(row, caption)
    texts = captions if data.texts is None else dict(enumerate(data.texts))
    rows = sorted(texts)[:: -(-len(texts) // _SAMPLE)]
    length = model.config.n_visual_tokens
    ids = [model.language.tokenize(texts[row])[:length] for row in rows]
    filled = [part + part[-1:] * (length - len(part)) for part in ids if part]
    kept = [row for row, part in zip(rows, ids, strict=True) if part]
    return np.array(kept, dtype=np.int64), torch.tensor(filled, device=model.language.device)


def _provenance(options: RunOptions, data: TrainingData) -> Provenance:
    """For the model card; files by their names alone."""
    recipe, source = options.recipe, "the playground" if options.data is None else options.data.name
    held_out = len(data.validation.captions) if data.validation is not None else 0
    return Provenance(
        data=f"{len(data.captions):,} captions, {len(data.dialogues):,} dialogues and {len(data.features):,} pictures "
        f"of {source}; {held_out:,} captions more were held out.",
        training=f"{recipe.steps:,} steps of {recipe.batch_size} captions and {recipe.dialogue_batch_size} dialogues "
        f"(recipe `{recipe.name}`, seed {options.seed}).",
    )


def _config(options: RunOptions) -> FromageConfig:
    """Names of the frozen models, the playground's by default, and the recipe's bridge."""
    if (options.language_model is None) != (options.vision_encoder is None):
        raise ConfigError(
            "Only one of the two frozen models is named.", "Give --language-model and --vision-encoder, or neither."
        )
    names = {
        "language_model": options.language_model or str(playground_dir() / "lm"),
        "vision_encoder": options.vision_encoder or f"open_clip:local-dir:{playground_dir() / 'encoder'}",
    }
    return FromageConfig.from_dict({**options.recipe.bridge, **names})


def _finish(options: RunOptions, model: Fromage, result: FitResult, report: Report) -> None:
    progress = result.progress
    if result.interrupted:
        report(f"Stopped after step {progress.step}; everything is saved. Go on with the same options and --resume.")
        return
    best = options.out / (BEST if has_checkpoint(options.out / BEST) else LAST)
    figures = [entry for entry in progress.metrics if "validation/total" in entry]
    chosen = min(figures, key=lambda entry: entry["validation/total"], default={})
    measured = {name.removeprefix("validation/"): value for name, value in chosen.items() if "/" in name}
    if measured:
        shown = ", ".join(f"{name} {value:.3f}" for name, value in measured.items())
        report(f"Best on held-out data at step {chosen['step']}: {shown}.")
    report(f"Trained {progress.step} steps ({result.seconds:.0f} s in this call). The best bridge is in {best}.")
    if options.export is not None:
        load_bridge(model.bridge, read_tensors(best / WEIGHTS_FILE), best)
        model.provenance = dataclasses.replace(model.provenance, figures=measured)
        model.save_pretrained(options.export, dtype=torch.float16)
        report(f"It was also written to {options.export}.")
