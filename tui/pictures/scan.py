"""Looks for picture files below a folder, within limits: a home directory or a mounted archive must do no harm."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from index.pictures.images import PICTURE_SUFFIXES, sanitize

MOST_ENTRIES = 50_000
MOST_PICTURES = 5_000
MOST_SECONDS = 2.0
FRESH_SECONDS = 20.0
# Folders of programs, where nobody keeps pictures to talk about.
SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "venv", "target", "build", "dist"})


@dataclass(frozen=True)
class Scan:
    """Pictures below a folder.

    Attributes:
        paths: relative to the folder, nearest folders first, with `/` between.
        is_complete: False where a limit ended the search.
    """

    paths: tuple[str, ...]
    is_complete: bool


def scan(
    folder: Path,
    *,
    most_entries: int = MOST_ENTRIES,
    most_pictures: int = MOST_PICTURES,
    most_seconds: float = MOST_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Scan:
    """Breadth first, so that what is near is found before a limit is reached. Hidden folders, links to folders and
    folders of programs are left out."""
    deadline = clock() + most_seconds
    found: list[str] = []
    folders = deque([""])
    seen = 0
    while folders:
        inside = folders.popleft()
        below = []
        try:
            with os.scandir(folder / inside) as entries:
                for entry in entries:
                    seen += 1
                    if seen > most_entries or len(found) >= most_pictures or clock() > deadline:
                        return Scan(tuple(found), False)
                    name = entry.name
                    if name.startswith(".") or sanitize(name) != name:
                        continue
                    if Path(name).suffix.lower() in PICTURE_SUFFIXES and entry.is_file():
                        found.append(inside + name)
                    elif name not in SKIPPED and entry.is_dir(follow_symlinks=False):
                        below.append(f"{inside}{name}/")
        except (OSError, ValueError):
            continue
        folders.extend(sorted(below))
    return Scan(tuple(found), True)


class PictureScan:
    """The pictures below a folder, looked for again when the last look is some time ago. For several threads."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._last: tuple[Path, float, Scan] | None = None

    def paths(self) -> tuple[str, ...]:
        """The paths; takes as long as a scan may take."""
        with self._lock:
            folder = self._folder or Path.cwd()
            if self._last is None or self._last[0] != folder or time.monotonic() - self._last[1] > FRESH_SECONDS:
                found = scan(folder)
                self._last = folder, time.monotonic(), found
            return self._last[2].paths
