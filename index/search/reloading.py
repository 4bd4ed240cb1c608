"""An index that a builder replaces while it is being searched: noticed by a cheap look at its manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from index.errors import StoreError
from index.store.manifest import INDEX_MANIFEST

Index = TypeVar("Index")


class Reopening(Generic[Index]):
    """Opens the index of a folder again once a builder has replaced it. Ids of pictures stay what they were, so that
    hits of the earlier one can still be shown.

    Args:
        path: the index folder, which is open now.
        open: opens it.
    """

    def __init__(self, path: Path, open: Callable[[], Index]) -> None:
        self._manifest = path / INDEX_MANIFEST
        self._open = open
        self._seen = self._stamp()

    def __call__(self) -> Index | None:
        """The index opened anew if it has been replaced since; None if not, or if what is there now can't be opened
        (another model's, or one being written): the open one goes on answering, for its files are still there."""
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return None
        try:
            opened = self._open()
        except StoreError:
            opened = None
        if self._stamp() == stamp:  # else it was replaced again meanwhile: another look next time
            self._seen = stamp
        return opened

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            status = self._manifest.stat()
        except OSError:  # between the replacement of its two files there is none
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns
