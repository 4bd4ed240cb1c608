"""What turns pictures into features, as a build asks for it; nothing here knows a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from index.errors import StoreError

Pixels = npt.NDArray[np.float32]
"""A picture as an encoder takes it: (3, height, width)."""
Prepared = Image.Image | Pixels
Embed = Callable[[list[Image.Image]], npt.NDArray[np.floating]]
"""n RGB images -> features (n, dim)."""


@dataclass(frozen=True)
class Encoder:
    """An image encoder in two steps: the first is done for the next pictures while the second has the batch at hand.

    Attributes:
        prepare: an RGB image -> pixels (3, height, width); called from several threads.
        encode: the pixels of n pictures (n, 3, height, width) -> features (n, dim), floating.
    """

    prepare: Callable[[Image.Image], Pixels]
    encode: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.floating]]


def unprepared(image: Image.Image) -> Prepared:
    """For an `Embed`, which takes the images themselves."""
    return image


def features_of(
    encoder: Embed | Encoder, pictures: Sequence[Prepared]
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.bool_]]:
    """Features (n, dim) in fp16, and which of them are finite (n,).

    Raises:
        StoreError: the encoder returns something else.
    """
    if not pictures:
        return np.empty((0, 0), dtype=np.float16), np.empty(0, dtype=np.bool_)
    if isinstance(encoder, Encoder):
        features = np.asarray(
            encoder.encode(np.stack([pixels for pixels in pictures if isinstance(pixels, np.ndarray)]))
        )
    else:
        features = np.asarray(encoder([image for image in pictures if isinstance(image, Image.Image)]))
    if features.ndim != 2 or len(features) != len(pictures):
        raise StoreError(f"The encoder returned features of shape {features.shape} for {len(pictures)} pictures.")
    with np.errstate(over="ignore"):
        half = features.astype(np.float16)
    return half, np.isfinite(half).min(axis=1)
