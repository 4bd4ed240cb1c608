"""An index that is kept up to date for as long as its pictures are watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from fromage_lite.errors import StoreError
from fromage_lite.progress import Report
from index.building.build_report import BuildReport
from index.building.watching import LOOK_EVERY, Changes, Roots, lost_words, rests
from index.errors import InUseError
from index.store.manifest import IndexManifest

Built = tuple[BuildReport, IndexManifest]


def keep_up(
    build: Callable[[], Built],
    roots: Roots,
    *,
    built: Callable[[Built], None],
    notice: Report,
    changes: Callable[[], Iterable[Changes]] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Builds once more whenever pictures have changed and come to rest; ends with Ctrl-C.

    While a root is not there, as on a drive that was unmounted, nothing is built: its pictures stay indexed. Another
    builder is waited for. A build that fails is told, and the next change begins another.

    Args:
        build: brings the index up to date.
        roots: what is watched.
        built: told of each build that has changed something.
        notice: gets a sentence of what is waited for, or went wrong.
        changes: as `Roots.changes`, for tests.
        sleep: waits for seconds.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    while True:
        _wait_for(roots, notice, sleep)
        for _ in rests((changes or roots.changes)(), lambda: roots.missing() is not None):
            result = _build(build, notice, sleep)
            if result is not None and result[0].changes:
                built(result)


def _wait_for(roots: Roots, notice: Report, sleep: Callable[[float], None]) -> None:
    lost = roots.missing()
    if lost is None:
        return
    notice(lost_words(lost))
    while roots.missing() is not None:
        sleep(LOOK_EVERY)
    notice(f"{lost} is back.")


def _build(build: Callable[[], Built], notice: Report, sleep: Callable[[float], None]) -> Built | None:
    told = False
    while True:
        try:
            return build()
        except InUseError as error:
            if not told:
                notice(f"{error.message} It is waited for.")
            told = True
            sleep(LOOK_EVERY)
        except StoreError as error:
            notice(str(error))
            return None
