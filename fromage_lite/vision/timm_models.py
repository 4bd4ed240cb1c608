"""Image encoders of timm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from fromage_lite.checkpoint.locate import resolve_model_name
from fromage_lite.errors import CheckpointError
from fromage_lite.vision.backend import Backend, ImageFeatures, patches
from index.errors import reason


def load(name: str, base_dir: Path | None, revision: str | None) -> Backend:
    """Loads a model of timm with its weights, strictly.

    The pooled feature is what the model's classifier would see (`forward_head(pre_logits=True)`): the class token or
    the mean of the patches of a transformer after its last norm, the pooled map of a convolutional network.

    Args:
        name: `MODEL` or `MODEL.TAG` of timm's registry, `hf-hub:ORG/NAME`, or `local-dir:FOLDER` in timm's own format
            (config.json with an `architecture`, and weights).
        base_dir: where relative folders count from.
        revision: unused: a name of timm holds its own.

    Raises:
        CheckpointError: if a local folder is missing or holds no timm model.
    """
    import timm

    # With its own classifier the model loads strictly; asked for none, timm would accept weights that lack a layer.
    model = timm.create_model(_source(name, base_dir), pretrained=True)
    model.reset_classifier(0)
    data = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**data, is_training=False)

    def encode(pixel_values: Tensor, grid: bool) -> ImageFeatures:
        hidden = model.forward_features(pixel_values)
        pooled = model.forward_head(hidden, pre_logits=True)
        return ImageFeatures(pooled, timm_grid(model, hidden) if grid else None)

    def preprocess(images: list[Image.Image]) -> Tensor:
        return torch.stack([transform(image) for image in images])

    # JSON, because the same numbers come as tuples from the registry and as lists from a folder.
    return Backend(model, encode, preprocess, json.dumps(data, sort_keys=True))


def outline(name: str, base_dir: Path | None, revision: str | None) -> nn.Module:
    """The model without its classifier and with new weights; arguments as of `load`."""
    import timm

    return timm.create_model(_source(name, base_dir), pretrained=False, num_classes=0)


def timm_grid(model: Any, hidden: Tensor) -> Tensor:
    """What `forward_features` gave -> the patches (B, P, C), after the last norm."""
    return patches(hidden, getattr(model, "num_prefix_tokens", 0), getattr(model, "output_fmt", "NCHW") == "NHWC")


def is_timm_tower(module: nn.Module) -> bool:
    """Whether a module of another library is a timm model inside."""
    return hasattr(module, "forward_head") and hasattr(module, "forward_features")


def _source(name: str, base_dir: Path | None) -> str:
    """The encoder's name -> timm's."""
    if not name.startswith("local-dir:"):
        return name
    folder = resolve_model_name(name.removeprefix("local-dir:"), base_dir)
    _check_folder(Path(folder))
    return f"local-dir:{folder}"


def _check_folder(folder: Path) -> None:
    """Raises: CheckpointError: if the folder is missing or not in timm's format."""
    if not folder.is_dir():
        raise CheckpointError(f"The image encoder's folder {folder} does not exist.", "Check the spelling of the path.")
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} can't be read: {reason(error)}.", "A timm folder holds config.json and weights."
        ) from error
    if not isinstance(config, dict) or not isinstance(config.get("architecture"), str):
        raise CheckpointError(
            f"{folder} holds no timm model: its config.json names no architecture.",
            "Name a folder that timm saved, or leave out timm: for a transformers model.",
        )
