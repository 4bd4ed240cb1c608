"""The space in which a frozen encoder alone compares pictures, with one another and, if it has a text tower, with
texts. No bridge takes part."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from fromage_lite.vision.encoder import VisionEncoder, tensor_hash
from fromage_lite.vision.text_tower import TextTower
from index.store.manifest import ENCODER


class EncoderSpace:
    """Pictures as unit vectors by their encoder alone, (B, dim): the pooled feature, through the projection into the
    space of text and pictures where the encoder has one, normalised.

    Args:
        encoder: its text tower is loaded when it is first needed.
    """

    def __init__(self, encoder: VisionEncoder) -> None:
        self.encoder = encoder

    @cached_property
    def tower(self) -> TextTower | None:
        """The encoder's text tower; None if it has none.

        Raises:
            CheckpointError: it can't be loaded.
        """
        return self.encoder.text_tower() if self.encoder.has_text_tower else None

    @cached_property
    def fingerprint(self) -> str:
        """What an index in this space carries where that of a bridge has the bridge's fingerprint."""
        whole = self.encoder.fingerprint()
        if self.tower is not None and (projection := self.tower.projection) is not None:
            whole = tensor_hash({"projection": projection}, whole)
        return f"{ENCODER}{whole}"

    def image_embeds(self, pooled: Tensor) -> Tensor:
        """Pooled features (B, visual_dim) -> unit vectors (B, dim) float32, on the encoder's device."""
        embeds = pooled.to(self.encoder.device).float()
        if self.tower is not None and self.tower.projection is not None:
            embeds = embeds @ self.tower.projection.T
        return F.normalize(embeds, dim=-1)

    def project(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """As `image_embeds`, on arrays."""
        with torch.inference_mode():
            embeds: npt.NDArray[np.float32] = self.image_embeds(torch.from_numpy(features)).cpu().numpy()
        return embeds

    def text_embeds(self, texts: Sequence[str]) -> Tensor:
        """Texts -> unit vectors (B, dim) float32, on the encoder's device.

        Raises:
            ConfigError: the encoder has no text tower.
        """
        tower = self.tower if self.tower is not None else self.encoder.text_tower()
        with torch.inference_mode():
            return tower.encode_text(texts)
