"""What a run tells its trackers (TensorBoard, or any other that accelerate knows): numbers and pictures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from accelerate import Accelerator

from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.processes import TENSORBOARD
from fromage_lite.training.recipe import Recipe
from fromage_lite.training.samples import draw, take_samples

PROJECT = "fromage-lite"
PAPER_NAMES = {
    "captioning": "paper/L_c",
    "contrastive_t2i": "paper/L_t2i",
    "contrastive_i2t": "paper/L_i2t",
    "total": "paper/L",
}
"""Our losses under the names of the paper (section 3.2). It has none for the words of the retrieval pass, nor for
dialogues, which are in `paper/L` as they are in the total."""
_TAKES_PICTURES = ("wandb",)


def start(accelerator: Accelerator, recipe: Recipe) -> None:
    """Opens the trackers; those that are not TensorBoard get the recipe, too."""
    names = [str(name) for name in accelerator.log_with]
    if not names:
        return
    only_tensorboard = names == [TENSORBOARD]
    # TensorBoard would take the recipe as a table of hyperparameters, in a log of its own.
    config = None if only_tensorboard else _flat(recipe.to_dict())
    accelerator.init_trackers(TENSORBOARD if only_tensorboard else PROJECT, config=config)


def with_paper_names(values: Mapping[str, float]) -> dict[str, float]:
    """The figures, and the losses among them once more under the paper's names."""
    return {**values, **{PAPER_NAMES[name]: value for name, value in values.items() if name in PAPER_NAMES}}


def show_samples(accelerator: Accelerator, model: Fromage, data: TrainingData, recipe: Recipe, step: int) -> None:
    """Shows what the model says and finds now, in those trackers that take pictures.

    Every process computes it, since the language model may be divided among them.
    """
    if data.picture is None or not {TENSORBOARD, *_TAKES_PICTURES} & {str(name) for name in accelerator.log_with}:
        return
    with accelerator.autocast():
        taken = take_samples(model, data, recipe)
    if taken is None or not accelerator.is_main_process:
        return
    pictures = draw(taken, data)
    for tracker in accelerator.trackers:
        if tracker.name == TENSORBOARD:
            arrays = {name: np.asarray(picture)[None] for name, picture in pictures.items()}
            tracker.log_images(arrays, step=step, dataformats="NHWC")
        elif tracker.name in _TAKES_PICTURES:
            tracker.log_images({name: [picture] for name, picture in pictures.items()}, step=step)


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, str | int | float | bool]:
    flat: dict[str, str | int | float | bool] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value if isinstance(value, (str, int, float, bool)) else str(value)
    return flat
