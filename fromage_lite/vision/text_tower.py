"""The text side of an encoder that was trained on pictures and their texts (CLIP, SigLIP, …): both in one space, so
that words find pictures without any bridge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor


class TextTower(Protocol):
    """Texts and the encoder's pooled features -> unit vectors in one space of width `dim`.

    Attributes:
        dim: width of the space.
        projection: the map from the pooled feature into the space, (dim, pooled width) float32; None where the pooled
            feature is in the space already.
    """

    dim: int
    projection: Tensor | None

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Texts -> (B, dim) float32, unit norm, on the encoder's device. Of longer ones than `fits` only the beginning
        is read."""
        ...

    def fits(self, text: str) -> bool:
        """Whether the tower reads the whole text."""
        ...


LoadTower = Callable[[torch.device, torch.dtype], TextTower]
"""Loads a tower to a device, its weights in a precision."""


def beginning(tower: TextTower, text: str) -> str:
    """The longest beginning of a text, in whole words, that the tower reads; the text itself if that is all."""
    if tower.fits(text):
        return text
    words = text.split()
    fitting, beyond = 0, len(words)
    while beyond - fitting > 1:
        middle = (fitting + beyond) // 2
        if tower.fits(" ".join(words[:middle])):
            fitting = middle
        else:
            beyond = middle
    # A single endless word is left to the tower, which cuts it between its tokens.
    return " ".join(words[: max(fitting, 1)])
