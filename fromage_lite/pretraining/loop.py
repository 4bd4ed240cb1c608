"""The loop that both pretrainings share: schedule, progress with remaining time, resumable state."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from index.errors import FromageError
from index.files import replacing


def learning_rate(step: int, total: int, peak: float, warmup: int) -> float:
    """Linear warm-up, then a cosine down to a hundredth of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def optimizer_for(modules: list[torch.nn.Module], weight_decay: float, betas: tuple[float, float]) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, betas=betas, fused=True)


class State:
    """Everything that a resumed pretraining needs, in one file, written atomically."""

    def __init__(self, file: Path, modules: dict[str, torch.nn.Module], optimizer: torch.optim.Optimizer) -> None:
        self.file, self.modules, self.optimizer = file, modules, optimizer

    def load(self) -> int:
        """Restore and return the number of finished steps (0 if there is nothing to resume)."""
        if not self.file.exists():
            return 0
        try:
            state: dict[str, Any] = torch.load(self.file, map_location="cpu", weights_only=True)
            for name, module in self.modules.items():
                module.load_state_dict(state["modules"][name])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, KeyError, ValueError, OSError, EOFError) as error:
            raise FromageError(
                f"The pretraining state {self.file} can't be resumed.", "Delete it to start anew."
            ) from error
        return int(state["step"])

    def save(self, step: int) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.file) as temporary:
            modules = {name: module.state_dict() for name, module in self.modules.items()}
            torch.save({"step": step, "modules": modules, "optimizer": self.optimizer.state_dict()}, temporary)


def run(
    name: str,
    state: State,
    batches: Callable[[int], Iterator[Any]],
    train_step: Callable[[Any], dict[str, float]],
    *,
    steps: int,
    peak_lr: float,
    warmup: int = 200,
    save_every_s: float = 120.0,
    log_every: int = 100,
    evaluate: Callable[[], dict[str, float]] | None = None,
    evaluate_every: int = 1000,
) -> None:
    """Run `train_step` from the last saved step to `steps`; save now and then, and on Ctrl-C.

    `train_step` computes gradients of one batch and returns scalars to show; clipping and the step are done here.
    """
    done = state.load()
    parameters = [p for group in state.optimizer.param_groups for p in group["params"]]
    saved_at = time.monotonic()
    means: dict[str, float] = {}
    progress = tqdm(total=steps, initial=done, desc=name, unit="step", smoothing=0.02, mininterval=5.0)
    try:
        for batch in batches(done):
            if done >= steps:
                break
            for group in state.optimizer.param_groups:
                group["lr"] = learning_rate(done, steps, peak_lr, warmup)
            scalars = train_step(batch)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            state.optimizer.step()
            state.optimizer.zero_grad(set_to_none=True)
            done += 1
            for key, value in scalars.items():
                means[key] = 0.98 * means.get(key, value) + 0.02 * value
            progress.update()
            if done % log_every == 0:
                progress.write(f"{name} {done}: " + "  ".join(f"{k} {v:.3f}" for k, v in means.items()))
            if evaluate and done % evaluate_every == 0:
                progress.write(f"{name} {done}: " + "  ".join(f"{k} {v:.3f}" for k, v in evaluate().items()))
            if time.monotonic() - saved_at > save_every_s:
                state.save(done)
                saved_at = time.monotonic()
    finally:
        progress.close()
        state.save(done)
