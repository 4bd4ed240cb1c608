"""Paths as users type them, and files of tensors: written atomically, with one clear sentence for a damaged one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fromage_lite.errors import CheckpointError
from index.errors import reason
from index.files import write_bytes

if TYPE_CHECKING:  # whoever only needs paths should not wait for torch
    from torch import Tensor


def expand_user(path: str | Path) -> str:
    """The path with `~` replaced by the user's home. Unlike pathlib's version it leaves `~nobody` alone."""
    return os.path.expanduser(path)  # noqa: PTH111


def damaged(what: str, name: str, error: Exception) -> CheckpointError:
    """The error for a frozen model that failed to load."""
    return CheckpointError(
        f"The {what} {name} could not be loaded: {reason(error)}.",
        "Copy or download it again, and check its name in the model's config.json.",
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name.

    Raises:
        CheckpointError: it is missing or damaged.
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
    """Writes a safetensors file atomically: if anything goes wrong, the old file stays."""
    from safetensors.torch import save

    data = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(data, metadata={"format": "pt"}))
