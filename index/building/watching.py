"""Waiting for changes of pictures until they have come to rest; and for drives that come back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import psutil

from index.errors import StoreError
from index.pictures.containers import DATASET_STATE, PARQUET, TAR
from index.pictures.images import is_picture_name
from index.sources.ignore import IGNORE_FILE
from index.text import sanitize

Changes = set[tuple[int, str]]
"""What happened (`watchfiles.Change`) to which path; empty where for a while nothing did."""

QUIET = 2.0
"""Seconds without a change after which files count as written to their end."""
LONGEST = 60.0
"""Seconds of changes without rest after which they are looked at all the same."""
LOOK_EVERY = 5.0
"""Seconds between two looks at folders that tell nothing of their own accord: those of other computers."""

_REMOTE = ("nfs", "cifs", "smb", "afs", "9p", "fuse.sshfs", "fuse.rclone", "fuse.gvfs", "davfs", "virtiofs", "vboxsf")


class Roots:
    """The folders and files that are watched, and whether they are there: an empty place where a drive was is not.

    Args:
        paths: folders and files, all of them there.
        out: the index's folder, whose changes are its builder's own.

    Raises:
        StoreError: the library that watches is not installed.
    """

    def __init__(self, paths: Sequence[Path], out: Path) -> None:
        if find_spec("watchfiles") is None:
            hint = 'Install it: pip install "fromage-lite[watch]"'
            raise StoreError("Watching a folder needs the package watchfiles.", hint)
        self.paths = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100 (links stay as they are)
        self._out = os.path.join(os.path.abspath(out), "")  # noqa: PTH100, PTH118
        self._mounts = {path: mount_of(path) for path in self.paths}
        self._files = {str(path) for path in self.paths if not path.is_dir()}

    def missing(self) -> Path | None:
        """The first that is not there, or on another drive than in the beginning; None if all are."""
        return next((path for path, mount in self._mounts.items() if mount_of(path) != mount), None)

    def concerns(self, path: str) -> bool:
        """Whether a change can be one of pictures or what holds them, of captions, or of what is left out."""
        if path.startswith(self._out):
            return False
        if path in self._files or not any(path.startswith(os.path.join(root, "")) for root in self.paths):  # noqa: PTH118
            return path in self._files or Path(path) in self.paths
        name = os.path.basename(path)  # noqa: PTH119
        if is_picture_name(name) or name.lower().endswith((".txt", TAR, PARQUET)):
            return True
        if name in (IGNORE_FILE, DATASET_STATE):
            return True
        # A folder that was moved or removed is told by its own name alone.
        return not name.startswith(".") and (not os.path.splitext(name)[1] or os.path.isdir(path))  # noqa: PTH112, PTH122

    def changes(self, quiet: float = QUIET) -> Iterator[Changes]:
        """What happens, as `watchfiles` tells it, without end; an empty set after each `quiet` seconds of nothing.

        Folders of other computers, and those of which the system can't watch so many, are looked through instead.

        Raises:
            KeyboardInterrupt: Ctrl-C.
        """
        watched = {path.parent if str(path) in self._files else path for path in self.paths}
        options: dict[str, object] = {
            "watch_filter": None,  # here, so that other files that never rest don't hide a rest of the pictures
            "recursive": len(self._files) < len(self.paths),
            "debounce": 1000,
            "step": 100,
            "rust_timeout": int(1000 * quiet),
            "yield_on_timeout": True,
            "ignore_permission_denied": True,
            "raise_interrupt": True,
            "poll_delay_ms": int(1000 * LOOK_EVERY),
        }
        watch = import_module("watchfiles").watch
        try:
            for changes in watch(*watched, force_polling=any(map(is_remote, watched)) or None, **options):
                yield {change for change in changes if self.concerns(change[1])}
        except OSError:  # the limit of watched folders (fs.inotify.max_user_watches); or a folder that went just now
            if self.missing() is None:
                for changes in watch(*watched, force_polling=True, **options):
                    yield {change for change in changes if self.concerns(change[1])}


def rests(
    changes: Iterable[Changes],
    is_lost: Callable[[], bool],
    longest: float = LONGEST,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Once in the beginning, when all is quiet, for what happened before; then for each time that something has changed
    and come to rest. Ends when something is lost.

    Args:
        changes: as of `Roots.changes`.
        is_lost: whether a root is no longer there.
        longest: seconds after which changes that don't end are told.
        clock: seconds.
    """
    since: float | None = clock()
    for change in changes:
        if is_lost():
            return
        if change and since is None:
            since = clock()
        if since is not None and (not change or clock() - since >= longest):
            since = None
            yield


def mount_of(path: Path) -> Path | None:
    """The folder at which the drive of a path is mounted; None if there is no such path."""
    try:
        place = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    while not os.path.ismount(place) and place != place.parent:  # noqa: PTH203
        place = place.parent
    return place


def is_remote(path: Path) -> bool:
    """Whether a path is on a file system of another computer, which tells nothing of what others change there."""
    mount = mount_of(path)
    kinds = [part.fstype.lower() for part in psutil.disk_partitions(all=True) if Path(part.mountpoint) == mount]
    return any(kind.startswith(_REMOTE) for kind in kinds[-1:])


def lost_words(path: Path) -> str:
    """A sentence about a root that is not there."""
    return (
        f"{sanitize(str(path))} is not there, or its drive is not mounted: its pictures stay indexed until it is back."
    )
