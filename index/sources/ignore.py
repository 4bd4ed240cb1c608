"""Which files of a folder are not indexed: hidden ones, those of the system, and what a person has excluded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec, PathSpec

from index.errors import StoreError, reason
from index.sources.tables import decode

IGNORE_FILE = ".fromageignore"
"""In any folder: patterns as in a `.gitignore`, for what is below that folder."""
SYSTEM_FOLDERS = frozenset(
    {"@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX", "lost+found"}
)
"""Small pictures and deleted files that disks, archives and network storage keep for themselves."""

_LONGEST = 1_000_000  # bytes of an ignore file


class IgnoreRules:
    """The rules for everything below a folder: `.fromageignore` files, and patterns of the command line.

    As git has it, the last pattern that fits decides, the file of a deeper folder before that of a higher one, `!`
    takes back, and below an ignored folder nothing can be taken back. The command line decides before all files.

    Args:
        root: the folder.
        exclude: patterns as in a `.gitignore`, relative to `root`.

    Raises:
        StoreError: a pattern can't be understood.
    """

    def __init__(self, root: Path, exclude: Sequence[str] = ()) -> None:
        self._root = str(root)
        self._excluded = _spec(list(exclude), "--exclude")
        self._specs: dict[str, _Spec] = {}

    def enter(self, folder: str) -> str:
        """Read the rules of a folder that is about to be walked; what is wrong with them, "" for nothing."""
        path = Path(folder) / IGNORE_FILE
        try:
            with path.open("rb") as file:
                lines = decode(file.read(_LONGEST)).splitlines()
            if (spec := _spec(lines, str(path))) is not None:
                self._specs[folder] = spec
        except FileNotFoundError:
            pass
        except StoreError as error:
            return error.message.removesuffix(".")
        except OSError as error:
            return f"the ignore file can't be read: {reason(error)}"
        except ValueError as error:
            return f"the ignore file can't be read: {error}"
        return ""

    def leave_out(self, path: str, *, is_folder: bool = False) -> bool:
        """Whether a file or folder below the root is not to be indexed."""
        name = os.path.basename(path)  # noqa: PTH119
        if name.startswith(".") or (is_folder and name in SYSTEM_FOLDERS):
            return True
        if self._excluded is not None and self._excluded.verdict(path, self._root, is_folder):
            return True
        folder = os.path.dirname(path)  # noqa: PTH120
        while True:
            spec = self._specs.get(folder)
            verdict = spec.verdict(path, folder, is_folder) if spec is not None else None
            if verdict is not None:
                return verdict
            if folder == self._root or len(folder) <= len(self._root):
                return False
            folder = os.path.dirname(folder)  # noqa: PTH120


@dataclass(frozen=True)
class _Spec:
    """The same patterns for files and for folders: for a file git lets `drafts/` count less than `*.png`, and of those
    that fit a folder the last decides."""

    files: GitIgnoreSpec
    folders: PathSpec

    def verdict(self, path: str, base: str, is_folder: bool) -> bool | None:
        """True: ignored; False: taken back; None: no pattern fits."""
        relative = os.path.relpath(path, base).replace(os.sep, "/")
        return (self.folders.check_file(f"{relative}/") if is_folder else self.files.check_file(relative)).include


def _spec(lines: list[str], where: str) -> _Spec | None:
    try:
        files = GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise StoreError(f"A pattern of {where} can't be understood: {reason(error)}.") from error
    return _Spec(files, PathSpec(files.patterns)) if any(lines) else None
