"""Reading and writing files: atomically, and with one clear sentence where one is damaged."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fromage_lite.errors import CheckpointError

if TYPE_CHECKING:  # what only writes bytes needn't wait for torch
    from torch import Tensor


def damaged(what: str, name: str, error: Exception) -> CheckpointError:
    """The error for a frozen model that did not load."""
    return CheckpointError(
        f"The {what} {name} could not be loaded: {first_line(error)}",
        "Copy or download it again, and check its name in the model's config.json.",
    )


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its kind if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


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
            f"{path} is damaged or can't be read: {first_line(error)}.", "Copy or download the model again."
        ) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Writes a safetensors file atomically; the old file stays if anything goes wrong."""
    from safetensors.torch import save

    data = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(data, metadata=dict(metadata or {"format": "pt"})))


def write_bytes(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Writes a file atomically: a reader sees the old content or the new, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
