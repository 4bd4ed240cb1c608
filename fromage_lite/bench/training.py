"""A training step in the paper's way and in ours: each saving alone and together, exactness, operations, memory."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fromage_lite.bench.captions import captions
from fromage_lite.bench.hardware import matmul_rate, peak_memory, seconds
from fromage_lite.bench.plain_training import PADDED, Examples, PlainTraining, Savings
from fromage_lite.bench.training_figures import TrainingFigures, TrainingRow
from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.batches import Collator, StepBatch
from fromage_lite.training.data.batching import POOL_BATCHES, LengthBatches
from fromage_lite.training.data.encoding import SequenceEncoder
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.losses import step_losses
from fromage_lite.training.optimizing import make_optimizer, optimizer_step
from fromage_lite.training.recipe import Recipe

BATCHES = 5
"""Batches that are timed: of equal distance in length among those of a pool, so that their mean is that of all."""
PLAIN, OURS_CACHED, OURS_PLAIN = "the paper's way", "all, features cached", "all but cached features"
ROWS = {
    PLAIN: Savings(),
    "encoder once a step": Savings(encoder="once"),
    "cached features": Savings(encoder="cached"),
    "padded by length": Savings(lengths=True),
    "logits at labels": Savings(labels=True),
    "virtual [RET]": Savings(virtual_ret=True),
    "only [RET] differentiated": Savings(ret_only=True),
}
"""The rows of the table but for all together, which is the trainer's own step."""


class OurTraining:
    """The trainer's own step, with the features from a cache or from the encoder.

    Args:
        model: its bridge is trained in place.
        recipe: of the optimiser.
        cached: whether the features come from a cache.
    """

    def __init__(self, model: Fromage, recipe: Recipe, cached: bool) -> None:
        self._model, self._recipe, self._cached = model, recipe, cached
        self.optimizer = make_optimizer(model, recipe)

    @property
    def trained_bytes(self) -> int:
        """What has a gradient, in bytes."""
        return sum(parameter.nbytes for parameter in self._model.trained_parameters().values())

    def step(self, examples: Examples) -> None:
        """One whole step of training."""
        self.backward(examples)
        optimizer_step(self._model, self.optimizer, self._recipe)
        self.optimizer.zero_grad(set_to_none=False)

    def backward(self, examples: Examples) -> float:
        """The trainer's losses and their gradients; returns their sum."""
        features = examples.features if self._cached else self._model.vision.encode(examples.pixels).pooled
        rows = 1 + max(example.image_rows[0] for example in examples.captioning)
        collate = Collator(TrainingData(np.zeros((rows, 1), dtype=np.float32), [("", 0)]))
        captioning, retrieval = collate.sequences(examples.captioning), collate.retrieval(examples.retrieval)
        batch = StepBatch(replace(captioning, features=features), replace(retrieval, features=features))
        losses = step_losses(self._model, batch.to(features.device), self._recipe.weights)
        losses["total"].backward()
        return float(losses["total"].detach())

    def gradients(self) -> dict[str, Tensor]:
        """The gradients by the parameters' names."""
        return {name: p.grad.clone() for name, p in self._model.trained_parameters().items() if p.grad is not None}


def measure_training(model: Fromage, batch_size: int, repeats: int) -> TrainingFigures:
    """Times and checks every way with the same batches, in turns.

    Args:
        model: its bridge is left as it was.
        batch_size: captions in a step.
        repeats: how often our own steps are timed; the others once, for each of the `BATCHES` batches.
    """
    device = model.language.device
    recipe = Recipe("bench", batch_size=batch_size, concat_probability=0.0, max_tokens=PADDED)
    batches = make_batches(model, recipe)
    before = {name: value.clone() for name, value in model.bridge.state_dict().items()}
    expected: list[dict[str, Tensor]] = []
    rows: list[TrainingRow] = []
    steps: list[float] = []
    trained: dict[str, int] = {}
    makers: dict[str, Callable[[], PlainTraining | OurTraining]] = {
        **{way: partial(PlainTraining, model, recipe, savings) for way, savings in ROWS.items()},
        OURS_PLAIN: partial(OurTraining, model, recipe, False),
        OURS_CACHED: partial(OurTraining, model, recipe, True),
    }
    compared = {way: makers[way]() for way in (PLAIN, OURS_PLAIN, OURS_CACHED)}
    with _autocast(model):
        turns = _in_turns(compared, batches, repeats, device)
    optimizer_bytes = _moments(compared[OURS_CACHED].optimizer)
    del compared
    for way, make in makers.items():
        model.bridge.load_state_dict(before)
        model.bridge.zero_grad(set_to_none=True)
        training = make()
        trained[way] = training.trained_bytes
        with _autocast(model):
            operations = _operations(training, batches)
            model.bridge.zero_grad(set_to_none=True)
            gradients = [_gradients(model, make, batches[len(batches) // 2], smooth) for smooth in (False, True)]
            expected = expected or gradients
            times = turns.get(way) or _in_turns({way: training}, batches, 1, device)[way]
        steps.append(statistics.mean(times))
        errors = [gradient_error(*pair) for pair in zip(gradients, expected, strict=True)]
        rows.append(TrainingRow(way, steps[-1], steps[0] / steps[-1], operations, *errors))
    model.bridge.load_state_dict(before)
    model.bridge.zero_grad(set_to_none=True)
    plain, ours_plain, cached = rows[0], rows[-2], rows[-1]
    rate = matmul_rate(device, model.language.dtype)
    return TrainingFigures(
        speedup_cached_features=cached.speedup,
        speedup_plain=ours_plain.speedup,
        limit_cached_features=plain.operations / cached.operations,
        limit_plain=plain.operations / ours_plain.operations,
        grad_max_rel_error=max(cached.smooth_error, ours_plain.smooth_error),
        grad_max_rel_error_at_kinks=max(cached.gradient_error, ours_plain.gradient_error),
        trainable_bytes=trained[OURS_CACHED],
        trainable_bytes_plain=trained[PLAIN],
        optimizer_bytes=optimizer_bytes,
        share_of_flop_limit=cached.operations / rate / cached.step,
        examples_per_second=batch_size / cached.step,
        operations_per_second=rate,
        mean_tokens=statistics.mean(len(example) for batch in batches for example in batch.retrieval),
        peak_bytes=peak_memory(device),
        rows=rows,
    )


def make_batches(model: Fromage, recipe: Recipe) -> list[Examples]:
    """`BATCHES` batches of random pictures and captions as long as CC3M's, as the trainer would put them together."""
    size = recipe.batch_size
    texts = captions(model.language, POOL_BATCHES * size)
    encoder = SequenceEncoder(model.language, model.config)
    captioning = [encoder.captioned_image(text, row, max_tokens=PADDED) for row, text in enumerate(texts)]
    retrieval = [encoder.retrieval_caption(text, row, max_tokens=PADDED) for row, text in enumerate(texts)]
    order = LengthBatches([len(example) for example in captioning], size, seed=0)
    pool = sorted((order.batch(step) for step in range(order.per_epoch)), key=lambda rows: len(captioning[rows[0]]))
    generator = torch.Generator().manual_seed(0)
    found = []
    for number in range(BATCHES):
        rows = pool[int((number + 0.5) * len(pool) / BATCHES)]
        pixels = torch.randn(size, 3, model.vision.image_size, model.vision.image_size, generator=generator)
        pixels = pixels.to(model.vision.device)
        features = model.vision.encode(pixels).pooled
        found.append(Examples([captioning[i] for i in rows], [retrieval[i] for i in rows], pixels, features))
    return found


def gradient_error(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """The largest deviation of a gradient, as a share of the largest number of its tensor; over all tensors."""
    return max(float((found[name] - value).abs().max() / value.abs().max()) for name, value in expected.items())


def _in_turns(
    trainings: Mapping[str, PlainTraining | OurTraining], batches: list[Examples], repeats: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of a step on each batch, by the ways: one after the other with each batch, so that other load on the
    machine slows all of them."""
    times: dict[str, list[float]] = {way: [] for way in trainings}
    for training in trainings.values():
        training.step(batches[0])  # the optimiser's state is made
    for batch in batches:
        for way, training in trainings.items():
            count = repeats if isinstance(training, OurTraining) else 1
            times[way].append(_time(training, batch, count, device))
    return times


def _moments(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of AdamW's two moments."""
    states = optimizer.state.values()
    return sum(t.nbytes for state in states for t in state.values() if isinstance(t, Tensor) and t.dim())


def _time(training: PlainTraining | OurTraining, batch: Examples, repeats: int, device: torch.device) -> float:
    """Median seconds of a step."""
    return seconds(lambda: training.step(batch), device, repeats, warm_up=0)


def _operations(training: PlainTraining | OurTraining, batches: list[Examples]) -> float:
    """Operations of the matrix products of a step: the mean of the batches, of which all but ours are equally long."""
    middle = len(batches) // 2
    chosen = batches if isinstance(training, OurTraining) else batches[middle : middle + 1]
    counts = []
    for batch in chosen:
        with FlopCounterMode(display=False) as counter:
            training.backward(batch)
        counts.append(counter.get_total_flops())
    return statistics.mean(counts)


def _gradients(
    model: Fromage, make: Callable[[], PlainTraining | OurTraining], batch: Examples, smooth: bool
) -> dict[str, Tensor]:
    """The gradients of a batch, with GELU for ReLU or without."""
    model.bridge.zero_grad(set_to_none=True)
    layers = model.language.decoder.layers if smooth else []
    before = [layer.activation_fn for layer in layers]
    for layer in layers:
        layer.activation_fn = torch.nn.GELU()
    training = make()
    training.backward(batch)
    found = training.gradients()
    for layer, function in zip(layers, before, strict=True):
        layer.activation_fn = function
    model.bridge.zero_grad(set_to_none=True)
    return found


def _autocast(model: Fromage) -> torch.autocast:
    dtype = model.language.dtype
    return torch.autocast(model.language.device.type, dtype, enabled=dtype != torch.float32)
