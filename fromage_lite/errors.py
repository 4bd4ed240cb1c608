"""Errors of the model, the data and the dialogue. The base class and the index's errors are in `index.errors`."""

from __future__ import annotations

import logging

from index.errors import FilterError, FingerprintError, FromageError, ImageError, StoreError, described

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "FilterError",
    "FingerprintError",
    "FromageError",
    "ImageError",
    "MemoryPlanError",
    "MessageError",
    "StoreError",
    "unexpected",
]

log = logging.getLogger(__name__)


class ConfigError(FromageError):
    """An option or a configuration value that is invalid."""


class CheckpointError(FromageError):
    """A missing, damaged or mismatched model file."""


class DataError(FromageError):
    """A caption file or data set that can't be read."""


class MemoryPlanError(FromageError):
    """A model that the device can't hold."""


class MessageError(FromageError):
    """A message that can't be answered: empty, or too long for the language model."""


def unexpected(what: str, error: Exception, level: int = logging.ERROR) -> FromageError:
    """Turns an unforeseen error into one for the user; the traceback goes to the log.

    Args:
        what: what has failed, a sentence without its full stop.
        error: why.
        level: level of the log record.
    """
    log.log(level, "%s", what, exc_info=error)
    return FromageError(f"{what}: {described(error)}.")
