"""What a training run keeps on disk, so that it can be stopped at any time and continue exactly where it was.

A checkpoint is a folder: the model itself (`config.json`, `model.safetensors`), the optimiser (`training_state.*`) and
the figures so far (`metrics.jsonl`). It is written next to the old one and then replaces it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fromage_lite.errors import CheckpointError
from fromage_lite.files import read_tensors, write_tensors
from index.errors import described, reason
from index.files import sync_folder, write_bytes

if TYPE_CHECKING:
    from fromage_lite.model.fromage import Fromage

LAST, BEST, KEPT = "last", "best", "steps"
TENSORS, STATE, METRICS = "training_state.safetensors", "training_state.json", "metrics.jsonl"


@dataclass
class TrainingState:
    """How far a run has come.

    Attributes:
        identity: recipe, seed, data and so on; a run can only be resumed with the same.
        step: optimiser steps done.
        best_loss: lowest validation loss so far; None before the first validation.
        metrics: one object per logged step, as in `metrics.jsonl`.
    """

    identity: dict[str, Any]
    step: int = 0
    best_loss: float | None = None
    metrics: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(
    folder: Path, model: Fromage, optimizer: torch.optim.Optimizer, state: TrainingState, extra: Mapping[str, Any]
) -> None:
    """Writes a checkpoint; a reader sees the old one or the new one, never a mixture.

    Args:
        folder: the checkpoint's folder; an older checkpoint there is replaced.
        model: its bridge is saved.
        optimizer: over `model.trained_parameters()`, in their order.
        state: how far the run has come.
        extra: JSON state of anything else (the gradient scaler of fp16).

    Raises:
        CheckpointError: the folder can't be written.
    """
    temporary = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        model.provenance = replace(model.provenance, figures=held_out_figures(state))
        model.save_pretrained(temporary)
        write_tensors(temporary / TENSORS, _tensors(model, optimizer))
        values = {key: value for key, value in asdict(state).items() if key != "metrics"} | {"extra": dict(extra)}
        write_bytes(temporary / STATE, json.dumps(values, indent=2).encode())
        lines = "".join(json.dumps(entry) + "\n" for entry in state.metrics)
        write_bytes(temporary / METRICS, lines.encode())
        _swap(temporary, folder)
    except OSError as error:
        hint = "Choose another folder with --out, or make room on the disk."
        raise CheckpointError(f"The checkpoint {folder} could not be written: {reason(error)}.", hint) from error


def load_checkpoint(
    folder: Path, model: Fromage, optimizer: torch.optim.Optimizer, identity: Mapping[str, Any]
) -> tuple[TrainingState, dict[str, Any]]:
    """Restores the model's bridge and the optimiser; returns the run's state and the extra state.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or it comes from another recipe, seed or data.
    """
    folder = _recover(folder)
    try:
        values = json.loads((folder / STATE).read_text(encoding="utf-8"))
        extra = values.pop("extra")
        lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
        state = TrainingState(**values, metrics=[json.loads(line) for line in lines])
    except FileNotFoundError as error:
        hint = "Start without --resume, or give the run's folder with --out."
        raise CheckpointError(f"There is no run to resume in {folder.parent}.", hint) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"The training state in {folder} is damaged: {described(error)}.", "Start over with --overwrite."
        ) from error
    if different := sorted(_differences(state.identity, json.loads(json.dumps(dict(identity))))):
        hint = "Resume with the options of the first start, or start a new run with another --out."
        raise CheckpointError(
            f"The run in {folder.parent} was started with other settings: {', '.join(different)}.", hint
        )
    _restore(read_tensors(folder / TENSORS), model, optimizer, folder)
    return state, extra


def held_out_figures(state: TrainingState) -> dict[str, float]:
    """The latest figures on held-out data, by name; none before the first validation."""
    entries = [entry for entry in state.metrics if "validation/total" in entry]
    last = entries[-1] if entries else {}
    return {name.removeprefix("validation/"): value for name, value in last.items() if "/" in name}


def validations_since_best(state: TrainingState) -> int:
    """How many validations there were since that with the lowest loss."""
    losses = [entry["validation/total"] for entry in state.metrics if "validation/total" in entry]
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0


def keep_checkpoint(folder: Path, step: int, count: int) -> None:
    """Keeps the checkpoint in `folder` as `steps/STEP` beside it, and of those the newest `count`.

    Raises:
        CheckpointError: the folder can't be written.
    """
    kept = folder.parent / KEPT / f"{step:07d}"
    try:
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            temporary = kept.with_name(f".{kept.name}.new")
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(folder, temporary)
            temporary.rename(kept)
            sync_folder(kept.parent)
        for old in sorted(path for path in kept.parent.iterdir() if path.name.isdigit())[:-count]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        hint = "Choose another folder with --out, or make room on the disk."
        raise CheckpointError(f"The checkpoint {kept} could not be written: {reason(error)}.", hint) from error


def has_checkpoint(folder: Path) -> bool:
    """Whether there is a checkpoint, even if the last write was interrupted between its two renames."""
    return (_recover(folder) / STATE).is_file()


def _tensors(model: Fromage, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The bridge in full precision (an exported checkpoint may round it) and AdamW's averages, by name."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.trained_parameters().items():
        tensors[f"value.{name}"] = parameter
        tensors |= {
            f"{key}.{name}": torch.as_tensor(value) for key, value in optimizer.state.get(parameter, {}).items()
        }
    return tensors


@torch.no_grad()
def _restore(tensors: dict[str, Tensor], model: Fromage, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    for name, parameter in model.trained_parameters().items():
        try:
            parameter.copy_(tensors[f"value.{name}"])
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"The training state in {folder} does not fit the bridge: {reason(error)}."
            ) from error
        kinds = [kind for kind, _, of in (key.partition(".") for key in tensors) if of == name and kind != "value"]
        # AdamW keeps its step counter on the CPU, its averages beside the parameter.
        optimizer.state[parameter] = {
            kind: value if kind == "step" else value.to(parameter.device)
            for kind in kinds
            for value in [tensors[f"{kind}.{name}"]]
        }


def _swap(new: Path, folder: Path) -> None:
    """Replaces the old folder by the new one. That takes two renames; `_recover` covers the gap between them."""
    old = _old(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _recover(folder: Path) -> Path:
    """The folder, or the old one if a swap was interrupted between its two renames."""
    return _old(folder) if not folder.exists() and _old(folder).exists() else folder


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key in old.keys() | new.keys():
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            found += _differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key} was {before!r}, is {after!r}")
    return found
