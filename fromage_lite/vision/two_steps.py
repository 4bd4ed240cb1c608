"""An image encoder as the build of an index takes it: preparing pictures apart from encoding them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from fromage_lite.vision.encoder import VisionEncoder
from index.building.encoding import Encoder


def two_steps(vision: VisionEncoder) -> Encoder:
    """The encoder's `preprocess`, picture by picture, and its `pooled` features (n, dim) float32 of a batch."""

    def prepare(image: Image.Image) -> npt.NDArray[np.float32]:
        return vision.preprocess([image])[0].numpy()

    def encode(pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
        return vision.encode(torch.from_numpy(pixels)).pooled.cpu().numpy()

    return Encoder(prepare, encode)
