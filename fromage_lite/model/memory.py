"""How much memory a model will take, estimated before it is loaded. No weights are read."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from fromage_lite.checkpoint.footprint import bridge_parameters
from fromage_lite.config import FromageConfig
from fromage_lite.errors import MemoryPlanError
from fromage_lite.language.size import language_model_size
from fromage_lite.placement import Placement
from fromage_lite.progress import Report
from fromage_lite.vision.libraries import encoder_parameters

GB = 10**9
WORTH_SAYING = GB  # smaller models load without a notice
SHARE_OF_GPU = 0.9  # of each GPU's free memory when an LM is spread over several; the rest is for activations


@dataclass(frozen=True)
class MemoryPlan:
    """The memory that a model needs and that the device has, in bytes.

    Attributes:
        model: the LM's short name.
        place: where and how it will be loaded.
        parts: what needs memory, by name.
        free: free now on the device (or on all GPUs, if the LM is spread over them).
        total: all of the device's memory.
        advice: an option that would make it fit; empty if it fits.
    """

    model: str
    place: Placement
    parts: dict[str, int]
    free: int
    total: int
    advice: str = ""

    @property
    def needed(self) -> int:
        """The sum of all parts."""
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        """Whether it fits into what is free now."""
        return self.needed <= self.free

    @property
    def is_possible(self) -> bool:
        """Whether the empty device could hold the weights."""
        return sum(size for name, size in self.parts.items() if name != "KV cache") <= self.total

    def __str__(self) -> str:
        """One sentence for the user."""
        parts = ", ".join(f"{name} {_gb(size)}" for name, size in self.parts.items() if size >= 0.05 * GB)
        where = "on the GPUs together" if self.place.max_memory else f"on {self.place.device}"
        sentence = f"{self.model} in {self.place.precision} needs about {_gb(self.needed)} GB"
        sentence += f" ({parts})" if parts else ""
        sentence += f", {_gb(self.free)} GB are free {where}"
        return f"{sentence}; {self.advice}." if self.advice else f"{sentence}."


def announce(
    config: FromageConfig, place: Placement, *, base_dir: Path | None = None, report: Report | None = None
) -> Placement:
    """Reports the memory that loading will take if it is much, or more than is free; spreads an LM over GPUs if needed.

    A plan is an estimate. What exceeds the free memory is only reported, since memory may still become free; what
    exceeds all of the device's memory is refused.

    Returns:
        the placement, with `max_memory` if one GPU is too small and several are enough.

    Raises:
        MemoryPlanError: even the empty device could not hold the model.
    """
    try:
        plan = plan_memory(config, place, base_dir=base_dir)
        if not plan.fits and place.device == torch.device("cuda"):
            plan = spread(plan) or plan
    except Exception:  # the loader will fail on the same file, with a better message
        return place
    if not plan.is_possible:
        sentence = str(dataclasses.replace(plan, advice="")).rstrip(".")
        raise MemoryPlanError(f"{sentence} of {_gb(plan.total)} GB in all.", plan.advice.capitalize() + ".")
    if report is not None and (plan.needed >= WORTH_SAYING or not plan.fits):
        report(str(plan))
    return plan.place


def plan_memory(config: FromageConfig, place: Placement, *, base_dir: Path | None = None) -> MemoryPlan:
    """Estimates what the frozen models and the bridge will take, from their configurations alone.

    Args:
        config: names of the models and shapes of the bridge.
        place: where and how they will be loaded.
        base_dir: where relative folders count from.

    Raises:
        Exception: whatever the libraries raise for a configuration that can't be read; loading would fail likewise.
    """
    language = language_model_size(config, base_dir)
    encoder = encoder_parameters(config.vision_encoder, base_dir, config.vision_encoder_revision)
    if place.device.type == "cuda" and place.max_memory is not None:
        each = [device_memory(torch.device("cuda", number)) for number in place.max_memory]
        free, total = sum(pair[0] for pair in each), sum(pair[1] for pair in each)
    else:
        free, total = device_memory(place.device)

    def parts(option: Placement) -> dict[str, int]:
        return {
            "language model": language.weight_bytes(option.dtype, option.quantize),
            "image encoder": encoder * option.dtype.itemsize,
            "bridge": 4 * bridge_parameters(config),
            "KV cache": language.cache_bytes(option.dtype),
        }

    plan = MemoryPlan(Path(config.language_model).name, place, parts(place), free, total)
    if plan.fits or language.stored_bytes is not None:
        return plan if plan.fits else dataclasses.replace(plan, advice="try a smaller model")
    return dataclasses.replace(plan, advice=_advice(plan, parts))


def spread(plan: MemoryPlan, free: list[int] | None = None) -> MemoryPlan | None:
    """The same plan with the LM spread over all GPUs; None if they are too small together, or there is only one.

    Args:
        plan: one that does not fit the first GPU, where the encoder and the bridge stay.
        free: free bytes of each GPU; None measures them.
    """
    if free is None:
        free = [device_memory(torch.device("cuda", number))[0] for number in range(torch.cuda.device_count())]
    beside = sum(size for name, size in plan.parts.items() if name not in ("language model", "KV cache"))
    room = [int(SHARE_OF_GPU * size) for size in free]
    room[0] -= beside
    if len(free) < 2 or plan.parts["language model"] + plan.parts["KV cache"] > sum(max(size, 0) for size in room):
        return None
    max_memory = {number: size for number, size in enumerate(room) if size > 0}
    return dataclasses.replace(
        plan, place=dataclasses.replace(plan.place, max_memory=max_memory), free=sum(free), total=sum(free), advice=""
    )


def device_memory(device: torch.device) -> tuple[int, int]:
    """Free and total bytes. For the CPU these are the computer's, or those of the container around the program."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return free, total
    if device.type == "mps":
        total = torch.mps.recommended_max_memory()
        return total - torch.mps.driver_allocated_memory(), total
    import psutil

    memory = psutil.virtual_memory()
    free, total = memory.available, memory.total + psutil.swap_memory().total
    for limit, used in _container_limits(Path("/sys/fs/cgroup")):
        free, total = min(free, max(limit - used, 0)), min(total, limit)
    return free, total


def _container_limits(root: Path) -> Iterator[tuple[int, int]]:
    """A control group's memory limit and what is used of it, in bytes; nothing outside a container."""
    for folder, limit, used, cache in (
        (root, "memory.max", "memory.current", "inactive_file"),
        (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with contextlib.suppress(OSError, ValueError, KeyError):  # no such file, or "max"
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            taken = int((folder / used).read_text()) - int(statistics[cache])  # cached files give way to others
            yield int((folder / limit).read_text()), taken


def _advice(plan: MemoryPlan, parts: Callable[[Placement], dict[str, int]]) -> str:
    """The mildest option that would make it fit."""
    place = plan.place
    options: list[tuple[str, Placement]] = []
    half = dataclasses.replace(place, dtype=torch.bfloat16)
    if place.dtype == torch.float32:
        options.append(("--dtype bfloat16", half))
    if place.quantize is None:
        options.append(("--quantize int8", dataclasses.replace(place, quantize="int8")))
    if place.quantize != "int4":
        options.append(("--quantize int4", dataclasses.replace(place, quantize="int4")))
        options.append(("--quantize int4 --dtype bfloat16", dataclasses.replace(half, quantize="int4")))
    for name, option in options:
        if sum(parts(option).values()) <= plan.free:
            return f"try {name}"
    return "try a smaller model"


def _gb(size: int) -> str:
    return f"{size / GB:.1f}"
