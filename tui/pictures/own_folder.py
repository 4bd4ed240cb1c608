"""The user's folder of pictures: where it is, how many there are, how long indexing them takes. Only names are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from index.paths import index_of, pictures_folder, shortened
from index.store.manifest import INDEX_MANIFEST
from tui.pictures.scan import scan

SECONDS_EACH = 0.15  # opening a photograph and encoding it, with half of two processors


@dataclass(frozen=True)
class OwnFolder:
    """A folder that could be indexed.

    Attributes:
        path: the folder.
        count: pictures in it.
        is_all: whether all of them are counted; a large folder is not looked through to its end.
    """

    path: Path
    count: int
    is_all: bool = True

    @property
    def words(self) -> str:
        """How many, and how long it will take."""
        number = f"{self.count:,}" if self.is_all else f"more than {self.count:,}"
        minutes = self.count * SECONDS_EACH / 60
        least = "" if self.is_all else "at least "
        long = f"about {minutes:.0f} minutes" if minutes >= 1.5 else "about a minute"
        if minutes < 0.5:
            long = "less than a minute"
        pictures = "picture" if self.count == 1 else "pictures"
        return f"your {number} {pictures} in {shortened(self.path)} ({least}{long})"


def find_own_folder(model: str) -> OwnFolder | None:
    """The user's folder of pictures, if it has any and there is no index of it for a model yet.

    Args:
        model: its name, the same from everywhere.
    """
    folder = pictures_folder()
    if folder is None or (index_of(folder, model) / INDEX_MANIFEST).exists():
        return None
    found = scan(folder)
    return OwnFolder(folder, len(found.paths), found.is_complete) if found.paths else None
