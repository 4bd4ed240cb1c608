"""What a training run leaves on disk, so that it can be stopped at any time and go on exactly where it was.

A checkpoint is a folder: the model itself (`config.json`, `model.safetensors`), the optimiser (`training_state.*`) and
the figures so far (`metrics.jsonl`). It is written beside the old one and then takes its place.
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

LAST, BEST = "last", "best"
TENSORS, STATE, METRICS = "training_state.safetensors", "training_state.json", "metrics.jsonl"


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        step: optimiser steps done.
        best_loss: lowest validation loss so far; None before the first validation.
        identity: recipe, seed and data; a run is only resumed with the same.
        metrics: one object a logged step, as in `metrics.jsonl`.
    """

    identity: dict[str, Any]
    step: int = 0
    best_loss: float | None = None
    metrics: list[dict[str, float]] = field(default_factory=list)


def save_checkpoint(
    folder: Path, model: Fromage, optimizer: torch.optim.Optimizer, progress: Progress, extra: Mapping[str, Any]
) -> None:
    """Writes a checkpoint; a reader sees the old one or the new one, never half of it.

    Args:
        folder: where; an older checkpoint there is replaced.
        model: its bridge is saved.
        optimizer: over `model.trained_parameters()`, in their order.
        progress: how far the run is.
        extra: JSON state of other things (the gradient scaler of fp16).

    Raises:
        CheckpointError: if the folder can't be written.
    """
    temporary = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        model.provenance = replace(model.provenance, figures=held_out_figures(progress))
        model.save_pretrained(temporary)
        write_tensors(temporary / TENSORS, _tensors(model, optimizer))
        state = {key: value for key, value in asdict(progress).items() if key != "metrics"} | {"extra": dict(extra)}
        write_bytes(temporary / STATE, json.dumps(state, indent=2).encode())
        lines = "".join(json.dumps(entry) + "\n" for entry in progress.metrics)
        write_bytes(temporary / METRICS, lines.encode())
        _swap(temporary, folder)
    except OSError as error:
        hint = "Choose another folder with --out, or make room on the disk."
        raise CheckpointError(f"The checkpoint {folder} could not be written: {reason(error)}.", hint) from error


def load_checkpoint(
    folder: Path, model: Fromage, optimizer: torch.optim.Optimizer, identity: Mapping[str, Any]
) -> tuple[Progress, dict[str, Any]]:
    """Puts the saved values into the model's bridge and the optimiser; returns the progress and the extra state.

    Raises:
        CheckpointError: if there is no checkpoint, it is damaged, or another recipe, seed or data made it.
    """
    folder = _recover(folder)
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        extra = state.pop("extra")
        lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
        progress = Progress(**state, metrics=[json.loads(line) for line in lines])
    except FileNotFoundError as error:
        hint = "Start without --resume, or give the run's folder with --out."
        raise CheckpointError(f"There is no run to resume in {folder.parent}.", hint) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"The training state in {folder} is damaged: {described(error)}.", "Start the run anew."
        ) from error
    if different := sorted(_differences(progress.identity, json.loads(json.dumps(dict(identity))))):
        hint = "Resume with the options of the first start, or start a new run with another --out."
        raise CheckpointError(
            f"The run in {folder.parent} was started with other settings: {', '.join(different)}.", hint
        )
    _restore(read_tensors(folder / TENSORS), model, optimizer, folder)
    return progress, extra


def held_out_figures(progress: Progress) -> dict[str, float]:
    """The last figures on held-out data, by name; none before the first validation."""
    entries = [entry for entry in progress.metrics if "validation/total" in entry]
    last = entries[-1] if entries else {}
    return {name.removeprefix("validation/"): value for name, value in last.items() if "/" in name}


def has_checkpoint(folder: Path) -> bool:
    """Whether a checkpoint is there, also one whose writing was interrupted at the last moment."""
    return (_recover(folder) / STATE).is_file()


def _tensors(model: Fromage, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The bridge in full precision (a published checkpoint may round it) and AdamW's averages, by name."""
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
    """Puts the new folder in the old one's place. Folders can't be replaced in one call; `_recover` bridges the gap."""
    old = _old(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _recover(folder: Path) -> Path:
    """The folder, or the one before it if the swap was interrupted between its two steps."""
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
