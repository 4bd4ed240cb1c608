"""Training steps of the paper's recipe with cached features, and the optimiser's memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fromage_lite.bench.hardware import peak_memory, seconds
from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.batches import Batches
from fromage_lite.training.data.encoding import SequenceEncoder
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.losses import step_losses
from fromage_lite.training.recipe import Recipe
from fromage_lite.training.trainer import make_optimizer

CAPTION_TOKENS = 24


@dataclass(frozen=True)
class TrainingFigures:
    """One step of captioning and retrieval.

    Attributes:
        step: median seconds.
        examples_per_second: pictures with a caption.
        gradient_bytes: all gradients.
        optimizer_bytes: AdamW's two moments.
        peak_bytes: peak memory.
    """

    step: float
    examples_per_second: float
    gradient_bytes: int
    optimizer_bytes: int
    peak_bytes: int


def measure_training(model: Fromage, batch_size: int, repeats: int) -> TrainingFigures:
    """Steps on random features and captions of 24 tokens; features come from a cache, as in training."""
    device = model.language.device
    recipe = Recipe("bench", steps=1000, batch_size=batch_size, concat_probability=0.0, max_tokens=CAPTION_TOKENS)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(4 * batch_size, model.vision.dim, generator=generator).numpy()
    captions = [(model.language.decode(list(range(20 + row, 60 + row))), row) for row in range(len(features))]
    encoder = SequenceEncoder(model.language, model.config)
    batches = Batches(TrainingData(features, captions, [], fingerprint="bench"), encoder, recipe, 0, 0, 1)
    optimizer = make_optimizer(model, recipe)
    counter = iter(range(10**6))

    def step() -> None:
        with torch.autocast(device.type, model.language.dtype, enabled=model.language.dtype != torch.float32):
            losses = step_losses(model, batches.step(next(counter)).to(device), recipe.weights)
        losses["total"].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    median = seconds(step, device, repeats)
    parameters = list(model.trained_parameters().values())
    held = [p.grad for p in parameters if p.grad is not None]
    moments = [t for s in optimizer.state.values() for t in s.values() if isinstance(t, torch.Tensor) and t.dim()]
    return TrainingFigures(
        step=median,
        examples_per_second=batch_size / median,
        gradient_bytes=sum(gradient.nbytes for gradient in held),
        optimizer_bytes=sum(moment.nbytes for moment in moments),
        peak_bytes=peak_memory(device),
    )
