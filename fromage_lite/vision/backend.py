"""What `VisionEncoder` needs from an encoder's library, and what the models of these libraries have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from PIL import Image
from torch import Tensor, nn

from fromage_lite.vision.text_tower import LoadTower


@dataclass(frozen=True)
class ImageFeatures:
    """A frozen encoder's output for B images (float32).

    Attributes:
        pooled: one vector per image, (B, dim).
        grid: one vector per patch, row by row, (B, P, grid_dim); None unless requested.
    """

    pooled: Tensor
    grid: Tensor | None = None


class Encode(Protocol):
    """pixel_values on the model's device and in its dtype -> features; the grid only if requested."""

    def __call__(self, pixel_values: Tensor, grid: bool) -> ImageFeatures: ...


@dataclass(frozen=True)
class Backend:
    """A loaded encoder, reduced to what we need of it.

    Attributes:
        module: the model, in float32 on the CPU.
        encode: pixel_values -> features.
        preprocess: RGB images -> pixel_values (B, 3, H, W).
        preprocessing: describes the preprocessing, for the fingerprint.
        load_tower: loads the model's text tower; None if it has none.
        class_tokens: pixel_values and numbers of layers -> the class token after each, (B, layers, C); None if the
            model has none. Raises IndexError or AssertionError: there is no such layer.
    """

    module: nn.Module
    encode: Encode
    preprocess: Callable[[list[Image.Image]], Tensor]
    preprocessing: str
    load_tower: LoadTower | None = None
    class_tokens: Callable[[Tensor, list[int]], Tensor] | None = None


def patches(tokens: Tensor, prefix: int = 0, channels_last: bool = False) -> Tensor:
    """A model's last hidden state -> its patches (B, P, C).

    Args:
        tokens: (B, prefix + P, C), or a map (B, C, H, W).
        prefix: how many tokens come before the patches: class token, registers.
        channels_last: a map is (B, H, W, C).
    """
    if tokens.dim() == 4:
        return tokens.flatten(1, 2) if channels_last else tokens.flatten(2).transpose(1, 2)
    return tokens[:, prefix:]
