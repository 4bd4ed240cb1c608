"""From pictures to a feature store. The encoder is passed in as a function; nothing here knows a model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from index.building.build_report import BuildReport
from index.building.decoding import DecoderProcesses, decode
from index.building.elsewhere import EMBEDDED, Elsewhere, Embedded
from index.building.encoding import Embed, Encoder, features_of, unprepared
from index.building.failures import BAD_LIST, BadPicture, Failures
from index.building.opening import Loaded, Prepare, Read, Wanted, file_stamp, in_order, open_picture, read_picture
from index.errors import ImageError, StoreError, TemporaryImageError
from index.pictures.images import is_url
from index.progress import Progress
from index.search.derive import derive_index
from index.sources.readers import FolderReader, Reader, TsvReader
from index.store.feature_store import FeatureStoreWriter, NewRow
from index.store.manifest import storage_errors
from index.store.older_rows import complete_facts
from index.text import sanitize

__all__ = [
    "BAD_LIST",
    "BadPicture",
    "BuildReport",
    "FolderReader",
    "Reader",
    "TsvReader",
    "build_store",
    "derive_index",
]

MOST_THREADS = 8
"""That open pictures: each may hold one that is not scaled down yet."""
STORED_AT_ONCE = 2048
"""Of pictures that were embedded elsewhere: waiting for the disk once for each of them would take days."""
_COPIES = 16  # batches of copies that wait for a picture that must be embedded


def build_store(
    reader: Reader,
    embed: Embed | Encoder,
    out: str | Path,
    *,
    encoder_fingerprint: str,
    batch_size: int = 64,
    progress: Progress | None = None,
    resume: Sequence[str] = (),
    retry_failed: bool = False,
    workers: int = 0,
    preprocessing: str = "",
    failed: Callable[[], None] = lambda: None,
    elsewhere: Elsewhere | None = None,
) -> BuildReport:
    """Embed the pictures of `reader` into the store at `out`, continuing an interrupted build.

    Each batch is on disk before the next one is embedded, so an interruption (an exception, Ctrl-C, a kill) costs at
    most one batch, and the finished store is the same as without it. Pictures already in the store whose file is
    unchanged (size and date) are not opened, unless their features in the store are damaged; those with the bytes of
    another picture, moved or copied ones, take its feature. Pictures that left a folder are marked as removed.

    Args:
        reader: `index.sources.recognise.open_source`, or another `Reader`.
        embed: n RGB images -> features (n, dim), floating, stored as float16; or an `Encoder`, whose first step then
            is done beside the second.
        out: the store's folder.
        encoder_fingerprint: of the encoder behind `embed`.
        batch_size: images per call of `embed`.
        progress: called for every picture, embedded or not.
        resume: arguments of the command that goes on with the build, as for `FeatureStoreWriter`.
        retry_failed: ask web addresses again that were found dead.
        workers: processes that decode pictures; 0 decodes in threads of this process. A picture on which a process
            dies is a failure like any other.
        preprocessing: how pictures are prepared for the encoder, in words; the store's manifest keeps it.
        failed: called for each failure as it happens; the report has them all.
        elsewhere: embeds the pictures, by the same encoder, in place of `embed`; then this build only stores them.

    Raises:
        FingerprintError: another encoder made the store at `out`.
        StoreError: no picture can be read, `out` can't be written to, or another builder is at work there.
    """
    with (
        FeatureStoreWriter(out, None, encoder_fingerprint, resume, preprocessing=preprocessing) as writer,
        ExitStack() as stack,
    ):
        if retry_failed:
            writer.forget_failed()
        build = _Build(reader, writer, progress, failed)
        build.report.mended = writer.drop_damaged()
        stack.callback(build.failures.close)
        if elsewhere is not None:
            build.embed_all(build.load_embedded(elsewhere), EMBEDDED, max(batch_size, STORED_AT_ONCE))
        else:
            decoder = stack.enter_context(DecoderProcesses(workers)) if workers else decode
            openers = workers + 1 if workers else min(MOST_THREADS, os.cpu_count() or 1)
            pools = [ThreadPoolExecutor(count) for count in (reader.at_once, openers)]
            for pool in pools:
                stack.callback(pool.shutdown, cancel_futures=True)
            opening = partial(open_picture, decode=decoder, prepare=_preparation(embed))
            build.embed_all(build.load(pools[0], pools[1], opening, 2 * batch_size), embed, batch_size)
        build.remove_gone()
        complete_facts(writer)
        build.finish()
    return build.report


def _preparation(embed: Embed | Encoder) -> Prepare:
    return embed.prepare if isinstance(embed, Encoder) else unprepared


class _Build:
    """One run of `build_store`. SQLite is touched by the calling thread only; the pools read and open pictures."""

    def __init__(
        self, reader: Reader, writer: FeatureStoreWriter, progress: Progress | None, failed: Callable[[], None]
    ) -> None:
        self.reader, self.writer, self.progress, self.failed = reader, writer, progress, failed
        self.report = BuildReport()
        self.failures = Failures()
        self._total = len(reader) if progress else 0
        self._done = 0
        self._seen = bytearray()  # by row id: 1 where this run met the picture
        self._waiting: set[str] = set()  # sources between `_wanted` and the store
        self._first: dict[bytes, str] = {}  # content -> source, of pictures on their way to the store, and of bad ones

    def load(
        self, readers: Executor, openers: Executor, opening: Callable[[Read], Loaded], ahead: int
    ) -> Iterator[Loaded]:
        """The pictures for the store, in order; the pools read and open some of them before the encoder asks."""
        read = in_order(readers, read_picture, self._wanted(), 2 * self.reader.at_once)
        for known, opened in in_order(openers, opening, self._needed(read), ahead):
            try:
                yield opened.result()
            except ImageError as error:
                self._fail(known.wanted, error)

    def load_embedded(self, elsewhere: Elsewhere) -> Iterator[Loaded]:
        """As `load`, of pictures that have their feature."""
        latest: Embedded | None = None

        def read() -> Iterator[tuple[Wanted, Future[Read]]]:
            nonlocal latest
            for latest in elsewhere.embedded(self._wanted()):
                yield latest.read.wanted, latest.as_read()

        for known in self._needed(read()):
            if known.is_copy or latest is None:
                yield Loaded(known)
            elif latest.error is not None:
                self._fail(known.wanted, latest.error)
            else:
                yield Loaded(known, latest.feature, latest.thumbnail, latest.facts)

    def embed_all(self, pictures: Iterator[Loaded], embed: Embed | Encoder, batch_size: int) -> None:
        # Batches count only pictures that could be opened, so a resumed build forms the very same ones.
        batch: list[Loaded] = []
        fresh = 0
        for loaded in pictures:
            batch.append(loaded)
            fresh += loaded.picture is not None
            if fresh == batch_size or len(batch) == _COPIES * batch_size:
                self._embed(batch, embed)
                batch, fresh = [], 0
        if batch:
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

    def finish(self) -> None:
        """Complete the report, and write what failed beside the store."""
        report = self.report
        report.total, report.captioned = self.writer.count_live()
        report.failed, report.bad, report.causes = len(self.failures), self.failures.first, self.failures.causes()
        if self.progress and self._done < self._total:
            self.progress(self._done, self._done)  # of tars it is known only now how many there are
        if not self._done:
            raise StoreError("There are no pictures to index.", "Name a folder of JPEG, PNG, WebP, GIF or TIFF files.")
        with storage_errors(self.writer.path, "write to"):
            self.failures.write(self.writer.path, self._done)
        if not report.total:
            raise StoreError(f"None of the {report.failed} pictures can be read. The first: {report.bad[0].reason}")

    def _wanted(self) -> Iterator[Wanted]:
        for picture in self.reader:
            if picture.problem:
                cause = picture.cause or picture.problem
                self._bad(picture.source, f"{sanitize(picture.source)}: {sanitize(picture.problem)}.", cause)
                continue
            known = self.writer.find(picture.source)
            if picture.source in self._waiting or (known and known.id < len(self._seen) and self._seen[known.id]):
                self.report.duplicates += 1
                self._step()
                continue
            stamp = picture.stamp or file_stamp(picture.source)
            if known and (stamp == known.stamp or is_url(picture.source)):
                self._keep(known.id, picture.caption, known.caption)
            elif is_url(picture.source) and (failed := self.writer.failed(picture.source)):
                self._bad(picture.source, *failed)
            else:
                self._waiting.add(picture.source)
                yield Wanted(picture, stamp, known.id if known else None)

    def _needed(self, read: Iterator[tuple[Wanted, Future[Read]]]) -> Iterator[Read]:
        """The pictures that need a new row; those whose bytes were met before as copies."""
        for wanted, future in read:
            try:
                found = future.result()
            except ImageError as error:
                self._fail(wanted, error)
                continue
            known = self.writer.find(wanted.picture.source) if wanted.replaces is not None else None
            if known and found.content and known.content == found.content:
                self._waiting.discard(wanted.picture.source)
                if known.stamp != (wanted.stamp or (None, None)):  # only the date has changed
                    self.writer.set_stamp(known.id, wanted.stamp)
                self._keep(known.id, wanted.picture.caption, known.caption)
            elif found.content and (found.content in self._first or self.writer.has_content(found.content)):
                yield Read(wanted, found.content, is_copy=True)
            else:
                if found.content:
                    self._first[found.content] = wanted.picture.source
                yield found

    def _keep(self, id: int, caption: str, known_caption: str) -> None:
        if caption not in ("", known_caption):
            self.writer.set_caption(id, caption)
        self._see(id)
        self.report.unchanged += 1
        self._step()

    def _embed(self, batch: list[Loaded], embed: Embed | Encoder) -> None:
        fresh = [loaded for loaded in batch if loaded.picture is not None]
        features, finite = features_of(embed, [loaded.picture for loaded in fresh if loaded.picture is not None])
        by_content: dict[bytes, tuple[npt.NDArray[np.floating], bytes]] = {}
        kept: list[Loaded] = []
        vectors, thumbnails = [], []
        numbers = iter(range(len(fresh)))
        for loaded in batch:
            content = loaded.read.content
            if loaded.picture is None:  # what it is a copy of stands before it, here or in the store
                found = by_content.get(content) or self.writer.with_content(content)
            else:
                number = next(numbers)
                found = (features[number], loaded.thumbnail) if finite[number] else None
            if found is None:
                self._no_feature(loaded)
                continue
            by_content.setdefault(content, found)
            kept.append(loaded)
            vectors.append(found[0])
            thumbnails.append(found[1])
        if kept:
            self._append(kept, np.stack(vectors), thumbnails)

    def _append(self, kept: list[Loaded], features: npt.NDArray[np.floating], thumbnails: list[bytes]) -> None:
        rows = [_row(loaded) for loaded in kept]
        for row_id, row, loaded in zip(self.writer.append(features, rows, thumbnails), rows, kept, strict=True):
            self._see(row_id)
            self._waiting.discard(row["source"])
            if loaded.picture is None:
                self.report.reused += 1
            else:
                self._first.pop(loaded.read.content, None)
                self.report.added += 1
                self.report.changed += row.get("replaces") is not None
            self._step()

    def _no_feature(self, loaded: Loaded) -> None:
        wanted, name = loaded.read.wanted, sanitize(loaded.read.wanted.picture.source)
        if loaded.picture is not None:
            error = ImageError(f"The encoder returned no finite feature for {name}.", cause="no finite feature")
        else:
            first = sanitize(self._first.get(loaded.read.content, "a picture"))
            error = ImageError(f"{name} is a copy of {first}, which can't be used.", cause="copy of a bad picture")
        self._fail(wanted, error)

    def _fail(self, wanted: Wanted, error: ImageError) -> None:
        source = wanted.picture.source
        if is_url(source) and not isinstance(error, TemporaryImageError):
            self.writer.set_failed(source, error.message, error.cause)
        self._bad(source, error.message, error.cause, wanted.replaces)

    def _bad(self, source: str, reason: str, cause: str, replaced: int | None = None) -> None:
        self._waiting.discard(source)
        self.failures.add(BadPicture(source, reason, cause))
        self.failed()
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


def _row(loaded: Loaded) -> NewRow:
    picture, wanted = loaded.read.wanted.picture, loaded.read.wanted
    return NewRow(
        source=picture.source,
        caption=picture.caption,
        stamp=wanted.stamp,
        replaces=wanted.replaces,
        content=loaded.read.content,
        facts=loaded.facts,
    )
