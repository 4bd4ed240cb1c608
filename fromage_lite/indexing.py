"""Where the model meets the index: a bridge's image projection as a function on arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from fromage_lite.model import Fromage


def projection(model: Fromage) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    """Pooled features (n, visual_dim) float32 -> image embeddings (n, retrieval_dim) float32, unit norm."""
    import torch

    def project(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            embeds: npt.NDArray[np.float32] = model.image_embeds(torch.from_numpy(features)).float().cpu().numpy()
        return embeds

    return project
