"""What `VisionEncoder` needs of an encoder's own library, and what the libraries' models have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor, nn


@dataclass(frozen=True)
class ImageFeatures:
    """What a frozen encoder gives for B images (float32).

    Attributes:
        pooled: one vector an image, (B, dim).
        grid: one vector a patch, row by row, (B, P, grid_dim); None unless asked for.
        layers: one vector a layer, first to last, (L, B, layer_dim); None unless asked for, and of convolutional
            networks, whose layers differ in width.
    """

    pooled: Tensor
    grid: Tensor | None = None
    layers: Tensor | None = None


class Encode(Protocol):
    """pixel_values on the model's device and in its dtype -> features; grid and layers only if asked for."""

    def __call__(self, pixel_values: Tensor, grid: bool, layers: bool) -> ImageFeatures: ...


@dataclass(frozen=True)
class Backend:
    """An encoder's own library, reduced to what we need of it.

    Attributes:
        module: the model, in float32 on the CPU.
        encode: pixel_values -> features.
        preprocess: RGB images -> pixel_values (B, 3, H, W).
        preprocessing: describes the preprocessing, for the fingerprint.
        encode_text: texts -> features in the space of `pooled`, if the model has a text tower.
    """

    module: nn.Module
    encode: Encode
    preprocess: Callable[[list[Image.Image]], Tensor]
    preprocessing: str
    encode_text: Callable[[list[str]], Tensor] | None = None


def patches(tokens: Tensor, prefix: int = 0, channels_last: bool = False) -> Tensor:
    """A model's last hidden state -> its patches (B, P, C).

    Args:
        tokens: (B, prefix + P, C), or a map (B, C, H, W).
        prefix: how many tokens stand before the patches: class token, registers.
        channels_last: a map is (B, H, W, C).
    """
    if tokens.dim() == 4:
        return tokens.flatten(1, 2) if channels_last else tokens.flatten(2).transpose(1, 2)
    return tokens[:, prefix:]


def summary(tokens: Tensor, prefix: int, mean: bool) -> Tensor:
    """Tokens (B, prefix + P, C) -> one vector an image (B, C): the class token, or the patches' mean.

    Args:
        tokens: (B, prefix + P, C).
        prefix: how many tokens stand before the patches; without any the mean is taken.
        mean: take the mean in any case.
    """
    return tokens[:, prefix:].mean(dim=1) if mean or not prefix else tokens[:, 0]


def stack_layers(hidden: Sequence[Tensor], prefix: int, mean: bool) -> Tensor | None:
    """The layers' tokens, each (B, prefix + P, C) -> (L, B, C); None of layers that differ in width or are maps."""
    if not hidden or len({(state.dim(), state.shape[-1]) for state in hidden}) > 1 or hidden[0].dim() != 3:
        return None
    return torch.stack([summary(state, prefix, mean) for state in hidden])
