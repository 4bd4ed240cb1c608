"""Where the model meets the index: a bridge's image projection as a function on arrays, and its fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fromage_lite.config import ADAPTER_FILES, FromageConfig
from fromage_lite.errors import ConfigError

if TYPE_CHECKING:
    from fromage_lite.model.fromage import Fromage
    from fromage_lite.placement import Placement
    from fromage_lite.vision import VisionEncoder


def projection(model: Fromage) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    """Pooled features (n, visual_dim) float32 -> image embeddings (n, retrieval_dim) float32, unit norm.

    Raises:
        ConfigError: the bridge was not trained to find pictures.
    """
    import torch

    if not model.config.has_retrieval:
        raise ConfigError("This model was not trained to find pictures, so nothing can be indexed for it.")

    def project(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            embeds: npt.NDArray[np.float32] = model.image_embeds(torch.from_numpy(features)).float().cpu().numpy()
        return embeds

    return project


def vision_of(name: str | Path, place: str | Placement = "auto") -> VisionEncoder:
    """A model's image encoder, without its LM.

    Args:
        name: folder or Hub id of the model.
        place: where it runs, by default in float32.

    Raises:
        CheckpointError: the bridge or its image encoder is missing or damaged.
    """
    from fromage_lite.checkpoint.locate import checkpoint_folder
    from fromage_lite.checkpoint.released import read_checkpoint

    folder, config, _ = read_checkpoint(checkpoint_folder(name))
    return _vision(folder, config, place)


def fingerprint_without_lm(name: str | Path, device: str = "auto") -> tuple[str, int]:
    """A model's `Fromage.fingerprint` and the width of its image embeddings, without loading its LM.

    Raises:
        CheckpointError: the bridge or its image encoder is missing or damaged.
        ConfigError: the bridge was not trained to find pictures.
    """
    from fromage_lite.checkpoint.locate import checkpoint_folder
    from fromage_lite.checkpoint.released import read_checkpoint
    from fromage_lite.files import read_tensors
    from fromage_lite.vision import tensor_hash

    folder, config, tensors = read_checkpoint(checkpoint_folder(name))
    if not config.has_retrieval:
        raise ConfigError(f"The model {name} was not trained to find pictures, so it has no image embeddings.")
    vision = _vision(folder, config, device)
    if config.lora_rank:
        tensors = tensors | read_tensors(folder / ADAPTER_FILES[1])
    trained = {key: tensor.float() for key, tensor in tensors.items()}
    return tensor_hash(trained, vision.fingerprint()), config.retrieval_dim


def _vision(folder: Path, config: FromageConfig, place: str | Placement) -> VisionEncoder:
    from fromage_lite.placement import Placement, choose_device
    from fromage_lite.vision import VisionEncoder

    return VisionEncoder.load(
        config.vision_encoder,
        Placement(choose_device(place)) if isinstance(place, str) else place,
        base_dir=folder.resolve(),
        revision=config.vision_encoder_revision,
    )
