"""What could not be indexed, counted by cause: a report beside the index, not an error."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from index.files import replacing, write_bytes
from index.store.manifest import storage_errors
from index.text import one_line, sanitize

BAD_LIST = "bad_pictures.tsv"
FAILURES = "failures.json"
MOST_KEPT = 10_000
"""Failures that are kept in memory; the list beside the index has all of them."""
MOST_CAUSES = 200
OTHER = "other causes"

_SPOOL = 1 << 20  # bytes in memory
_BLOCK = 1 << 20


@dataclass(frozen=True)
class BadPicture:
    """A picture that was skipped, and why: one sanitised sentence, and the few words that are its cause."""

    source: str
    reason: str
    cause: str = "unreadable"


@dataclass
class Cause:
    """How many pictures a cause cost, with the first of them.

    Attributes:
        cause: a few words: "HTTP 404", "truncated".
        count: pictures.
        example: the source of the first.
        reason: the whole sentence about it.
    """

    cause: str
    count: int
    example: str
    reason: str


class Failures:
    """Collects the failures of a build.

    Attributes:
        first: the first `MOST_KEPT` of them.
    """

    def __init__(self) -> None:
        self.first: list[BadPicture] = []
        self._causes: dict[str, Cause] = {}
        self._count = 0
        self._lines = tempfile.SpooledTemporaryFile(max_size=_SPOOL)  # noqa: SIM115 (lives as long as this object)

    def __len__(self) -> int:
        return self._count

    def add(self, bad: BadPicture) -> None:
        """Count a failure.

        Raises:
            StoreError: the disk of temporary files is full.
        """
        self._count += 1
        if len(self.first) < MOST_KEPT:
            self.first.append(bad)
        with storage_errors(Path(tempfile.gettempdir()), "write to"):
            self._lines.write(f"{sanitize(bad.source)}\t{bad.reason}\n".encode())
        name = one_line(bad.cause, 100) or OTHER
        if name not in self._causes and len(self._causes) >= MOST_CAUSES:
            name = OTHER
        if known := self._causes.get(name):
            known.count += 1
        else:
            self._causes[name] = Cause(name, 1, sanitize(bad.source), bad.reason)

    def causes(self) -> list[Cause]:
        """The causes, most frequent first, and then by name."""
        return sorted(self._causes.values(), key=lambda cause: (-cause.count, cause.cause))

    def write(self, folder: Path, tried: int) -> None:
        """Write both reports into a folder: `BAD_LIST`, every failure in a line, and `FAILURES`, the causes.

        Without failures the reports of an earlier build are removed.

        Args:
            folder: the store's.
            tried: pictures in all.

        Raises:
            OSError: they can't be written.
        """
        if not self._count:
            for name in (BAD_LIST, FAILURES):
                (folder / name).unlink(missing_ok=True)
            return
        with replacing(folder / BAD_LIST) as temporary, temporary.open("wb") as file:
            self._lines.seek(0)
            while block := self._lines.read(_BLOCK):
                file.write(block)
        causes = [asdict(cause) for cause in self.causes()]
        report = {"pictures": tried, "failed": self._count, "causes": causes}
        write_bytes(folder / FAILURES, (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())

    def close(self) -> None:
        """Give the temporary file back."""
        self._lines.close()
