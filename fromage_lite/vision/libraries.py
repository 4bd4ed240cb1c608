"""The libraries that image encoders come from, by the prefix of a model's name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torch import nn

from fromage_lite.placement import count_parameters, without_weights
from fromage_lite.vision import open_clip_models, timm_models, transformers_models
from fromage_lite.vision.backend import Backend


class Library(Protocol):
    """A module that knows a library's models by their names without the prefix."""

    def load(self, name: str, base_dir: Path | None, revision: str | None) -> Backend:
        """The model with its weights, all of them or none."""

    def outline(self, name: str, base_dir: Path | None, revision: str | None) -> nn.Module:
        """The model with new weights, or none on the meta device."""


LIBRARIES: dict[str, Library] = {"open_clip": open_clip_models, "timm": timm_models}


def find_library(name: str) -> tuple[Library, str]:
    """The library of an encoder, and what the encoder is called there. Without a prefix it is transformers."""
    prefix, _, rest = name.partition(":")
    return (LIBRARIES[prefix], rest) if prefix in LIBRARIES else (transformers_models, name)


def encoder_parameters(name: str, base_dir: Path | None = None, revision: str | None = None) -> int:
    """How many numbers an encoder's weights are, from its configuration alone; a text tower that is loaded with it
    counts."""
    library, rest = find_library(name)
    with without_weights():
        return count_parameters(library.outline(rest, base_dir, revision))
