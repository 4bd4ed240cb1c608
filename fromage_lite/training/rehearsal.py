"""What a run would take, tried out before it: a few steps on the first examples, and nothing is written."""

from __future__ import annotations

import itertools
import platform
import resource
import time
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from fromage_lite.errors import DataError
from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.features import encoding, grid_shape, has_grid
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.data.sources import is_store
from fromage_lite.training.data.tables import caption_faults
from fromage_lite.training.length import duration
from fromage_lite.training.options import RunOptions
from fromage_lite.training.recipe import Recipe
from fromage_lite.training.trainer import Trainer
from index.sources.recognise import open_source

STEPS = 3
_ENCODED = 16  # pictures, to measure the encoder
_GB = 10**9


@dataclass(frozen=True)
class Preview:
    """The beginning of data that is not in a store yet.

    Attributes:
        data: its first captions over features of random numbers.
        pictures: in the whole source; of tars an estimate.
        features_seconds: the encoder alone takes for all of them.
        features_bytes: their features take on disk.
    """

    data: TrainingData
    pictures: int
    features_seconds: float
    features_bytes: int


def preview(options: RunOptions, model: Fromage, recipe: Recipe) -> Preview | None:
    """The first captions of the data that the options name, without opening or fetching a picture; None if its features
    are there already.

    Raises:
        DataError: no picture has a caption that can be used.
        StoreError: there is no such source.
    """
    path = options.data
    if path is None or is_store(path):
        return None
    reader, fault_of = open_source(path), caption_faults(model)
    usable = (p.caption for p in reader if not p.problem and p.caption and not fault_of(p.caption))
    captions = list(itertools.islice(usable, 32 * recipe.batch_size))
    if not captions:
        raise DataError(f"No picture in {path} has a caption.", "Name a source that has captions.")
    embed = encoding(model)
    noise = np.random.default_rng(0).integers(0, 255, size=(_ENCODED, 256, 256, 3), dtype=np.uint8)
    images = [Image.fromarray(pixels) for pixels in noise]
    embed(images[:1])
    began = time.perf_counter()
    row = embed(images)[0]
    each = (time.perf_counter() - began) / _ENCODED
    features = np.random.default_rng(0).standard_normal((len(captions), row.size), dtype=np.float32)
    dim = model.vision.dim
    grid = features[:, dim:].reshape(len(captions), *grid_shape(model)) if has_grid(model) else None
    data = TrainingData(features[:, :dim], [(text, row) for row, text in enumerate(captions)], grid=grid)
    count = len(reader)
    return Preview(data, count, each * count, 2 * row.size * count)


def rehearse(trainer: Trainer, seen: Preview | None) -> list[str]:
    """Makes a few steps, and says in lines what the whole run would take."""
    trainer.step(0, trainer.batch(0))  # much happens only in the first
    began = time.perf_counter()
    for step in range(1, 1 + STEPS):
        trainer.step(step, trainer.batch(step))
    seconds = (time.perf_counter() - began) / STEPS
    recipe = trainer.recipe
    captions = seen.pictures if seen is not None else len(trainer.data.captions)
    passes = recipe.steps * recipe.batch_size / max(captions, 1)
    lines = [
        f"Memory: {_peak(trainer.model.language.device) / _GB:.1f} GB at most so far.",
        f"Steps: {recipe.steps:,} of {recipe.batch_size:,} captions, {passes:.2g} passes through {captions:,}.",
        f"Time: a step takes {seconds:.3g} s here, so all of them {duration(recipe.steps * seconds)}.",
    ]
    if seen is not None:
        lines.append(
            f"Features: the encoder takes {duration(seen.features_seconds)} for {seen.pictures:,} pictures, without "
            f"reading or fetching them; their features {seen.features_bytes / _GB:.2g} GB on disk."
        )
    return [*lines, "Nothing was written."]


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
