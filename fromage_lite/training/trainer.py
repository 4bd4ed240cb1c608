"""The training loop of the bridge; everything else is frozen.

The order of a step is fixed: batch, losses, backward, clip, AdamW, `[RET]` renormalisation, then logging, validation
and saving. Batches are a function of the step, so a resumed run continues as if it had never stopped.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from fromage_lite.errors import FromageError
from fromage_lite.model.fromage import Fromage
from fromage_lite.training import tracking
from fromage_lite.training.curves import CURVES, draw_run
from fromage_lite.training.data.batches import Batches, StepBatch, StepSource
from fromage_lite.training.data.encoding import SequenceEncoder
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.losses import step_losses
from fromage_lite.training.optimizing import image_dropout, learning_rate, make_optimizer, optimizer_step
from fromage_lite.training.pace import Ahead, Pace, Waiting
from fromage_lite.training.processes import interrupt_sets, make_accelerator
from fromage_lite.training.recipe import Recipe
from fromage_lite.training.state import (
    BEST,
    LAST,
    TrainingState,
    keep_checkpoint,
    load_checkpoint,
    save_checkpoint,
    validations_since_best,
)
from fromage_lite.training.validation import validate

LOG_EVERY = 10


class TrainingError(FromageError):
    """A run that can't continue."""


@dataclass(frozen=True)
class FitResult:
    """How a run ended.

    Attributes:
        state: steps done, best validation loss, logged figures.
        interrupted: whether it was stopped before its last step.
        seconds: time spent in this call.
        exhausted: whether it ended early because the held-out loss no longer fell.
    """

    state: TrainingState
    interrupted: bool
    seconds: float
    exhausted: bool = False


@dataclass
class Trainer:
    """One run: a model, its data, and where it is written.

    Attributes:
        model: on `accelerator.device`; its bridge is trained in place.
        data: what it learns from, and what it is validated on.
        recipe: all numbers.
        out: folder of the run, for `last/`, `best/` and the TensorBoard log.
        seed: of the batches.
        accelerator: device, precision, processes; None makes one from the recipe, on the model's device.
        stop: when set, the run is saved and ends after the current step.
        show_progress: whether to draw a progress bar with the remaining time on stderr.
        tensorboard: whether to write the log, of whatever trackers the accelerator has.
        keep: how many of the checkpoints on the way are kept, besides the last.
        patience: end after so many validations without a better one; None never does.
        overfit: train on the batch of the first step alone, which any sound bridge learns by heart.
        source: makes this process's batches; None takes them from `data`.
        on_step: called after each step with its number (from 1) and its losses.
        on_pace: called once, after the first steps, with the seconds that one takes.
    """

    model: Fromage
    data: TrainingData
    recipe: Recipe
    out: Path
    seed: int = 0
    accelerator: Accelerator | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    show_progress: bool = True
    tensorboard: bool = True
    keep: int = 0
    patience: int | None = None
    overfit: bool = False
    source: StepSource | None = None
    on_step: Callable[[int, dict[str, float]], None] | None = None
    on_pace: Callable[[float], None] | None = None

    def __post_init__(self) -> None:
        self._accelerator = self.accelerator or make_accelerator(self.recipe, self.out, self.model.language.device)
        encoder = SequenceEncoder(self.model.language, self.model.config)
        rank, world = self._accelerator.process_index, self._accelerator.num_processes
        self._batches = self.source or Batches(self.data, encoder, self.recipe, self.seed, rank, world)
        held_out = self.data.validation
        self._held_out = Batches(held_out, encoder, self.recipe) if held_out is not None else None
        self._raw_optimizer = make_optimizer(self.model, self.recipe)
        self._optimizer = self._accelerator.prepare(self._raw_optimizer)

    def fit(self, resume: bool = False, max_steps: int | None = None) -> FitResult:
        """Trains to the recipe's last step, or until stopped; the run can then be resumed from disk.

        Args:
            resume: continue from `out/last`, which must come from the same recipe, seed and data.
            max_steps: stop after this many steps in all; the learning rate still follows the recipe's steps.

        Raises:
            CheckpointError: there is nothing to resume, it has other settings, or the folder can't be written.
            TrainingError: the loss is no longer a number.
        """
        state = self._begin(resume)
        start, first = time.perf_counter(), state.step
        end = min(self.recipe.steps, max_steps or self.recipe.steps)
        pace = Pace(self.on_pace)
        self._waiting = Waiting()
        with self._tracking(), interrupt_sets(self.stop), self._bar(first, end) as bar, Ahead(self.batch) as batches:
            while state.step < end and not self._stopped() and not self._exhausted(state):
                with self._waiting.here():
                    batch = batches(state.step)
                losses = self.step(state.step, batch)
                state.step += 1
                bar.update()
                pace.step()
                self._log(state, losses, (state.step - first) / (time.perf_counter() - start), bar)
                if state.step % self.recipe.validate_every == 0 or state.step == self.recipe.steps:
                    self._validate(state)
                if state.step % self.recipe.save_every == 0 and state.step < end:
                    self._save(LAST, state)
            self._save(LAST, state)
            if state.step == end and state.best_loss is None:
                # A run that ends before its first validation leaves a best checkpoint, too. `LAST` doesn't know of it,
                # so that a resumed run is as if it had never stopped.
                self._validate(state)
            self._draw(state)
        exhausted = self._exhausted(state)
        return FitResult(state, state.step < end and not exhausted, time.perf_counter() - start, exhausted)

    # --- the parts of a step ---

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes, of several."""
        return bool(self._accelerator.is_main_process)

    def batch(self, step: int) -> StepBatch:
        """This process's share of a step's batch."""
        return self._batches.step(0 if self.overfit else step)

    def step(self, step: int, batch: StepBatch, rate: float | None = None) -> dict[str, Tensor]:
        """One optimiser step, at the learning rate of the recipe or another; its losses and the gradients' norm."""
        for group in self._raw_optimizer.param_groups:
            group["lr"] = (learning_rate(self.recipe, step) if rate is None else rate) * group["rate"]
        batch = batch.to(self._accelerator.device)
        with self._accelerator.autocast(), image_dropout(self.model, self.recipe.image_dropout, self.seed, step):
            losses = step_losses(self.model, batch, self.recipe.weights)
        self._accelerator.backward(losses["total"])
        norm = optimizer_step(self.model, self._optimizer, self.recipe, self._accelerator)
        self._optimizer.zero_grad()
        return {name: loss.detach() for name, loss in losses.items()} | {"gradient_norm": torch.tensor(norm)}

    def mean(self, loss: Tensor) -> float:
        """A loss over all processes, each of which must ask for it."""
        return float(self._accelerator.reduce(loss, "mean"))

    def _log(self, state: TrainingState, losses: dict[str, Tensor], steps_per_second: float, bar: tqdm[Any]) -> None:
        is_due = state.step % LOG_EVERY == 0 or state.step in (1, self.recipe.steps)
        if not is_due and self.on_step is None:
            return
        values = {name: self.mean(loss) for name, loss in losses.items()}
        if not math.isfinite(values["total"]):
            raise TrainingError(
                f"The loss is no longer a number at step {state.step}.",
                "Lower learning_rate in the recipe, or train with mixed_precision = 'no'.",
            )
        if self.on_step is not None:
            self.on_step(state.step, values)
        if is_due:
            values["learning_rate"] = learning_rate(self.recipe, state.step - 1)
            values["temperature"] = float(torch.exp(-self.model.bridge.logit_scale.detach()))
            state.metrics.append({"step": state.step, **values})
            waiting = self._waiting.share()
            speed = {"steps_per_second": steps_per_second, "waiting_for_data": waiting}
            self._track(tracking.with_paper_names(values) | speed, state.step)
            shown = {name: value for name, value in values.items() if name in losses and "2" not in name}
            said = " ".join(f"{name}={value:.3f}" for name, value in shown.items())
            bar.set_postfix_str(f"{said} waiting for data={waiting:.0%}")

    def _validate(self, state: TrainingState) -> None:
        if self._held_out is None:
            return
        values = validate(self.model, self._held_out, self.recipe, self._accelerator)
        state.metrics.append({"step": state.step, **values})
        self._track(values, state.step)
        if self.tensorboard and self.data.validation is not None:
            tracking.show_samples(self._accelerator, self.model, self.data.validation, self.recipe, state.step)
        self._draw(state)
        if state.best_loss is None or values["validation/total"] < state.best_loss:
            state.best_loss = values["validation/total"]
            self._save(BEST, state)

    # --- the run around them ---

    def _draw(self, state: TrainingState) -> None:
        if self.tensorboard and self._accelerator.is_main_process:
            draw_run(state.metrics, self.out / CURVES)

    def _exhausted(self, state: TrainingState) -> bool:
        return self.patience is not None and validations_since_best(state) >= self.patience

    def _begin(self, resume: bool) -> TrainingState:
        identity = {"recipe": self.recipe.to_dict(), "seed": self.seed, "data": self.data.fingerprint}
        identity |= {"encoder": self.model.vision.fingerprint(), "processes": self._accelerator.num_processes}
        if self.overfit:
            identity["overfit"] = True
        if not resume:
            return TrainingState(identity)
        state, extra = load_checkpoint(self.out / LAST, self.model, self._raw_optimizer, identity)
        if self._accelerator.scaler is not None and extra:
            self._accelerator.scaler.load_state_dict(extra)
        return state

    def _save(self, name: str, state: TrainingState) -> None:
        if self._accelerator.is_main_process:
            scaler = self._accelerator.scaler
            extra = scaler.state_dict() if scaler is not None else {}
            save_checkpoint(self.out / name, self.model, self._raw_optimizer, state, extra)
            if name == LAST and self.keep:
                keep_checkpoint(self.out / LAST, state.step, self.keep)
        self._accelerator.wait_for_everyone()

    def _stopped(self) -> bool:
        """Whether any process should stop; all must agree, or the others would wait for it forever."""
        if self._accelerator.num_processes == 1:
            return self.stop.is_set()
        told = torch.tensor(float(self.stop.is_set()), device=self._accelerator.device)
        return bool(self._accelerator.reduce(told, "sum") > 0)

    @contextmanager
    def _tracking(self) -> Iterator[None]:
        if self.tensorboard:
            tracking.start(self._accelerator, self.recipe)
        try:
            yield
        finally:
            self._accelerator.end_training()

    def _track(self, values: dict[str, float], step: int) -> None:
        if self.tensorboard:
            self._accelerator.log(values, step=step)

    def _bar(self, first: int, end: int) -> tqdm[Any]:
        is_hidden = not (self.show_progress and self._accelerator.is_main_process)
        return tqdm(total=end, initial=first, unit="step", disable=is_hidden, dynamic_ncols=True)
