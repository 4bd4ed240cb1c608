"""Where pictures and captions come from: a folder of files, single files, or a table `caption<TAB>image`.

`index.sources.recognise` says which reader reads what.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from index.errors import StoreError, reason
from index.pictures.images import is_picture_name, is_url
from index.sources.ignore import IGNORE_FILE, IgnoreRules
from index.sources.tables import Row, decode, read_rows
from index.text import one_line

MOST_CAPTION_BYTES = 20_000
"""Of a text file beside a picture; a caption is far shorter."""


@dataclass(frozen=True)
class PictureFile:
    """A picture that a reader lists.

    Attributes:
        source: absolute path, web address, or place in a container (`index.pictures.containers`).
        caption: one line, sanitised; empty if there is none.
        problem: why it can't be opened, where that is known without trying; else empty.
        place: where it is named, `table.tsv, line 7`; empty for a file of a folder.
        cause: of the problem, as `ImageError.cause`; empty where the problem itself is short.
        stamp: what tells the picture from a later one of the same source, `(size, mtime in ns)`; None where the file at
            `source` says it.
        read: gives its bytes, in whatever thread, or raises an `ImageError`; None opens the file at `source`.
    """

    source: str
    caption: str = ""
    problem: str = ""
    place: str = ""
    cause: str = ""
    stamp: tuple[int, int] | None = None
    read: Callable[[], bytes] | None = field(default=None, compare=False)


FILES_AT_ONCE = 4
"""More threads read no disk faster."""


class Reader(Protocol):
    """Lists the pictures of a build, always in the same order."""

    @property
    def at_once(self) -> int:
        """How many pictures are read at the same time."""
        ...

    def __iter__(self) -> Iterator[PictureFile]: ...

    def __len__(self) -> int:
        """How many there are, for the progress bar."""
        ...

    def covers(self, source: str) -> bool:
        """Whether a picture in the store that is no longer listed should be removed from it."""
        ...


class FolderReader:
    """Every picture file below a folder, sorted by name, but for what `index.sources.ignore` leaves out.

    Links to folders are followed, and every folder is read once: a link back to one that is read anyway is not. A link
    that leads nowhere is a problem. Captions come from a text file of the same name (`cat.jpg`, `cat.txt`), or from a
    table.

    Args:
        root: the folder.
        captions: a table `caption<TAB>image`, images relative to `root`; replaces the text files.
        exclude: patterns of files and folders that are left out, as in a `.gitignore`.

    Raises:
        StoreError: there is no such folder, or no such table, or a pattern can't be understood.
    """

    at_once = FILES_AT_ONCE

    def __init__(self, root: str | Path, captions: str | Path | None = None, exclude: Sequence[str] = ()) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 (links stay as they are: their target may move)
        if not self.root.is_dir():
            what = f"{root} is a file." if self.root.exists() else f"There is no folder {root}."
            raise StoreError(what, "Name a folder of pictures.")
        self._captions = _CaptionTable(TsvReader(captions, base=self.root)) if captions is not None else None
        self._rules = IgnoreRules(self.root, exclude)
        self._lost: set[str] = set()  # what could not be looked into: nobody knows whether its pictures are gone

    def __len__(self) -> int:
        return sum(len(names) for _, names in self._walk([]))

    def __iter__(self) -> Iterator[PictureFile]:
        problems = list(self._captions.problems) if self._captions is not None else []
        self._lost.clear()
        device = _identity(self.root)[0]
        for folder, names in self._walk(problems):
            for name in names:
                source = os.path.join(folder, name)  # noqa: PTH118 (a million Path objects take seconds)
                try:
                    source.encode()
                except UnicodeEncodeError:
                    yield PictureFile(source, problem="its name is not valid UTF-8")
                    continue
                yield PictureFile(source, self._caption(source, problems))
        yield from problems
        if _identity(self.root)[0] != device:  # its drive was taken away
            self._lost.add(str(self.root))

    def covers(self, source: str) -> bool:
        """True for everything below the folder, but not for what lies behind a folder that can't be listed, a link that
        leads nowhere or a drive that was taken away: what can't be seen is not gone."""
        below = os.path.join(self.root, "")  # noqa: PTH118
        if not source.startswith(below):
            return False
        return not (self._lost and any(source.startswith(os.path.join(lost, "")) for lost in self._lost))  # noqa: PTH118

    def _walk(self, problems: list[PictureFile]) -> Iterator[tuple[str, list[str]]]:
        """The folders, each with its pictures' names; what can't be entered is added to `problems`."""
        seen = {_identity(self.root)}

        def unlisted(error: OSError) -> None:
            self._lost.add(str(error.filename))
            problems.append(PictureFile(str(error.filename), problem=f"the folder can't be listed: {reason(error)}"))

        for folder, folders, files in os.walk(self.root, onerror=unlisted, followlinks=True):
            if problem := self._rules.enter(folder):
                problems.append(PictureFile(os.path.join(folder, IGNORE_FILE), problem=problem))  # noqa: PTH118
            folders[:] = [name for name in sorted(folders) if self._is_entered(os.path.join(folder, name), seen)]  # noqa: PTH118
            yield folder, [name for name in sorted(files) if self._is_listed(os.path.join(folder, name), problems)]  # noqa: PTH118

    def _is_listed(self, path: str, problems: list[PictureFile]) -> bool:
        is_picture = is_picture_name(path)
        if not is_picture and not os.path.islink(path):  # noqa: PTH114
            return False
        if self._rules.leave_out(path):
            return False
        if not is_picture and not os.path.exists(path):  # noqa: PTH110
            self._lost.add(path)
            problems.append(PictureFile(path, problem="the link leads nowhere"))
        return is_picture

    def _is_entered(self, folder: str, seen: set[tuple[int, int]]) -> bool:
        if self._rules.leave_out(folder, is_folder=True):
            return False
        if os.path.islink(folder) and self._is_read_anyway(folder):  # noqa: PTH114
            return False
        identity = _identity(folder)
        if identity in seen:
            return False
        seen.add(identity)
        return True

    def _is_read_anyway(self, link: str) -> bool:
        """Whether a link leads to a folder below the root that is not hidden: it is read under its own name."""
        root, target = Path(os.path.realpath(self.root)), Path(os.path.realpath(link))
        return target.is_relative_to(root) and not any(part.startswith(".") for part in target.relative_to(root).parts)

    def _caption(self, source: str, problems: list[PictureFile]) -> str:
        return self._captions.get(source) if self._captions is not None else caption_beside(source, problems)


class FileReader:
    """One picture, by its name; its caption is in a text file of the same name, if there is one.

    Args:
        path: the picture.

    Raises:
        StoreError: there is no such file.
    """

    at_once = 1

    def __init__(self, path: str | Path) -> None:
        self.path = os.path.abspath(path)  # noqa: PTH100
        if not os.path.lexists(self.path):
            raise StoreError(f"There is no file {path}.", "Name a picture.")

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[PictureFile]:
        problems: list[PictureFile] = []
        yield PictureFile(self.path, caption_beside(self.path, problems))
        yield from problems

    def covers(self, source: str) -> bool:
        """Never: what is not named is not gone."""
        return False


def caption_beside(source: str, problems: list[PictureFile]) -> str:
    """The caption in the text file of a picture's name (`cat.jpg`, `cat.txt`); what is wrong with one is added to
    `problems`."""
    path = Path(source).with_suffix(".txt")
    try:
        with path.open("rb") as file:
            start = file.read(MOST_CAPTION_BYTES)
        return one_line(decode(start, is_whole=len(start) < MOST_CAPTION_BYTES))
    except FileNotFoundError:
        return ""
    except OSError as error:
        problems.append(PictureFile(str(path), problem=f"the caption can't be read: {reason(error)}"))
    except ValueError as error:
        problems.append(PictureFile(str(path), problem=str(error)))
    return ""


def _identity(folder: str | Path) -> tuple[int, int]:
    """Device and inode: the same for a folder by whatever name. Nothing tells a folder apart that can't be asked."""
    try:
        status = os.stat(folder)  # noqa: PTH116
    except OSError:
        return -1, hash(str(folder))
    return status.st_dev, status.st_ino


class TsvReader:
    """The rows of a table `caption<TAB>image`, streamed. Images are paths, absolute or relative to `base`; or web
    addresses, where something downloads them.

    `index.sources.tables.read_rows` says what is read. A picture with several captions keeps the first.

    Args:
        path: the table.
        base: the folder of relative paths; by default the table's own.
        fault: what is wrong with a caption as it is written, "" for nothing; a row whose caption has a fault is bad.
        fetch: gives the bytes at a web address, or raises an `ImageError`; without it such a row is bad.
        at_once: pictures that are read at the same time.

    Raises:
        StoreError: there is no such file, or it can't be read.
    """

    def __init__(
        self,
        path: str | Path,
        base: str | Path | None = None,
        fault: Callable[[str], str] | None = None,
        fetch: Callable[[str], bytes] | None = None,
        at_once: int = FILES_AT_ONCE,
    ) -> None:
        self.path = Path(path)
        self.base = os.path.abspath(base if base is not None else self.path.parent)  # noqa: PTH100
        self._fault, self._fetch, self.at_once = fault, fetch, at_once
        if not self.path.is_file():
            what = f"{path} is a folder." if self.path.is_dir() else f"There is no file {path}."
            raise StoreError(what, "Name a table of lines `caption<TAB>image`.")

    def __len__(self) -> int:
        return sum(1 for _ in read_rows(self.path))

    def __iter__(self) -> Iterator[PictureFile]:
        for row in read_rows(self.path):
            yield self._picture(row, f"{self.path}, line {row.line}")

    def covers(self, source: str) -> bool:
        """Never: a shorter table doesn't mean that a picture is gone."""
        return False

    def _picture(self, row: Row, place: str) -> PictureFile:
        if row.problem:
            return PictureFile(place, problem=row.problem, place=place)
        if self._fetch is None and "://" in row.image:
            return PictureFile(row.image, problem="only files can be indexed, not web addresses", place=place)
        if not is_url(row.image) and "://" in row.image:
            return PictureFile(row.image, problem="only http and https addresses can be fetched", place=place)
        if self._fault and (fault := self._fault(row.caption)):
            return PictureFile(place, problem=fault, place=place)
        if self._fetch is not None and is_url(row.image):
            return PictureFile(row.image, one_line(row.caption), place=place, read=partial(self._fetch, row.image))
        source = os.path.normpath(os.path.join(self.base, row.image))  # noqa: PTH118
        return PictureFile(source, one_line(row.caption), place=place)


class _CaptionTable:
    """Captions by path in a temporary SQLite file, so that a million of them don't fill the memory."""

    def __init__(self, reader: TsvReader) -> None:
        self.problems: list[PictureFile] = []
        self._rows = sqlite3.connect("")
        self._rows.execute("CREATE TABLE captions (source TEXT PRIMARY KEY, caption TEXT) WITHOUT ROWID")
        self._rows.executemany("INSERT OR IGNORE INTO captions VALUES (?, ?)", self._usable(reader))

    def get(self, source: str) -> str:
        found = self._rows.execute("SELECT caption FROM captions WHERE source = ?", (source,)).fetchone()
        return str(found[0]) if found else ""

    def _usable(self, reader: TsvReader) -> Iterator[tuple[str, str]]:
        for picture in reader:
            if picture.problem:
                self.problems.append(picture)
            else:
                yield picture.source, picture.caption
