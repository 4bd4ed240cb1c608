"""Frozen image encoders behind one class: open_clip, timm and transformers models, chosen by the name's prefix."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.files import damaged, no_progress_bars, resolve_model_name


@dataclass(frozen=True)
class ImageFeatures:
    """What a frozen encoder gives for B images (float32).

    Attributes:
        pooled: one vector an image, (B, dim).
        grid: one vector a patch, (B, P, grid_dim), where the encoder has them.
        layers: one vector a layer, (L, B, layer_dim), where the encoder has them.
    """

    pooled: Tensor
    grid: Tensor | None = None
    layers: Tensor | None = None


@dataclass(frozen=True)
class _Backend:
    """An encoder's own library, reduced to what we need of it."""

    module: nn.Module
    encode: Callable[[Tensor], ImageFeatures]  # pixel_values on the module's device and dtype
    preprocess: Callable[[list[Image.Image]], Tensor]
    preprocessing: str  # describes the preprocessing, for the fingerprint
    dim: int
    image_size: int
    encode_text: Callable[[list[str]], Tensor] | None = None


class VisionEncoder:
    """A frozen image encoder in evaluation mode. Build it with `VisionEncoder.load`."""

    def __init__(self, name: str, backend: _Backend, device: torch.device | str = "cpu",
                 dtype: torch.dtype = torch.float32) -> None:  # fmt: skip
        self.name = name
        self.device = torch.device(device)
        self.dtype = dtype
        self._backend = backend
        self._fingerprint = ""
        self.module = backend.module.eval().requires_grad_(False)
        if dtype != torch.float32:
            self.fingerprint()  # taken before the weights are rounded: an index serves every precision
        self.module = self.module.to(device=self.device, dtype=dtype)

    @classmethod
    def load(cls, name: str, *, base_dir: Path | None = None, device: torch.device | str = "cpu",
             dtype: torch.dtype = torch.float32, revision: str | None = None) -> VisionEncoder:  # fmt: skip
        """Loads an encoder by name.

        Args:
            name: `open_clip:local-dir:FOLDER`, `open_clip:MODEL/PRETRAINED`, `timm:MODEL`, or a transformers model by
                Hub name or folder.
            base_dir: where relative folders count from.
            device: where it runs.
            dtype: of the weights; features come out as float32 in any case.
            revision: Hub revision of a transformers model.

        Raises:
            CheckpointError: if it is missing or damaged.
        """
        kind, _, rest = name.partition(":")
        try:
            if kind == "open_clip":
                backend = _load_open_clip(rest, base_dir)
            elif kind == "timm":
                backend = _load_timm(rest)
            else:
                backend = _load_transformers(resolve_model_name(name, base_dir), revision)
        except (CheckpointError, ConfigError):
            raise
        except Exception as error:  # these libraries raise anything from OSError to SafetensorError on a bad file
            raise damaged("image encoder", name, error) from error
        return cls(name, backend, device, dtype)

    @property
    def dim(self) -> int:
        """Width of the pooled feature."""
        return self._backend.dim

    @property
    def image_size(self) -> int:
        """Height and width, in pixels, of what the encoder sees."""
        return self._backend.image_size

    def preprocess(self, images: Sequence[Image.Image]) -> Tensor:
        """RGB images of any size -> pixel_values (B, 3, image_size, image_size), float32, on the CPU."""
        return self._backend.preprocess([image.convert("RGB") for image in images]).float()

    @torch.no_grad()
    def encode(self, pixel_values: Tensor) -> ImageFeatures:
        """pixel_values (B, 3, H, W) -> their features, float32, on the encoder's device, without gradient."""
        features = self._backend.encode(pixel_values.to(device=self.device, dtype=self.dtype))
        grid, layers = (None if part is None else part.float() for part in (features.grid, features.layers))
        return ImageFeatures(features.pooled.float(), grid, layers)

    def encode_text(self, texts: list[str]) -> Tensor | None:
        """The encoder's own text feature, (B, dim) float32, in the space of `pooled`; None if it has no text tower."""
        if self._backend.encode_text is None:
            return None
        with torch.no_grad():
            return self._backend.encode_text(texts).float()

    def fingerprint(self) -> str:
        """Hash of weights and preprocessing: equal for equal encoders, whatever their name or folder."""
        if not self._fingerprint:
            self._fingerprint = tensor_hash(self.module.state_dict(), self._backend.preprocessing)
        return self._fingerprint


def tensor_hash(tensors: dict[str, Tensor], *texts: str) -> str:
    """SHA-256 (first 16 hex digits) over named tensors and texts. The dtype counts, the device does not."""
    digest = hashlib.sha256("\0".join(texts).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()[:16]


def _load_open_clip(rest: str, base_dir: Path | None) -> _Backend:
    import open_clip

    if rest.startswith("local-dir:"):
        folder = resolve_model_name(rest.removeprefix("local-dir:"), base_dir)
        if not Path(folder).is_dir():
            raise CheckpointError(f"The image encoder's folder {folder} does not exist.")
        model_name, pretrained = f"local-dir:{folder}", None
    else:
        model_name, _, pretrained = rest.rpartition("/")
        if not model_name:
            raise ConfigError(f"open_clip:{rest} is no encoder name.", "Write open_clip:MODEL/PRETRAINED.")
    model, transform = open_clip.create_model_from_pretrained(model_name, pretrained)
    size = model.visual.image_size
    size = size[0] if isinstance(size, (tuple, list)) else size
    tokenizer: list[Any] = []  # made on first use: most runs never need it

    def encode_text(texts: list[str]) -> Tensor:
        if not tokenizer:
            tokenizer.append(open_clip.get_tokenizer(model_name))
        device = next(model.parameters()).device
        return model.encode_text(tokenizer[0](texts).to(device), normalize=False)

    with torch.no_grad():
        dim = model.eval().encode_image(torch.zeros(1, 3, size, size), normalize=False).shape[-1]
    return _Backend(
        module=model,
        encode=lambda pixels: ImageFeatures(model.encode_image(pixels, normalize=False)),
        preprocess=lambda images: torch.stack([transform(image) for image in images]),
        preprocessing=repr(transform.transforms[:2]) + repr(transform.transforms[-1]),
        dim=dim,
        image_size=size,
        encode_text=encode_text,
    )


def _load_timm(name: str) -> _Backend:
    import timm

    model = timm.create_model(name, pretrained=True, num_classes=0)
    data = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**data, is_training=False)
    return _Backend(
        module=model,
        encode=lambda pixels: ImageFeatures(model(pixels)),
        preprocess=lambda images: torch.stack([transform(image) for image in images]),
        preprocessing=repr(sorted(data.items())),
        dim=model.num_features,
        image_size=data["input_size"][-1],
    )


def _load_transformers(name: str, revision: str | None) -> _Backend:
    from transformers import AutoConfig, AutoImageProcessor, AutoModel, CLIPVisionModel, SiglipVisionModel

    config = AutoConfig.from_pretrained(name, revision=revision)
    # A two-tower checkpoint is loaded without its text tower; Siglip2's fixed-resolution models are of type siglip.
    towers = {"clip": CLIPVisionModel, "clip_vision_model": CLIPVisionModel,
              "siglip": SiglipVisionModel, "siglip_vision_model": SiglipVisionModel}  # fmt: skip
    tower = towers.get(config.model_type, AutoModel)
    with no_progress_bars():
        model = tower.from_pretrained(name, revision=revision, dtype=torch.float32, use_safetensors=True)
    # The PIL backend resizes as CLIP's own code did; torchvision's bicubic differs in the last bits of every pixel.
    processor = AutoImageProcessor.from_pretrained(name, revision=revision, backend="pil")

    def encode(pixels: Tensor) -> ImageFeatures:
        output = model(pixel_values=pixels)
        pooled = getattr(output, "pooler_output", None)
        return ImageFeatures(output.last_hidden_state[:, 0] if pooled is None else pooled, output.last_hidden_state)

    def preprocess(images: list[Image.Image]) -> Tensor:
        # One by one: pictures differ in size until they are cropped.
        return torch.cat([processor(image, return_tensors="pt")["pixel_values"] for image in images])

    size = model.config.image_size
    return _Backend(
        module=model,
        encode=encode,
        preprocess=preprocess,
        preprocessing=repr(sorted(processor.to_dict().items(), key=lambda item: item[0])),
        dim=model.config.hidden_size,
        image_size=size if isinstance(size, int) else size[0],
    )
