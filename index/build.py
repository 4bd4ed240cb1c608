"""From pictures to a feature store. The encoder is passed in as a function; nothing here knows a model."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from index.derive import derive_index
from index.errors import ImageError, StoreError, reason
from index.files import write_bytes
from index.images import bound_short_side, make_thumbnail, open_image, sanitize
from index.manifest import storage_errors
from index.progress import Progress
from index.readers import FolderReader, PictureFile, Reader, TsvReader
from index.store import FeatureStoreWriter, NewRow

__all__ = ["BadPicture", "BuildReport", "FolderReader", "Reader", "TsvReader", "build_store", "derive_index"]

Embed = Callable[[list[Image.Image]], npt.NDArray[np.floating]]

BAD_LIST = "bad_pictures.tsv"


@dataclass(frozen=True)
class BadPicture:
    """A picture that was skipped, and why: one sanitised sentence."""

    source: str
    reason: str


@dataclass
class BuildReport:
    """What a build did.

    Attributes:
        added: pictures embedded, changed ones included.
        unchanged: pictures that were in the store already.
        changed: pictures whose file differs from the one in the store.
        removed: pictures that are gone or have become unreadable.
        duplicates: rows that named a picture a second time.
        bad: pictures that can't be read; the next build tries them again.
        total: pictures now in the store.
        captioned: how many of them have a caption.
    """

    added: int = 0
    unchanged: int = 0
    changed: int = 0
    removed: int = 0
    duplicates: int = 0
    bad: list[BadPicture] = field(default_factory=list)
    total: int = 0
    captioned: int = 0


@dataclass(frozen=True)
class _Wanted:
    """A picture to embed; `replaces` is the row of its earlier version."""

    picture: PictureFile
    stamp: tuple[int, int] | None
    replaces: int | None


@dataclass(frozen=True)
class _Loaded:
    wanted: _Wanted
    image: Image.Image
    thumbnail: bytes


def build_store(
    reader: Reader,
    embed: Embed,
    out: str | Path,
    *,
    encoder_fingerprint: str,
    batch_size: int = 64,
    progress: Progress | None = None,
    resume: Sequence[str] = (),
) -> BuildReport:
    """Embed the pictures of `reader` into the store at `out`, continuing an interrupted build.

    Each batch is on disk before the next one is embedded, so an interruption (an exception, Ctrl-C, a kill) costs at
    most one batch, and the finished store is the same as without it. Pictures already in the store whose file is
    unchanged (size and date) are not opened; pictures that left a folder are marked as removed.

    Args:
        reader: `FolderReader`, `TsvReader` or another `Reader`.
        embed: n RGB images -> features (n, dim), floating; stored as float16.
        out: the store's folder.
        encoder_fingerprint: of the encoder behind `embed`.
        batch_size: images per call of `embed`.
        progress: called for every picture, embedded or not.
        resume: arguments of the command that goes on with the build, as for `FeatureStoreWriter`.

    Raises:
        FingerprintError: another encoder made the store at `out`.
        StoreError: no picture can be read, `out` can't be written to, or another builder is at work there.
    """
    with FeatureStoreWriter(out, None, encoder_fingerprint, resume) as writer:
        build = _Build(reader, writer, progress)
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            try:
                build.embed_all(build.load_ahead(pool, ahead=2 * batch_size), embed, batch_size)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        build.remove_gone()
        build.check_result()
    return build.report


class _Build:
    """One run of `build_store`. SQLite is touched by the calling thread only; the pool opens pictures."""

    def __init__(self, reader: Reader, writer: FeatureStoreWriter, progress: Progress | None) -> None:
        self.reader, self.writer, self.progress = reader, writer, progress
        self.report = BuildReport()
        self._total = len(reader) if progress else 0
        self._done = 0
        self._seen = bytearray()  # by row id: 1 where this run met the picture
        self._waiting: set[str] = set()  # sources between `_wanted` and the store

    def load_ahead(self, pool: ThreadPoolExecutor, ahead: int) -> Iterator[_Loaded]:
        """The pictures to embed, in order; the pool opens up to `ahead` of them before the encoder asks."""
        queue: deque[tuple[_Wanted, Future[_Loaded]]] = deque()
        for wanted in self._wanted():
            queue.append((wanted, pool.submit(_load, wanted)))
            if len(queue) >= ahead:
                yield from self._take(*queue.popleft())
        while queue:
            yield from self._take(*queue.popleft())

    def embed_all(self, pictures: Iterator[_Loaded], embed: Embed, batch_size: int) -> None:
        # Batches count only pictures that could be opened, so a resumed build forms the very same ones.
        while batch := list(islice(pictures, batch_size)):
            self._embed(batch, embed)

    def remove_gone(self) -> None:
        """Mark the pictures that the reader covers but no longer lists."""
        if not self._done:
            return
        gone = [
            id
            for id, source in self.writer.live_sources()
            if not (id < len(self._seen) and self._seen[id]) and self.reader.covers(source)
        ]
        self.writer.remove(gone)
        self.report.removed += len(gone)

    def check_result(self) -> None:
        report = self.report
        report.total, report.captioned = self.writer.count_live()
        if not self._done:
            raise StoreError("There are no pictures to index.", "Name a folder of JPEG, PNG, WebP, GIF or TIFF files.")
        if not report.total:
            raise StoreError(f"None of the {len(report.bad)} pictures can be read. The first: {report.bad[0].reason}")
        path = self.writer.path / BAD_LIST
        if report.bad:
            lines = (f"{sanitize(bad.source)}\t{bad.reason}\n" for bad in report.bad)
            with storage_errors(path, "write to"):
                write_bytes(path, "".join(lines).encode())
        else:
            path.unlink(missing_ok=True)

    def _wanted(self) -> Iterator[_Wanted]:
        for picture in self.reader:
            if picture.problem:
                self._bad(picture.source, f"{sanitize(picture.source)}: {sanitize(picture.problem)}.", None)
                continue
            known = self.writer.find(picture.source)
            if picture.source in self._waiting or (known and known.id < len(self._seen) and self._seen[known.id]):
                self.report.duplicates += 1
                self._step()
                continue
            stamp = _stamp(picture.source)
            if known and stamp == known.stamp:
                if picture.caption not in ("", known.caption):
                    self.writer.set_caption(known.id, picture.caption)
                self._see(known.id)
                self.report.unchanged += 1
                self._step()
                continue
            self._waiting.add(picture.source)
            yield _Wanted(picture, stamp, known.id if known else None)

    def _take(self, wanted: _Wanted, future: Future[_Loaded]) -> Iterator[_Loaded]:
        try:
            yield future.result()
        except ImageError as error:
            self._bad(wanted.picture.source, str(error.message), wanted.replaces)

    def _embed(self, batch: list[_Loaded], embed: Embed) -> None:
        features = np.asarray(embed([loaded.image for loaded in batch]))
        if features.ndim != 2 or len(features) != len(batch):
            raise StoreError(f"The encoder returned features of shape {features.shape} for {len(batch)} pictures.")
        with np.errstate(over="ignore"):
            features = features.astype(np.float16)
        finite: npt.NDArray[np.bool_] = np.isfinite(features).min(axis=1)
        for loaded, good in zip(batch, finite, strict=True):
            if not good:
                source, replaces = loaded.wanted.picture.source, loaded.wanted.replaces
                self._bad(source, f"The encoder returned no finite feature for {sanitize(source)}.", replaces)
        kept = [loaded for loaded, good in zip(batch, finite, strict=True) if good]
        if not kept:
            return
        rows = [_row(loaded.wanted) for loaded in kept]
        for id, row in zip(
            self.writer.append(features[finite], rows, [loaded.thumbnail for loaded in kept]), rows, strict=True
        ):
            self._see(id)
            self._waiting.discard(row["source"])
            self.report.changed += row.get("replaces") is not None
            self._step()
        self.report.added += len(kept)

    def _bad(self, source: str, reason: str, replaced: int | None) -> None:
        self._waiting.discard(source)
        self.report.bad.append(BadPicture(source, reason))
        if replaced is not None:
            self.writer.remove([replaced])
            self.report.removed += 1
        self._step()

    def _see(self, id: int) -> None:
        if id >= len(self._seen):
            self._seen.extend(bytes(id + 1 - len(self._seen)))
        self._seen[id] = 1

    def _step(self) -> None:
        self._done += 1
        if self.progress:
            self.progress(self._done, max(self._total, self._done))


def _stamp(source: str) -> tuple[int, int] | None:
    try:
        status = Path(source).stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def _load(wanted: _Wanted) -> _Loaded:
    source = wanted.picture.source
    image = open_image(source)
    try:
        return _Loaded(wanted, bound_short_side(image), make_thumbnail(image))
    except (OSError, ValueError, MemoryError) as error:
        raise ImageError(f"{sanitize(source)} can't be scaled down: {reason(error)}.") from error


def _row(wanted: _Wanted) -> NewRow:
    picture = wanted.picture
    return NewRow(source=picture.source, caption=picture.caption, stamp=wanted.stamp, replaces=wanted.replaces)
