"""A frozen image encoder: pictures in, features out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from PIL import Image
from torch import Tensor

from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.files import damaged
from fromage_lite.placement import CPU, Placement
from fromage_lite.vision.backend import Backend, ImageFeatures
from fromage_lite.vision.libraries import find_library
from fromage_lite.vision.text_tower import TextTower


class VisionEncoder:
    """A frozen image encoder in evaluation mode. Build it with `VisionEncoder.load`."""

    def __init__(self, name: str, backend: Backend, place: Placement = CPU) -> None:
        self.name = name
        self.device, self.dtype = place.device, place.dtype
        self._backend = backend
        self._fingerprint = ""
        self._tower: TextTower | None = None
        self.module = backend.module.eval().requires_grad_(False)
        if self.dtype != torch.float32:
            self.fingerprint()  # before the weights are rounded, so that an index serves every precision
        self.module = self.module.to(device=self.device, dtype=self.dtype)
        self._dim, self._image_size = self._discover()

    @classmethod
    def load(
        cls, name: str, place: Placement = CPU, *, base_dir: Path | None = None, revision: str | None = None
    ) -> Self:
        """Loads an encoder by name, with all of its weights or not at all.

        Args:
            name: `open_clip:MODEL/PRETRAINED`, `open_clip:hf-hub:ORG/NAME`, `open_clip:local-dir:FOLDER`; `timm:MODEL`,
                `timm:hf-hub:ORG/NAME`, `timm:local-dir:FOLDER`, `timm:pypi:MODEL`; `timm-classifier:` and the same for
                class probabilities as features; or a transformers model by Hub name or folder (CLIP, Chinese CLIP,
                MetaCLIP 2, SigLIP, SigLIP 2 of fixed resolution, BEiT, DINOv2, ViT and others). Each
                library's `load` says which feature is the pooled one.
            place: where it runs and the precision of its weights, never quantised; by default the CPU and float32.
                Features are float32 in any case.
            base_dir: where relative folders count from.
            revision: Hub revision of a transformers model.

        Raises:
            CheckpointError: it is missing, damaged, incomplete, or not an image encoder.
            ConfigError: the name has none of these forms.
        """
        try:
            library, rest = find_library(name)
            return cls(name, library.load(rest, base_dir, revision), place)
        except (CheckpointError, ConfigError):
            raise
        except Exception as error:  # these libraries raise anything from OSError to SafetensorError on a bad file
            raise damaged("image encoder", name, error) from error

    @property
    def dim(self) -> int:
        """Width of the pooled feature."""
        return self._dim

    @property
    def image_size(self) -> int:
        """Height in pixels of the encoder's input; nearly always its width, too."""
        return self._image_size

    def preprocess(self, images: Sequence[Image.Image]) -> Tensor:
        """Images of any size and mode -> pixel_values (B, 3, image_size, image_size), float32, on the CPU.

        Always with Pillow: torchvision resizes tensors slightly differently, in the last bits of every pixel.
        """
        return self._backend.preprocess([image.convert("RGB") for image in images]).float()

    @torch.no_grad()
    def encode(self, pixel_values: Tensor, *, grid: bool = False) -> ImageFeatures:
        """pixel_values (B, 3, H, W) -> features, float32, on the encoder's device, without gradient.

        Args:
            pixel_values: from `preprocess`.
            grid: return the patches, too.
        """
        features = self._backend.encode(pixel_values.to(device=self.device, dtype=self.dtype), grid)
        return ImageFeatures(features.pooled.float(), None if features.grid is None else features.grid.float())

    def image_features(self, images: Sequence[Image.Image]) -> ImageFeatures:
        """RGB images -> features without the grid; `pooled` is (B, dim) float32, on the encoder's device."""
        return self.encode(self.preprocess(images))

    def grid_shape(self) -> tuple[int, int]:
        """How many patches an image has, and the width of their features.

        Raises:
            ConfigError: the encoder has no patches.
        """
        grid = self.encode(self.preprocess([Image.new("RGB", (8, 8))]), grid=True).grid
        if grid is None:
            raise ConfigError(f"The image encoder {self.name} has no grid of patches, which visual_input asks for.")
        return grid.shape[1], grid.shape[2]

    @torch.no_grad()
    def class_tokens(self, pixel_values: Tensor, layers: Sequence[int]) -> Tensor:
        """pixel_values (B, 3, H, W) -> the class token after each of some layers (0 is the first, -1 the last), before
        any last norm: (B, len(layers), width) float32, on the encoder's device, without gradient.

        Raises:
            ConfigError: the encoder has no class token, or no such layer.
        """
        if self._backend.class_tokens is None:
            raise ConfigError(
                f"The image encoder {self.name} has no class tokens, which visual_input = layers asks for.",
                "Use a vision transformer.",
            )
        try:
            tokens = self._backend.class_tokens(pixel_values.to(device=self.device, dtype=self.dtype), list(layers))
        except (IndexError, AssertionError) as error:
            raise ConfigError(f"The image encoder {self.name} has no layers {', '.join(map(str, layers))}.") from error
        return tokens.float()

    def layer_dim(self, layers: Sequence[int]) -> int:
        """Width of `class_tokens`; errors as there."""
        return self.class_tokens(self.preprocess([Image.new("RGB", (8, 8))]), layers).shape[2]

    @property
    def has_text_tower(self) -> bool:
        """Whether texts can be compared with its pictures, by `text_tower`."""
        return self._backend.load_tower is not None

    def text_tower(self) -> TextTower:
        """The encoder's text tower, on its device and in its precision; loaded at the first call.

        Raises:
            CheckpointError: it is damaged or incomplete.
            ConfigError: the encoder has none.
        """
        if self._tower is None:
            if self._backend.load_tower is None:
                raise ConfigError(
                    f"The image encoder {self.name} has no text tower, so words can't search with it.",
                    "Search with pictures, or use an encoder such as CLIP or SigLIP.",
                )
            try:
                self._tower = self._backend.load_tower(self.device, self.dtype)
            except CheckpointError:
                raise
            except Exception as error:  # as in `load`
                raise damaged("text tower of the image encoder", self.name, error) from error
        return self._tower

    @property
    def preprocessing(self) -> str:
        """How pictures are prepared, in the words of the encoder's library."""
        return self._backend.preprocessing

    def fingerprint(self) -> str:
        """Hash of weights and preprocessing, independent of the encoder's name and folder."""
        if not self._fingerprint:
            self._fingerprint = tensor_hash(self.module.state_dict(), self._backend.preprocessing)
        return self._fingerprint

    def _discover(self) -> tuple[int, int]:
        """Width of the pooled feature and height of the input, by encoding: configurations can be wrong about them."""
        wide, tall = (self.preprocess([Image.new("RGB", size)]) for size in ((12, 8), (8, 12)))
        if wide.shape != tall.shape or wide.shape[:2] != (1, 3):
            raise CheckpointError(
                f"The image encoder {self.name} does not resize all pictures to one size.",
                "Use an encoder of fixed resolution.",
            )
        pooled = self.encode(wide).pooled
        if pooled.dim() != 2:
            raise CheckpointError(f"The image encoder {self.name} has no pooled feature.", "Use another encoder.")
        return pooled.shape[1], wide.shape[2]


def tensor_hash(tensors: dict[str, Tensor], *texts: str) -> str:
    """SHA-256 (first 16 hex digits) over named tensors and texts. It depends on the dtype, not on the device."""
    digest = hashlib.sha256("\0".join(texts).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()[:16]
