"""Accelerate's side of a run: device, precision, processes, trackers; a language model divided among GPUs; signals."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from torch import nn
from torch.distributed.fsdp import fully_shard

from fromage_lite.errors import ConfigError
from fromage_lite.language.model import LanguageModel
from fromage_lite.training.recipe import Recipe

TENSORBOARD = "tensorboard"
_FSDP_ASKED = "ACCELERATE_USE_FSDP"  # set by `accelerate launch` from its configuration


def make_accelerator(
    recipe: Recipe, out: Path, device: torch.device | str = "cpu", trackers: Sequence[str] = (TENSORBOARD,)
) -> Accelerator:
    """Accelerate's device, precision, processes and trackers for a run.

    Raises:
        ConfigError: there is no such tracker, or its library is not installed.
    """
    check_trackers(trackers)
    is_cpu = torch.device(device).type == "cpu"
    options: dict[str, Any] = {"cpu": True} if is_cpu else {}
    # Accelerate keeps one setting for the whole process; the next run may need another. It asks what the processes have
    # in common on a CPU only where it is told that there is nothing else.
    AcceleratorState._reset_state(reset_partial_state=PartialState(**options).device.type != torch.device(device).type)
    return Accelerator(
        mixed_precision=recipe.mixed_precision, log_with=list(trackers) or None, project_dir=str(out), **options
    )


def tracker_names(text: str) -> tuple[str, ...]:
    """The trackers of an option: names between commas, or `none`."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    return () if names == ("none",) else names


def check_trackers(names: Sequence[str]) -> None:
    """Raises ConfigError: accelerate knows no such tracker, or its library is not installed."""
    available = {str(tracker) for tracker in get_available_trackers()}
    for name in names:
        if name not in LOGGER_TYPE_TO_CLASS:
            known = ", ".join(sorted(LOGGER_TYPE_TO_CLASS))
            raise ConfigError(f"There is no tracker {name!r}.", f"Choose of {known}, or none.")
        if name not in available:
            raise ConfigError(
                f"The tracker {name} is not installed.", f"Install its package ({name}), or choose another."
            )


def wants_fsdp() -> bool:
    """Whether `accelerate launch` was configured to use FSDP. Accelerate is not told: it would divide a model that it
    is given to train, and here the only large one is frozen."""
    return os.environ.pop(_FSDP_ASKED, "").lower() in ("1", "true")


def divide_language_model(language: LanguageModel) -> None:
    """Divides the layers of a frozen language model among all processes (FSDP2): each holds its share, and a layer is
    whole only while it is needed. Embeddings and head stay whole everywhere, since `[RET]` is added to both.

    Raises:
        ConfigError: there is one process only, or the layers can't be found.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() < 2:
        raise ConfigError(
            "There is one process only, and nothing to divide the language model among.",
            "Start it with: accelerate launch --num_processes N scripts/train.py …",
        )
    found = [module for module in language.decoder.children() if isinstance(module, nn.ModuleList)]
    layers = max(found, key=len, default=None)
    if layers is None:
        raise ConfigError(f"The layers of {language.name} are not to be found, so it can't be divided.")
    for layer in layers:
        fully_shard(layer)


@contextmanager
def interrupt_sets(stop: threading.Event) -> Iterator[None]:
    """Makes Ctrl-C and SIGTERM set `stop` instead of raising; a second one raises."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
