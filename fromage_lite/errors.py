"""Typed errors of the model, the data and the dialogue. Base class and index errors come from `index.errors`."""

from __future__ import annotations

from index.errors import FingerprintError, FromageError, ImageError, StoreError

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "FingerprintError",
    "FromageError",
    "ImageError",
    "MemoryPlanError",
    "MessageError",
    "StoreError",
]


class ConfigError(FromageError):
    """A configuration value that can't work."""


class CheckpointError(FromageError):
    """A missing, damaged or mismatched model file."""


class DataError(FromageError):
    """A caption file or data set that can't be read."""


class MemoryPlanError(FromageError):
    """A model that the device can't hold."""


class MessageError(FromageError):
    """A message that can't be answered: empty, or too long for the language model."""
