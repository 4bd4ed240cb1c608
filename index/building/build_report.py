"""What a build of a feature store did, in figures."""

from __future__ import annotations

from dataclasses import dataclass, field

from index.building.failures import BadPicture, Cause


@dataclass
class BuildReport:
    """What a build did.

    Attributes:
        added: pictures embedded, changed ones included.
        reused: pictures with the bytes of another one, moved and copied ones, that took its feature.
        unchanged: pictures that were in the store already.
        changed: pictures embedded because their file differs from the one in the store.
        removed: pictures that are gone or have become unreadable.
        mended: pictures whose features in the store were damaged, by their checksum: they were embedded again.
        duplicates: rows that named a picture a second time.
        failed: pictures that can't be read; the next build tries them again, but for web addresses that are dead.
        bad: the first of them (`index.building.failures.MOST_KEPT`).
        causes: why, counted, most frequent first.
        total: pictures now in the store.
        captioned: how many of them have a caption.
    """

    added: int = 0
    reused: int = 0
    unchanged: int = 0
    changed: int = 0
    removed: int = 0
    mended: int = 0
    duplicates: int = 0
    failed: int = 0
    bad: list[BadPicture] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    total: int = 0
    captioned: int = 0

    @property
    def changes(self) -> int:
        """How many pictures the store has gained or lost, changed ones included."""
        return self.added + self.reused + self.removed + self.mended
