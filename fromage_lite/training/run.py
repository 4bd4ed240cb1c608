"""A whole training run, from recipe and options to a written checkpoint: what `fromage-lite train` calls."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from rich.console import Console
from rich.table import Table
from torch import Tensor

from fromage_lite.checkpoint.card import Provenance
from fromage_lite.config import FromageConfig, shipped_dir
from fromage_lite.errors import ConfigError
from fromage_lite.model.bridge import Whitening
from fromage_lite.model.fromage import Fromage
from fromage_lite.placement import choose_device, choose_placement, count_parameters
from fromage_lite.progress import Report, ignore
from fromage_lite.training.curves import CURVES, NEEDED, can_draw
from fromage_lite.training.data.captions import caption_data
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.data.sources import DataSource, check_sources, file_data
from fromage_lite.training.data.streaming import StreamBatches, StreamOptions, tars_of
from fromage_lite.training.find_lr import search_rate
from fromage_lite.training.length import RunLength
from fromage_lite.training.options import RunOptions
from fromage_lite.training.processes import divide_language_model, make_accelerator, tracker_names, wants_fsdp
from fromage_lite.training.recipe import Recipe, World
from fromage_lite.training.rehearsal import Preview, preview, rehearse
from fromage_lite.training.state import BEST, LAST, has_checkpoint
from fromage_lite.training.trainer import FitResult, Trainer

_SAMPLE = 20_000  # most features to take statistics from
_SOURCES: dict[World, str] = {"playground": "the playground", "photos": "simulated photographs"}


def run(recipe: Recipe, options: RunOptions, report: Report, own_data: DataSource | None = None) -> bool:
    """Loads, trains, writes; returns whether it was interrupted.

    Args:
        recipe: all numbers of the run; `options.load_recipe` has the one that the options name.
        options: what the run works on, and where it writes.
        report: gets lines of text for the user.
        own_data: makes the data if the options name none.

    Raises:
        FromageError: the options don't fit together, or the models, the data or the folder can't be used.
    """
    out = options.folder(recipe)
    is_trial = options.dry_run or options.find_lr
    if has_checkpoint(out / LAST) and not (options.resume or options.overwrite or is_trial):
        hint = "Give --resume to continue it, --overwrite to start over, or another --out."
        raise ConfigError(f"There is already a run in {out}.", hint)
    check_sources(options)
    is_divided = wants_fsdp() or options.shard_lm
    trackers = () if is_trial else tracker_names(options.tracker)
    accelerator = make_accelerator(recipe, out, choose_device(options.device), trackers)
    torch.manual_seed(options.seed)  # the bridge's first values
    tell = report if accelerator.is_main_process else ignore
    place = choose_placement(accelerator.device, options.dtype, options.quantize)
    config = _config(recipe, options)
    if (
        is_divided and config.lora_rank
    ):  # FSDP replaces the layers' parameters, and the optimiser would have the old ones
        raise ConfigError(
            f"The recipe {recipe.name} has adapters in the language model, which can't be divided then.",
            "Leave --shard-lm and FSDP out, or set lora_rank = 0.",
        )
    model = Fromage.from_config(config, place, notice=tell)
    if is_divided:
        divide_language_model(model.language)
    seen = preview(options, model, recipe) if options.dry_run else None
    if seen is not None:
        data, source = seen.data, f"The first {len(seen.data.captions):,} captions of {options.data}."
    else:
        with accelerator.main_process_first():  # it fills the feature store, the others read it
            data, source = load_data(recipe, options, model, own_data)
    model.provenance = _provenance(recipe, options, data)
    _prepare(model, data, recipe)
    trainer = Trainer(
        model,
        data,
        recipe,
        out,
        options.seed,
        accelerator,
        keep=options.keep,
        patience=options.patience,
        overfit=options.overfit_one_batch,
        source=_stream(model, recipe, options, accelerator) if options.stream else None,
    )
    if is_trial:
        _try(trainer, seen, options, tell)
        return False
    if accelerator.is_main_process:
        report(as_text(parameter_table(model)))
        report(source)
        end = f" up to step {options.max_steps:,}" if (options.max_steps or recipe.steps) < recipe.steps else ""
        report(f"Training {recipe.steps:,} steps on {accelerator.device}{end}; the run is in {out}.")
        if options.data is not None and options.steps is None and not options.stream:
            length = RunLength(recipe, len(data.captions), options.max_steps)
            report(length.in_passes())
            trainer.on_pace = lambda seconds: report(length.in_time(seconds))
    result = trainer.fit(options.resume, options.max_steps)
    model.bridge.fold()
    if isinstance(trainer.source, StreamBatches) and trainer.source.causes:
        causes = ", ".join(f"{count} x {cause}" for cause, count in trainer.source.causes.most_common(5))
        report(f"Pictures of the stream that could not be used: {causes}.")
    if accelerator.is_main_process:
        _finish(out, options.export, model, result, report)
    return result.interrupted


def _stream(model: Fromage, recipe: Recipe, options: RunOptions, accelerator: Accelerator) -> StreamBatches:
    assert options.data is not None
    rank, world = accelerator.process_index, accelerator.num_processes
    how = StreamOptions(options.seed, rank, world, options.crop, options.max_bad_share)
    return StreamBatches(tars_of(options.data), model, recipe, how)


def _try(trainer: Trainer, seen: Preview | None, options: RunOptions, report: Report) -> None:
    """What is done instead of a run."""
    if options.dry_run:
        for line in rehearse(trainer, seen):
            report(line)
        return

    def step(number: int, rate: float) -> float:
        # Of all processes, so that all stop at the same step: the others would wait for one that has.
        return trainer.mean(trainer.step(number, trainer.batch(number), rate)["total"])

    found = search_rate(step)
    if not found.rates:
        raise ConfigError("The loss is no number at the lowest learning rate already.", "Look at the data.")
    written = found.write(trainer.out) if trainer.is_main_process else []
    report(
        f"The loss falls fastest at a learning rate of {found.suggestion:.1e} (the recipe has "
        f"{trainer.recipe.learning_rate:.1e}). See {' and '.join(map(str, written))}."
    )


def load_data(
    recipe: Recipe, options: RunOptions, model: Fromage, own_data: DataSource | None
) -> tuple[TrainingData, str]:
    """The data that the options name, else `own_data`, and a sentence about it.

    Raises:
        ConfigError: there is neither, or the recipe learns from something else.
    """
    if options.captions is not None:
        return caption_data(options.captions, model, recipe, options.pictures, options.seed)
    if options.data is not None:
        return file_data(options, model, options.folder(recipe))
    if own_data is None:
        raise ConfigError("There is nothing to train on.", "Name a table of captions or a feature store: --data.")
    return own_data(model, recipe, options.seed)


def parameter_table(model: Fromage) -> Table:
    """The trained tensors one by one, and the frozen models."""
    table = Table("part", "tensor", "shape", "numbers")
    trained = model.trained_parameters()
    for name, parameter in trained.items():
        table.add_row("trained", name, " x ".join(map(str, parameter.shape)) or "1", f"{parameter.numel():,}")
    count = sum(parameter.numel() for parameter in trained.values())
    table.add_row("trained", "all", "", f"{count:,}", end_section=True)
    for name, module in ((model.config.language_model, model.language.model), (model.vision.name, model.vision.module)):
        table.add_row("frozen", Path(name).name, "", f"{count_parameters(module):,}")
    return table


def as_text(table: Table) -> str:
    """Renders a table as plain text."""
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip()


def _prepare(model: Fromage, data: TrainingData, recipe: Recipe) -> None:
    """Fits the bridge's first values to the scale of the features; deterministic, so a resumed run does the same."""
    every = -(-len(data.features) // _SAMPLE)
    seen = data.features if data.grid is None else data.grid
    sample = torch.from_numpy(np.asarray(seen[::every], dtype=np.float32))
    if data.grid is not None and (recipe.whiten_features or recipe.visual_init in ("text", "given")):
        raise ConfigError(
            f"The recipe {recipe.name} fits the bridge to pooled features, and this one reads several of a picture.",
            'Set visual_init = "scaled" and whiten_features = false.',
        )
    if recipe.whiten_features:
        model.bridge.whiten(Whitening.of(model.bridge.in_space(sample).cpu()))
    if recipe.visual_init == "zero":
        torch.nn.init.zeros_(model.bridge.visual_embeddings.weight)
    elif recipe.visual_init == "scaled":
        model.bridge.normalise_visual(sample, model.language.mean_row_norm)
    elif recipe.visual_init == "given":
        if data.visual_map is None:
            raise ConfigError(
                f"The data of the recipe {recipe.name} gives no map to visual tokens.", "Set another visual_init."
            )
        model.bridge.set_visual(*data.visual_map)
    elif recipe.visual_init == "text":
        rows, ids = visual_texts(data, model)
        features = torch.from_numpy(np.asarray(data.features[rows], dtype=np.float32))
        dim = model.language.dim
        model.bridge.fit_visual(features, lambda part: model.language.embed(ids[part], model.bridge.ret_row)[..., :dim])


def visual_texts(data: TrainingData, model: Fromage) -> tuple[npt.NDArray[np.int64], Tensor]:
    """Rows of n pictures, at most `_SAMPLE`, and the first tokens of a text about each, (n, n_visual_tokens).

    The text is the data's own for the picture (`TrainingData.texts`), else its first caption; short ones are padded
    with their last token.
    """
    captions: dict[int, str] = {}
    for caption, row in data.captions:
        captions.setdefault(row, caption)
    texts = captions if data.texts is None else dict(enumerate(data.texts))
    rows = sorted(texts)[:: -(-len(texts) // _SAMPLE)]
    length = model.config.n_visual_tokens
    begin = len(model.language.beginning)
    ids = [model.language.tokenize(texts[row], add_bos=True)[begin : begin + length] for row in rows]
    filled = [part + part[-1:] * (length - len(part)) for part in ids if part]
    kept = [row for row, part in zip(rows, ids, strict=True) if part]
    return np.array(kept, dtype=np.int64), torch.tensor(filled, device=model.language.device)


def _provenance(recipe: Recipe, options: RunOptions, data: TrainingData) -> Provenance:
    """What the model card says; it names files without their folders."""
    source = _SOURCES[recipe.world] if options.data is None else options.data.name
    held_out = len(data.validation.captions) if data.validation is not None else 0
    seen = f"{len(data.captions):,} captions, {len(data.dialogues):,} dialogues and {len(data.features):,} pictures"
    if options.stream:  # of which the data holds the first only
        seen = "A stream of captions and pictures"
    if recipe.learns_from == "texts":
        seen = f"{len({caption for caption, _ in data.captions}):,} captions without their pictures"
        source = source if options.captions is None else Path(options.captions).name
    return Provenance(
        data=f"{seen} of {source}; {held_out:,} more captions were held out.",
        training=f"{recipe.steps:,} steps of {recipe.batch_size} captions and {recipe.dialogue_batch_size} dialogues "
        f"(recipe `{recipe.name}`, seed {options.seed}).",
    )


def _config(recipe: Recipe, options: RunOptions) -> FromageConfig:
    """The recipe's bridge between the frozen models that the options name; by default those of its paper for the user's
    own data, else those of its world."""
    if (options.language_model is None) != (options.vision_encoder is None):
        raise ConfigError(
            "Only one of the two frozen models is named.", "Give --language-model and --vision-encoder, or neither."
        )
    if options.data is not None and {"language_model", "vision_encoder"} <= set(recipe.paper):
        names = {name: recipe.paper[name] for name in ("language_model", "vision_encoder")}
        if options.language_model is None:
            return FromageConfig.from_dict({**recipe.bridge, **names})
    home = shipped_dir(recipe.world)
    encoder = recipe.bridge.get("vision_encoder", f"open_clip:local-dir:{home / 'encoder'}")
    names = {
        "language_model": options.language_model or str(home / "lm"),
        "vision_encoder": options.vision_encoder or encoder,
    }
    return FromageConfig.from_dict({**recipe.bridge, **names})


def _finish(out: Path, export: Path | None, model: Fromage, result: FitResult, report: Report) -> None:
    state = result.state
    if result.interrupted:
        unmeasured = "" if has_checkpoint(out / BEST) else f" There is no {BEST}/ yet: nothing was validated so far."
        report(
            f"Stopped after step {state.step}; everything is saved.{unmeasured} "
            "Continue with the same options and --resume."
        )
        return
    if result.exhausted:
        report(f"Stopped early at step {state.step}: the held-out loss no longer fell (--patience).")
    if (out / CURVES).exists():
        report(f"The curves are drawn in {out / CURVES}.")
    elif not can_draw():
        report(NEEDED)
    has_best = has_checkpoint(out / BEST)
    best = out / (BEST if has_best else LAST)
    figures = [entry for entry in state.metrics if "validation/total" in entry]
    chosen = min(figures, key=lambda entry: entry["validation/total"], default={})
    measured = {name.removeprefix("validation/"): value for name, value in chosen.items() if "/" in name}
    if measured:
        shown = ", ".join(f"{name} {value:.3f}" for name, value in measured.items())
        report(f"Best on held-out data at step {chosen['step']}: {shown}.")
    where = f"The best bridge is in {best}."
    if not has_best:
        where = f"Without held-out captions none is known to be the best; the last bridge is in {best}."
    report(f"Trained {state.step} steps ({result.seconds:.0f} s in this call). {where}")
    if export is not None:
        model.load_trained(best)
        model.provenance = dataclasses.replace(model.provenance, figures=measured)
        model.save_pretrained(export, dtype=torch.float16)
        report(f"It was also written to {export}.")
