"""The one exception family. Its base lives here, in the lowest layer, so that every layer can raise it."""

from __future__ import annotations


class FromageError(Exception):
    """An error that a user can act on.

    Attributes:
        message: one sentence saying what is wrong.
        hint: one sentence saying what to do next; may be empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ImageError(FromageError):
    """A picture that can't be read: missing, empty, truncated, too large, or no picture at all."""


class StoreError(FromageError):
    """A missing, damaged or unwritable feature store or index."""


class FingerprintError(StoreError):
    """An index that another bridge or another encoder made."""
