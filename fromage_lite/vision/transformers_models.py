"""Image encoders of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from fromage_lite.checkpoint.hub import file_options, is_cached, no_progress_bars
from fromage_lite.checkpoint.locate import resolve_model_name
from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.vision.backend import Backend, ImageFeatures, patches
from fromage_lite.vision.text_tower import LoadTower
from fromage_lite.vision.transformers_texts import TransformersTower, load_tower, quiet

# Model type -> the class of its image tower in transformers, with options. A two-tower checkpoint is loaded without its
# text tower. ViT and DeiT are loaded without their pooler, which is untrained in most of their checkpoints.
_TOWERS: dict[str, tuple[str, dict[str, Any]]] = {
    "clip": ("CLIPVisionModel", {}),
    "clip_vision_model": ("CLIPVisionModel", {}),
    "chinese_clip": ("ChineseCLIPVisionModel", {}),
    "metaclip_2": ("MetaClip2VisionModel", {}),
    "siglip": ("SiglipVisionModel", {}),
    "siglip_vision_model": ("SiglipVisionModel", {}),
    "vit": ("ViTModel", {"add_pooling_layer": False}),
    "deit": ("DeiTModel", {"add_pooling_layer": False}),
}
# Weights that only training needs, and buffers that older versions saved.
_UNUSED = ("mask_token", "position_ids", "relative_position_index")
# Keys of a processor's file that do not affect what it does to a picture.
_NOT_PREPROCESSING = {
    "processor_class",
    "feature_extractor_type",
    "auto_map",
    "return_tensors",
    "device",
    "disable_grouping",
    "data_format",
    "input_data_format",
}


def load(name: str, base_dir: Path | None, revision: str | None) -> Backend:
    """Loads an image encoder of transformers with its weights, strictly, from a folder or the Hub.

    The pooled feature:

    - CLIP and its kin: the class token after the last norm and before the projection, as in FROMAGe (`pooler_output`).
    - SigLIP, SigLIP 2 (fixed resolution): the attention-pooling head.
    - BEiT: its pooler, which is the norm of the patches' mean (or the class token, as its configuration says). A
      checkpoint that was only pretrained has no such norm; then it is the plain mean.
    - DINOv2, ViT, DeiT: the class token after the last norm.
    - Any other: `pooler_output` of its class in transformers; a class without it is refused.

    The patches are `last_hidden_state` without class token and registers, after the last norm (CLIP's before it).

    Args:
        name: a folder or a Hub id.
        base_dir: where a relative folder counts from.
        revision: Hub revision.

    Raises:
        CheckpointError: it is not an image encoder, or weights are missing or left over.
    """
    name = resolve_model_name(name, base_dir)
    with no_progress_bars(), quiet():
        model = _load_model(name, revision)
        processor = _load_processor(name, revision)

    def encode(pixel_values: Tensor, grid: bool) -> ImageFeatures:
        return _features(model, pixel_values, grid)

    def preprocess(images: list[Image.Image]) -> Tensor:
        # One by one: pictures differ in size until they are cropped.
        return torch.cat([processor(image, return_tensors="pt")["pixel_values"] for image in images])

    def class_tokens(pixel_values: Tensor, layers: list[int]) -> Tensor:
        states = model(pixel_values=pixel_values, output_hidden_states=True).hidden_states[1:]
        if not _prefix(model.config, states[-1], pixel_values):
            raise ConfigError(f"The image encoder {name} has no class token.", "Use a vision transformer.")
        return torch.stack([states[layer][:, 0] for layer in layers], dim=1)

    return Backend(model, encode, preprocess, _describe(processor), _tower(name, revision), class_tokens)


def _tower(name: str, revision: str | None) -> LoadTower | None:
    """What loads the text tower of a two-tower checkpoint; None for one without."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(name, revision=revision)
    if config.model_type not in _TOWERS or not hasattr(config, "text_config"):
        return None

    def load(device: torch.device, dtype: torch.dtype) -> TransformersTower:
        return load_tower(name, revision, device, dtype)

    return load


def outline(name: str, base_dir: Path | None, revision: str | None) -> nn.Module:
    """The image tower with random weights; arguments as for `load`."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(resolve_model_name(name, base_dir), revision=revision)
    class_name, options = _TOWERS.get(config.model_type, ("AutoModel", {}))
    if class_name == "AutoModel":
        return transformers.AutoModel.from_config(config)
    return getattr(transformers, class_name)(getattr(config, "vision_config", config), **options)


def is_here(name: str) -> bool:
    """Whether the weights are on this computer."""
    return Path(name).expanduser().is_dir() or is_cached(name)


def _load_model(name: str, revision: str | None) -> Any:
    import transformers

    config = transformers.AutoConfig.from_pretrained(name, revision=revision)
    class_name, options = _TOWERS.get(config.model_type, ("AutoModel", {}))
    if class_name == "AutoModel":
        _check_kind(name, config)
    model, report = getattr(transformers, class_name).from_pretrained(
        name,
        revision=revision,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **file_options(),
        **options,
    )
    missing = set(report["missing_keys"])
    if missing and all(key.startswith("pooler.") for key in missing):
        model.pooler, missing = None, set()  # its weights are random; `_features` works without it
    faults = [f"{key} is missing" for key in sorted(missing)]
    faults += [f"{key} is left over" for key in sorted(report["unexpected_keys"]) if _belongs(key, model)]
    mismatched = sorted(report["mismatched_keys"], key=lambda fault: fault[0])
    faults += [f"{key} is {tuple(found)} instead of {tuple(wanted)}" for key, found, wanted in mismatched]
    faults += report["error_msgs"]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise CheckpointError(
            f"The weights of the image encoder {name} do not fit its configuration: {'; '.join(faults[:3])}{more}.",
            "Use weights and a config.json that belong together.",
        )
    return model


def _check_kind(name: str, config: Any) -> None:
    """Refuses anything but an image encoder before loading its weights: a language model's could fill the memory."""
    from transformers import MODEL_MAPPING

    kind = config.model_type
    if kind in ("siglip2", "siglip2_vision_model"):
        raise CheckpointError(
            f"The image encoder {name} is a SigLIP 2 of variable resolution (NaFlex), which is not supported.",
            "Use one of fixed resolution, such as google/siglip2-base-patch16-224.",
        )
    model_class = MODEL_MAPPING[type(config)] if type(config) in MODEL_MAPPING else None
    if isinstance(model_class, (list, tuple)):
        model_class = model_class[0]
    if getattr(model_class, "main_input_name", "") != "pixel_values" or hasattr(config, "text_config"):
        raise CheckpointError(
            f"{name} is not an image encoder but a model of type {kind}.",
            "Name an image encoder, for example a CLIP, SigLIP, BEiT, DINOv2 or ViT model.",
        )


def _belongs(key: str, model: Any) -> bool:
    """Whether left-over weights belong to the image encoder, not to a head or another tower."""
    parts = {name for name, child in model.named_children() if next(child.parameters(), None) is not None}
    return key.split(".")[0] in parts and not key.endswith(_UNUSED)


def _load_processor(name: str, revision: str | None) -> Any:
    from transformers import AutoImageProcessor

    # The PIL backend resizes as CLIP's own code did; torchvision's bicubic differs in the last bits of every pixel.
    try:
        processor = AutoImageProcessor.from_pretrained(name, revision=revision, backend="pil")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"The image encoder {name} has no readable preprocessor_config.json.",
            "Copy it from the original model: without it, pictures would get the wrong size or brightness.",
        ) from error
    if processor.backend != "pil":
        raise CheckpointError(
            f"The image encoder {name} prepares pictures by {type(processor).__name__}, which does not use Pillow.",
            "Use another encoder.",
        )
    return processor


def _describe(processor: Any) -> str:
    """What the processor does to a picture, as canonical text."""
    steps = {key: value for key, value in processor.to_dict().items() if key not in _NOT_PREPROCESSING}
    return json.dumps({"backend": processor.backend, **steps}, sort_keys=True, default=str)


def _features(model: Any, pixel_values: Tensor, grid: bool) -> ImageFeatures:
    output = model(pixel_values=pixel_values)
    tokens = output.last_hidden_state
    prefix = _prefix(model.config, tokens, pixel_values)
    pooled = getattr(output, "pooler_output", None)
    if pooled is None:
        if not hasattr(output, "pooler_output") or tokens.dim() != 3:
            raise CheckpointError(
                f"{type(model).__name__} of transformers has no pooled feature.", "Use another encoder."
            )
        takes_mean = getattr(model.config, "use_mean_pooling", False) or not prefix
        pooled = tokens[:, prefix:].mean(dim=1) if takes_mean else tokens[:, 0]
    return ImageFeatures(pooled.flatten(1), patches(tokens, prefix) if grid else None)


def _prefix(config: Any, tokens: Tensor, pixel_values: Tensor) -> int:
    """How many tokens come before the patches: all beyond the patches that fit into the picture."""
    size = getattr(config, "patch_size", None)
    if tokens.dim() != 3 or not isinstance(size, int):
        return 0
    height, width = pixel_values.shape[-2:]
    return max(0, tokens.shape[1] - (height // size) * (width // size))
