"""What the command `index` prints, for people and for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fromage_lite.progress import progress_bar
from index.pictures.images import sanitize
from index.progress import Progress
from index.store.manifest import IndexManifest
from tui.cli import console

if TYPE_CHECKING:
    from index.building.build import BadPicture, BuildReport

SHOWN_BAD = 20
CHANGES = ("new", "moved or copied", "changed", "removed", "mended")


class IndexReport:
    """Output for people."""

    failures = 0
    """So far, in the build that shows its progress."""

    def bar(self, title: str, unit: str) -> AbstractContextManager[Progress]:
        """As `progress_bar`, with the failures behind it."""
        return progress_bar(title, unit, lambda: f"{self.failures:,} failed" if self.failures else "")

    def failed(self) -> None:
        """Counts a failure."""
        self.failures += 1

    notice = staticmethod(console.complain)

    def again(self, built: BuildReport, out: Path, manifest: IndexManifest) -> None:
        """Prints in a line what a later build has changed, while pictures are watched."""
        failed = f"; {built.failed} bad files" if built.failed else ""
        say(f"{time.strftime('%H:%M:%S')} {out}: {built.total} pictures ({_known(built, CHANGES)}){failed}.")

    def show(self, built: BuildReport, out: Path, manifest: IndexManifest) -> None:
        """Prints what was done."""
        from index.building.build import BAD_LIST

        _show_causes(built)
        where = f", listed in {out / BAD_LIST}" if built.bad else ""
        say(
            f"{out}: {built.total} pictures, {built.captioned} with a caption ({_known(built)}); "
            f"{built.failed} bad files skipped{where}. Index: {manifest.kind}."
        )


class JsonIndexReport:
    """Output for programs."""

    EVERY = 0.2  # seconds between two lines of progress
    failures = 0

    def failed(self) -> None:
        """Counts a failure."""
        self.failures += 1

    @contextmanager
    def bar(self, title: str, unit: str) -> Iterator[Progress]:
        """As `progress_bar`, in lines of JSON."""
        last = -self.EVERY

        def update(done: int, total: int) -> None:
            nonlocal last
            if done >= total or time.monotonic() - last >= self.EVERY:
                last = time.monotonic()
                counts = {"done": done, "total": total, "failed": self.failures}
                self._print({"event": "progress", "what": title, "unit": unit, **counts})

        yield update

    def notice(self, sentence: str) -> None:
        """Prints a sentence for the user."""
        self._print({"event": "notice", "message": sentence})

    def show(self, built: BuildReport, out: Path, manifest: IndexManifest) -> None:
        """Prints what was done."""
        self._print(
            {
                "event": "done",
                "index": str(out),
                "model": manifest.model,
                "pictures": built.total,
                "changed": built.added + built.reused + built.removed + built.mended,
                "reused": built.reused,
                "bad": built.failed,
            }
        )

    again = show

    def _print(self, data: dict[str, object]) -> None:
        console.echo_json(data)
        sys.stdout.flush()


def _show_causes(report: BuildReport) -> None:
    """The failures one by one where they are few, else how many each cause had, with an example."""
    if report.failed <= SHOWN_BAD:
        show_bad(report.bad)
        return
    for cause in report.causes[:SHOWN_BAD]:
        typer.echo(f"  {cause.count:,} x {cause.cause}: {cause.example}")
    if rest := report.causes[SHOWN_BAD:]:
        typer.echo(f"  {sum(cause.count for cause in rest):,} x other causes")


def show_bad(bad: Sequence[BadPicture]) -> None:
    for picture in bad[:SHOWN_BAD]:
        typer.echo(f"  skipped: {picture.reason}")
    if len(bad) > SHOWN_BAD:
        typer.echo(f"  and {len(bad) - SHOWN_BAD} more")


def _known(built: BuildReport, names: Collection[str] = ()) -> str:
    """The counts that are not 0, by their names, if only some are wanted."""
    counts = {
        "new": built.added - built.changed,
        "moved or copied": built.reused,
        "changed": built.changed,
        "unchanged": built.unchanged,
        "removed": built.removed,
        "mended": built.mended,
        "duplicate": built.duplicates,
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count and (not names or name in names))


def say(sentence: str) -> None:
    """Prints a sentence that may hold names of files."""
    typer.echo(sanitize(sentence))
