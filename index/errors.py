"""The one exception family, in the lowest layer so that every layer can raise it; and other exceptions in one line."""

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
    """A picture that can't be read: missing, empty, truncated, too large, or no picture at all.

    Attributes:
        cause: the same few words for all pictures with the same trouble, by which they are counted.
    """

    def __init__(self, message: str, hint: str = "", cause: str = "unreadable") -> None:
        super().__init__(message, hint)
        self.cause = cause


class TemporaryImageError(ImageError):
    """A picture that may be read at another time: a server that is down or too slow, a limit that is reached."""


class StoreError(FromageError):
    """A missing, damaged or unwritable feature store or index."""


class InUseError(StoreError):
    """Another builder is writing to the folder."""


class FingerprintError(StoreError):
    """An index that another bridge or another encoder made."""


class FilterError(FromageError):
    """A filter of a search that can't be understood."""


REASON_LIMIT = 300  # characters


def reason(error: BaseException) -> str:
    """Why something failed: one line of at most 300 characters without a full stop, to be put into a sentence.

    The operating system's own words for an `OSError`; else the first line of the exception's text, with the others
    where it ends in a colon; else the exception's type.
    """
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = text.strip().splitlines() or [""]
    line = " ".join(text.split()) if lines[0].rstrip().endswith(":") else lines[0]
    return line.strip()[:REASON_LIMIT].rstrip(" .") or type(error).__name__


def described(error: BaseException) -> str:
    """An exception that nobody foresaw, whose text alone may say nothing: its type and its whole text, in one line."""
    name, text = type(error).__name__, " ".join(str(error).split())
    return f"{name}: {text[:REASON_LIMIT]}".rstrip(" .:")
