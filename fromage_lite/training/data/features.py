"""A frozen encoder's features in a feature store: pooled, or pooled and grid.

Where the bridge reads a grid (`visual_input = "grid"`), a store's row is the pooled feature and the patches after it,
so that the encoder still sees every picture once, and an interrupted build goes on as any other.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.interleaved import TrainingData
from index.store.feature_store import FeatureStore

GRID = "+grid"
"""At the end of the fingerprint of a store that holds patches, too."""


def has_grid(model: Fromage) -> bool:
    """Whether the model's visual tokens come from patches."""
    return model.config.visual_input == "grid"


def store_fingerprint(model: Fromage) -> str:
    """The fingerprint of a store that the model can be trained from."""
    return model.vision.fingerprint() + (GRID if has_grid(model) else "")


def encoding(model: Fromage) -> Callable[[list[Image.Image]], npt.NDArray[np.float32]]:
    """A function from n pictures to rows of a store, (n, dim) or (n, dim + patches * grid_dim)."""
    grid = has_grid(model)

    def embed(images: list[Image.Image]) -> npt.NDArray[np.float32]:
        features = model.vision.encode(model.vision.preprocess(images), grid=grid)
        parts = [features.pooled] + ([features.grid.flatten(1)] if features.grid is not None else [])
        rows: npt.NDArray[np.float32] = torch.cat(parts, dim=1).cpu().numpy()
        return rows

    return embed


class StoredFeatures:
    """The features of a store, as training data reads them.

    Args:
        store: made with `encoding` of a model with the same encoder.
        model: the model to train.
    """

    def __init__(self, store: FeatureStore, model: Fromage) -> None:
        self.store = store
        dim = model.vision.dim
        self._pooled = store.features[:, :dim]
        self._grid = (
            store.features[:, dim:].reshape(len(store), *model.vision.grid_shape()) if has_grid(model) else None
        )

    def data(
        self, captions: Sequence[tuple[str, int]], fingerprint: str, validation: TrainingData | None = None
    ) -> TrainingData:
        """Training data over the store's pictures."""
        return TrainingData(
            self._pooled,
            captions,
            grid=self._grid,
            picture=self._picture,
            validation=validation,
            fingerprint=fingerprint,
        )

    def _picture(self, row: int) -> Image.Image:
        return Image.open(io.BytesIO(self.store.thumbnail(row))).convert("RGB")
