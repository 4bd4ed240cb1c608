"""Where pictures and captions come from: a folder of files, or a table `caption<TAB>image`."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from index.errors import StoreError, reason
from index.images import is_picture_name, one_line


@dataclass(frozen=True)
class PictureFile:
    """A picture that a reader lists.

    Attributes:
        source: absolute path.
        caption: one line, sanitised; empty if there is none.
        problem: why it can't be opened, where that is known without trying; else empty.
    """

    source: str
    caption: str = ""
    problem: str = ""


class Reader(Protocol):
    """Lists the pictures of a build, always in the same order."""

    def __iter__(self) -> Iterator[PictureFile]: ...

    def __len__(self) -> int:
        """How many there are, for the progress bar."""
        ...

    def covers(self, source: str) -> bool:
        """Whether a picture in the store that is no longer listed should be removed from it."""
        ...


class FolderReader:
    """Every picture file below a folder, sorted by name; hidden files and folders are skipped.

    Captions come from a text file of the same name (`cat.jpg`, `cat.txt`), or from a table.

    Args:
        root: the folder.
        captions: a TSV file `caption<TAB>image`, images relative to `root`; replaces the text files.

    Raises:
        StoreError: there is no such folder, or no such table.
    """

    def __init__(self, root: str | Path, captions: str | Path | None = None) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 (links stay as they are: their target may move)
        if not self.root.is_dir():
            raise StoreError(f"There is no folder {root}.", "Name a folder of pictures.")
        self._captions = _CaptionTable(TsvReader(captions, base=self.root)) if captions is not None else None

    def __len__(self) -> int:
        return sum(len(names) for _, names in self._walk([]))

    def __iter__(self) -> Iterator[PictureFile]:
        unlisted: list[OSError] = []
        for folder, names in self._walk(unlisted):
            for name in names:
                source = os.path.join(folder, name)  # noqa: PTH118 (a million Path objects take seconds)
                try:
                    source.encode()
                except UnicodeEncodeError:
                    yield PictureFile(source, problem="its name is not valid UTF-8")
                    continue
                yield PictureFile(source, self._caption(source))
        for error in unlisted:
            yield PictureFile(str(error.filename), problem=f"the folder can't be listed: {reason(error)}")

    def covers(self, source: str) -> bool:
        """True for everything below the folder."""
        return source.startswith(os.path.join(self.root, ""))  # noqa: PTH118

    def _walk(self, unlisted: list[OSError]) -> Iterator[tuple[str, list[str]]]:
        for folder, folders, files in os.walk(self.root, onerror=unlisted.append):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield folder, sorted(name for name in files if not name.startswith(".") and is_picture_name(name))

    def _caption(self, source: str) -> str:
        if self._captions is not None:
            return self._captions.get(source)
        try:
            with Path(source).with_suffix(".txt").open(encoding="utf-8-sig", errors="replace") as file:
                return one_line(file.read(20_000))
        except OSError:
            return ""


class TsvReader:
    """The rows of a table `caption<TAB>image`, streamed. Images are paths, absolute or relative to `base`.

    A first line `caption<TAB>image` is a heading. A picture with several captions keeps the first.

    Args:
        path: the table, UTF-8.
        base: the folder of relative paths; by default the table's own.

    Raises:
        StoreError: there is no such file.
    """

    def __init__(self, path: str | Path, base: str | Path | None = None) -> None:
        self.path = Path(path)
        self.base = os.path.abspath(base if base is not None else self.path.parent)  # noqa: PTH100
        if not self.path.is_file():
            raise StoreError(f"There is no file {path}.", "Name a table of lines `caption<TAB>image`.")

    def __len__(self) -> int:
        with self.path.open("rb") as file:
            return sum(1 for line in file if line.strip())

    def __iter__(self) -> Iterator[PictureFile]:
        with self.path.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                caption, tab, image = line.rstrip("\r\n").rpartition("\t")
                image = image.strip()
                if number == 1 and (caption.strip().lower(), image.lower()) == ("caption", "image"):
                    continue
                if not tab or not image:
                    yield PictureFile(f"{self.path}, line {number}", problem="it is not a line `caption<TAB>image`")
                elif "://" in image or "\0" in image:
                    yield PictureFile(image, problem="only files can be indexed, not web addresses")
                else:
                    source = os.path.normpath(os.path.join(self.base, image))  # noqa: PTH118
                    yield PictureFile(source, one_line(caption))

    def covers(self, source: str) -> bool:
        """Never: a shorter table doesn't mean that a picture is gone."""
        return False


class _CaptionTable:
    """Captions by path in a temporary SQLite file, so that a million of them don't fill the memory."""

    def __init__(self, reader: TsvReader) -> None:
        self._rows = sqlite3.connect("")
        self._rows.execute("CREATE TABLE captions (source TEXT PRIMARY KEY, caption TEXT) WITHOUT ROWID")
        lines = ((picture.source, picture.caption) for picture in reader if not picture.problem)
        self._rows.executemany("INSERT OR IGNORE INTO captions VALUES (?, ?)", lines)

    def get(self, source: str) -> str:
        found = self._rows.execute("SELECT caption FROM captions WHERE source = ?", (source,)).fetchone()
        return str(found[0]) if found else ""
