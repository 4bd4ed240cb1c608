"""Files of tensors: written atomically, and one clear sentence where one is damaged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fromage_lite.errors import CheckpointError
from index.errors import reason
from index.files import write_bytes

if TYPE_CHECKING:  # what only writes bytes needn't wait for torch
    from torch import Tensor


def damaged(what: str, name: str, error: Exception) -> CheckpointError:
    """The error for a frozen model that did not load."""
    return CheckpointError(
        f"The {what} {name} could not be loaded: {reason(error)}.",
        "Copy or download it again, and check its name in the model's config.json.",
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        CheckpointError: if it is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise CheckpointError(f"The model in {path.parent} is incomplete: {path.name} is missing.")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged or can't be read: {reason(error)}.", "Copy or download the model again."
        ) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes a safetensors file atomically; the old file stays if anything goes wrong."""
    from safetensors.torch import save

    data = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(data, metadata={"format": "pt"}))
