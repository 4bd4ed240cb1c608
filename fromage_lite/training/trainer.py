"""The training loop of the bridge; everything else is frozen.

The order of a step is fixed: batch, losses, backward, clip, AdamW, `[RET]` renormalisation, then logging, validation
and saving. Batches are a function of the step, so a resumed run continues as if it had never stopped.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from torch import Tensor
from tqdm import tqdm

from fromage_lite.errors import FromageError
from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.batches import Batches
from fromage_lite.training.data.encoding import SequenceEncoder
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.losses import step_losses
from fromage_lite.training.recipe import Recipe
from fromage_lite.training.state import BEST, LAST, TrainingState, load_checkpoint, save_checkpoint
from fromage_lite.training.validation import validate

LOG_EVERY = 10
PACE_STEPS, PACE_SECONDS = 5, 10.0  # whichever is first, after the first step


class TrainingError(FromageError):
    """A run that can't continue."""


@dataclass(frozen=True)
class FitResult:
    """How a run ended.

    Attributes:
        state: steps done, best validation loss, logged figures.
        interrupted: whether it was stopped before its last step.
        seconds: time spent in this call.
    """

    state: TrainingState
    interrupted: bool
    seconds: float


def make_optimizer(model: Fromage, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW over all that is trained. The map to visual tokens, the soft prompt and the language model's adapters have
    rates of their own, and stay as they are if that is 0."""
    rates = {
        "visual_embeddings": recipe.visual_rate,
        "visual_norm": recipe.visual_rate,
        "soft_prompt": recipe.prompt_rate,
        "adapters": recipe.adapter_rate,
    }
    parts: dict[str, list[torch.nn.Parameter]] = {"": [], **{part: [] for part in rates}}
    for name, parameter in model.trained_parameters().items():
        part = name.partition(".")[0]
        parts[part if part in rates else ""].append(parameter)
        parameter.requires_grad_(rates.get(part, 1.0) > 0)
    groups = [{"params": parts[part], "rate": rates.get(part, 1.0)} for part in parts if parts[part]]
    return torch.optim.AdamW(
        groups, lr=recipe.learning_rate, betas=recipe.betas, eps=1e-8, weight_decay=recipe.weight_decay
    )


@contextmanager
def image_dropout(model: Fromage, share: float, seed: int, step: int) -> Iterator[None]:
    """Inside, this share of the numbers of visual tokens is zero, and the others are larger for it; which ones is a
    function of seed and step."""
    if share:
        generator = torch.Generator().manual_seed((seed << 32) + step)

        def drop(tokens: Tensor) -> Tensor:
            kept = torch.rand(tokens.shape, generator=generator) >= share
            return tokens * kept.to(tokens) / (1 - share)

        model.bridge.visual_dropout = drop
    try:
        yield
    finally:
        model.bridge.visual_dropout = None


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step, counted from 0: a linear rise (never 0), then constant or half a cosine."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    if recipe.schedule == "constant":
        return recipe.learning_rate
    done = (step - recipe.warmup_steps) / max(recipe.steps - recipe.warmup_steps, 1)
    share = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return recipe.learning_rate * (recipe.final_learning_rate + (1 - recipe.final_learning_rate) * share)


def optimizer_step(
    model: Fromage, optimizer: torch.optim.Optimizer, recipe: Recipe, accelerator: Accelerator | None = None
) -> float:
    """Clips, steps, and rescales the `[RET]` row; returns the gradients' norm before clipping.

    With several processes it averages the gradients first: they are few, so no distributed wrapper is needed.
    """
    parameters = list(model.trained_parameters().values())
    if accelerator is None:
        norm = torch.nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
    else:
        if accelerator.num_processes > 1:
            for parameter in parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                parameter.grad = accelerator.reduce(parameter.grad, "mean")
        norm = accelerator.clip_grad_norm_(parameters, recipe.clip_norm)
    optimizer.step()
    model.bridge.renormalise_ret(model.language.mean_row_norm, model.language.mean_output_row_norm)
    if recipe.max_scale is not None:
        with torch.no_grad():
            model.bridge.logit_scale.clamp_(max=math.log(recipe.max_scale))
    return float(norm)


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
        tensorboard: whether to write the log.
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
    on_step: Callable[[int, dict[str, float]], None] | None = None
    on_pace: Callable[[float], None] | None = None

    def __post_init__(self) -> None:
        self._accelerator = self.accelerator or make_accelerator(self.recipe, self.out, self.model.language.device)
        encoder = SequenceEncoder(self.model.language, self.model.config)
        rank, world = self._accelerator.process_index, self._accelerator.num_processes
        self._batches = Batches(self.data, encoder, self.recipe, self.seed, rank, world)
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
        pace = _Pace(self.on_pace)
        with self._tracking(), interrupt_sets(self.stop), self._bar(first, end) as bar:
            while state.step < end and not self._stopped():
                losses = self._step(state.step)
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
        return FitResult(state, state.step < end, time.perf_counter() - start)

    # --- the parts of a step ---

    def _step(self, step: int) -> dict[str, Tensor]:
        for group in self._raw_optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, step) * group["rate"]
        batch = self._batches.step(step).to(self._accelerator.device)
        with self._accelerator.autocast(), image_dropout(self.model, self.recipe.image_dropout, self.seed, step):
            losses = step_losses(self.model, batch, self.recipe.weights)
        self._accelerator.backward(losses["total"])
        norm = optimizer_step(self.model, self._optimizer, self.recipe, self._accelerator)
        self._optimizer.zero_grad()
        return {name: loss.detach() for name, loss in losses.items()} | {"gradient_norm": torch.tensor(norm)}

    def _log(self, state: TrainingState, losses: dict[str, Tensor], steps_per_second: float, bar: tqdm[Any]) -> None:
        is_due = state.step % LOG_EVERY == 0 or state.step in (1, self.recipe.steps)
        if not is_due and self.on_step is None:
            return
        values = {name: float(self._accelerator.reduce(loss, "mean")) for name, loss in losses.items()}
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
            self._track(values | {"steps_per_second": steps_per_second}, state.step)
            bar.set_postfix_str(" ".join(f"{name}={value:.3f}" for name, value in values.items() if name in losses))

    def _validate(self, state: TrainingState) -> None:
        if self._held_out is None:
            return
        values = validate(self.model, self._held_out, self.recipe, self._accelerator)
        state.metrics.append({"step": state.step, **values})
        self._track(values, state.step)
        if state.best_loss is None or values["validation/total"] < state.best_loss:
            state.best_loss = values["validation/total"]
            self._save(BEST, state)

    # --- the run around them ---

    def _begin(self, resume: bool) -> TrainingState:
        identity = {"recipe": self.recipe.to_dict(), "seed": self.seed, "data": self.data.fingerprint}
        identity |= {"encoder": self.model.vision.fingerprint(), "processes": self._accelerator.num_processes}
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
            self._accelerator.init_trackers("tensorboard")
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


class _Pace:
    """Tells how long a step takes, once a few are done. The first one doesn't count: much happens only then.

    Args:
        tell: gets the seconds of a step; None is not told.
    """

    def __init__(self, tell: Callable[[float], None] | None) -> None:
        self._tell, self._counted, self._began = tell, -1, 0.0

    def step(self) -> None:
        """A step is done."""
        if self._tell is None:
            return
        self._counted += 1
        now = time.perf_counter()
        if self._counted == 0:
            self._began = now
        elif self._counted >= PACE_STEPS or now - self._began >= PACE_SECONDS:
            tell, self._tell = self._tell, None
            with tqdm.external_write_mode():  # not into the bar
                tell((now - self._began) / self._counted)


def make_accelerator(recipe: Recipe, out: Path, device: torch.device | str = "cpu") -> Accelerator:
    """Accelerate's device, precision and processes for a run."""
    # Accelerate keeps one setting for the whole process; the next run may need another.
    AcceleratorState._reset_state(reset_partial_state=PartialState().device.type != torch.device(device).type)
    options: dict[str, Any] = {"cpu": True} if torch.device(device).type == "cpu" else {}
    precision = recipe.mixed_precision
    return Accelerator(mixed_precision=precision, log_with="tensorboard", project_dir=str(out), **options)


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
