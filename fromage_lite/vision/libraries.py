"""The libraries that image encoders come from, by the prefix of a model's name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torch import nn

from fromage_lite.placement import count_parameters, without_weights
from fromage_lite.vision import open_clip_models, timm_classifiers, timm_models, transformers_models
from fromage_lite.vision.backend import Backend


class Library(Protocol):
    """A module that loads a library's models by their names without the prefix."""

    def load(self, name: str, base_dir: Path | None, revision: str | None) -> Backend:
        """The model with all of its weights; fails if any is missing."""

    def outline(self, name: str, base_dir: Path | None, revision: str | None) -> nn.Module:
        """The model's shape: with random weights, or with none on the meta device."""

    def is_here(self, name: str) -> bool:
        """Whether loading it downloads nothing, as far as that is known without loading."""


LIBRARIES: dict[str, Library] = {
    "open_clip": open_clip_models,
    "timm": timm_models,
    "timm-classifier": timm_classifiers,
}


def find_library(name: str) -> tuple[Library, str]:
    """The library of an encoder, and the encoder's name there. Without a prefix, the library is transformers."""
    prefix, _, rest = name.partition(":")
    return (LIBRARIES[prefix], rest) if prefix in LIBRARIES else (transformers_models, name)


def encoder_is_here(name: str) -> bool:
    """Whether an encoder can be loaded without a download, as far as is known. A folder counts, there or not."""
    library, rest = find_library(name)
    return library.is_here(rest)


def encoder_parameters(name: str, base_dir: Path | None = None, revision: str | None = None) -> int:
    """How many numbers an encoder has, from its configuration alone, including a text tower that is loaded with it."""
    library, rest = find_library(name)
    with without_weights():
        return count_parameters(library.outline(rest, base_dir, revision))
