"""A frozen encoder's features in a feature store: pooled, or pooled and what else the bridge reads.

Where the bridge reads several features of a picture (`visual_input` is `grid` or `layers`), a store's row is the pooled
feature and these after it, so that the encoder still sees every picture once, and an interrupted build goes on as any
other.
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
    """Whether the model's visual tokens come from several features of a picture: patches, or the encoder's layers."""
    return model.config.visual_input != "pooled"


def grid_shape(model: Fromage) -> tuple[int, int]:
    """How many these are, and their width."""
    layers = model.config.encoder_layers
    return (len(layers), model.vision.layer_dim(layers)) if layers else model.vision.grid_shape()


def store_fingerprint(model: Fromage) -> str:
    """The fingerprint of a store that the model can be trained from."""
    layers = model.config.encoder_layers
    more = f"+layers{','.join(map(str, layers))}" if layers else GRID if has_grid(model) else ""
    return model.vision.fingerprint() + more


def encoding(model: Fromage) -> Callable[[list[Image.Image]], npt.NDArray[np.float32]]:
    """A function from n pictures to rows of a store, (n, dim) or (n, dim + patches * grid_dim)."""
    layers = model.config.encoder_layers
    grid = has_grid(model) and not layers

    def embed(images: list[Image.Image]) -> npt.NDArray[np.float32]:
        pixel_values = model.vision.preprocess(images)
        features = model.vision.encode(pixel_values, grid=grid)
        parts = [features.pooled] + ([features.grid.flatten(1)] if features.grid is not None else [])
        parts += [model.vision.class_tokens(pixel_values, layers).flatten(1)] if layers else []
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
        self._grid = store.features[:, dim:].reshape(len(store), *grid_shape(model)) if has_grid(model) else None

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
