"""The file of a model's figures: a flat JSON object, one number a key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from fromage_lite.errors import CheckpointError, StoreError
from index.errors import reason
from index.files import write_bytes

FIGURES_FILE = "figures.json"
_DIGITS = 4  # after the point; the samples are smaller than that


def as_json(figures: Mapping[str, float]) -> str:
    """The figures, rounded, as the file has them."""
    return json.dumps({key: round(value, _DIGITS) for key, value in figures.items()}, indent=2)


def write_figures(file: Path, figures: Mapping[str, float]) -> None:
    """Writes the file atomically.

    Raises:
        StoreError: it can't be written.
    """
    try:
        write_bytes(file, (as_json(figures) + "\n").encode())
    except OSError as error:
        raise StoreError(f"{file} can't be written: {reason(error)}.", "Name another file.") from error


def read_figures(folder: Path) -> dict[str, float]:
    """The figures in a model's folder.

    Raises:
        CheckpointError: they are missing or damaged.
    """
    file = folder / FIGURES_FILE
    try:
        figures: dict[str, float] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} can't be read: {reason(error)}.", "Run the stage figures first.") from error
    return figures
