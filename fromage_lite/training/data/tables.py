"""Training data from pictures with captions: any source that `fromage-lite index` reads, or an existing feature store.

The frozen encoder sees every picture once; the features go into a store, as for an index.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fromage_lite.errors import DataError, FingerprintError
from fromage_lite.model.fromage import Fromage
from fromage_lite.text.marks import RET
from fromage_lite.text.tokens import special_tokens
from fromage_lite.training.data.features import StoredFeatures, encoding, store_fingerprint
from fromage_lite.training.data.interleaved import TrainingData
from index.building.build import TsvReader, build_store
from index.errors import ImageError
from index.progress import Progress
from index.sources.download import Downloader, DownloadLimits
from index.sources.readers import PictureFile, Reader
from index.sources.recognise import open_source
from index.store.feature_store import FeatureStore

MAX_BAD_SHARE = 0.05
VALIDATION_SHARE, VALIDATION_MOST = 0.05, 512

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # C0 but tab and line ends, DEL, C1
_ENOUGH = 100  # bad pictures before a build is given up


@dataclass(frozen=True)
class Split:
    """What is held out for validation.

    Attributes:
        share: of the pictures; None is `VALIDATION_SHARE`, of at most `VALIDATION_MOST` pictures.
        seed: of the choice.
    """

    share: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class TableReport:
    """What became of the rows of a table or a store.

    Attributes:
        used: rows with a caption and a readable picture.
        bad: rows that were left out: not of the form `caption<TAB>image`, without a caption, with control tokens or
            control characters in it, or without a readable picture.
        example: the first bad row and its fault; empty if there is none.
        causes: how many bad rows each cause cost, most frequent first.
    """

    used: int
    bad: int
    example: str = ""
    causes: Mapping[str, int] = field(default_factory=dict)


class _Bad:
    """Bad rows, counted by cause."""

    def __init__(self) -> None:
        self.causes: Counter[str] = Counter()
        self.first = ""

    def add(self, sentence: str, cause: str, count: int = 1) -> None:
        self.first = self.first or sentence
        self.causes[cause] += count

    def report(self, used: int, path: Path, max_share: float) -> TableReport:
        """Raises DataError: more than `max_share` of the rows are bad, or all of them."""
        bad = self.causes.total()
        if not used or bad > max_share * (used + bad):
            raise too_many(bad, used + bad, path, f" The first: {self.first}" if bad else "")
        return TableReport(used, bad, self.first, dict(self.causes.most_common()))


def too_many(bad: int, total: int, path: Path, more: str = "") -> DataError:
    """The error of a source with too many bad rows."""
    return DataError(
        f"{bad} of {total} rows of {path} can't be used.{more}", "Fix them, or allow more with --max-bad-share."
    )


def read_source(
    path: Path,
    model: Fromage,
    store: Path,
    *,
    images_root: Path | None = None,
    max_bad_share: float = MAX_BAD_SHARE,
    split: Split | None = Split(),
    progress: Progress | None = None,
) -> tuple[TrainingData, TableReport]:
    """Training data from whatever `index.sources.recognise` reads: tables of files or addresses, tars, folders, ….

    Args:
        path: the source.
        model: its frozen encoder computes the features.
        store: folder of the feature store; features that it already holds are not computed again.
        images_root: as for `read_table`.
        max_bad_share: a larger share of bad rows ends the reading, as soon as it is certain.
        split: what is held out; None is nothing.
        progress: called with (pictures done, rows in all).

    Raises:
        DataError: too many rows are bad, or no picture has a caption.
        StoreError: there is nothing at the path, or the store can't be written.
    """
    reader = open_source(path)
    if isinstance(reader, TsvReader):
        return read_table(
            path, model, store, images_root=images_root, max_bad_share=max_bad_share, split=split, progress=progress
        )
    watched = _Watched(reader, path, max_bad_share)
    built = build_store(
        watched, encoding(model), store, encoder_fingerprint=store_fingerprint(model), progress=progress
    )
    bad = _Bad()
    for cause in built.causes:
        bad.add(cause.reason, cause.cause, cause.count)
    return _from_store(store, path, model, bad, max_bad_share, split)


def read_table(
    path: Path,
    model: Fromage,
    store: Path,
    *,
    images_root: Path | None = None,
    max_bad_share: float = MAX_BAD_SHARE,
    split: Split | None = Split(),
    progress: Progress | None = None,
) -> tuple[TrainingData, TableReport]:
    """Training data from a table of captions. A picture may be in several rows, each with its own caption.

    Args:
        path: rows `caption<TAB>image`, images being files or web addresses; see `index.sources.tables.read_rows`.
        model: its frozen encoder computes the features.
        store: folder of the feature store; features that it already holds are not computed again.
        images_root: where relative image paths count from; None is the table's folder.
        max_bad_share: as for `read_source`.
        split: as for `read_source`.
        progress: called with (pictures done, rows in all).

    Raises:
        DataError: too many rows are bad.
        StoreError: there is no such table, or the store can't be written.
    """
    limits = DownloadLimits()
    fetch = Downloader(limits)
    reader = TsvReader(path, base=images_root, fault=caption_faults(model), fetch=fetch, at_once=limits.at_once)
    built = build_store(
        _Watched(reader, path, max_bad_share),
        encoding(model),
        store,
        encoder_fingerprint=store_fingerprint(model),
        progress=progress,
    )
    stored = StoredFeatures(FeatureStore.open(store), model)
    row_of = {source: id for id, source, _ in stored.store.iter_rows()}
    failed = {bad.source: (bad.reason, bad.cause) for bad in built.bad}
    captions: list[tuple[str, int]] = []
    bad = _Bad()
    for picture in reader:
        if picture.problem:
            bad.add(f"{picture.place}: {picture.problem}.", picture.cause or picture.problem)
        elif not picture.caption:
            bad.add(f"{picture.place}: it has no caption.", "no caption")
        elif picture.source not in row_of:
            why, cause = failed.get(picture.source, ("The picture was not read.", "unreadable"))
            bad.add(f"{picture.place}: {why}", cause)
        else:
            captions.append((picture.caption, row_of[picture.source]))
    result = bad.report(len(captions), path, max_bad_share)
    return _split(stored, captions, model, split), result


def read_store(
    path: Path, model: Fromage, *, max_bad_share: float = MAX_BAD_SHARE, split: Split | None = Split()
) -> tuple[TrainingData, TableReport]:
    """Training data from the pictures of a feature store (`fromage-lite index`) that have captions.

    Raises:
        DataError: no picture in it has a caption, or too many captions can't be used.
        FingerprintError: another encoder made the features.
        StoreError: there is no store, or it is damaged.
    """
    return _from_store(path, path, model, _Bad(), max_bad_share, split)


def _from_store(
    store: Path, named: Path, model: Fromage, bad: _Bad, max_bad_share: float, split: Split | None
) -> tuple[TrainingData, TableReport]:
    opened = FeatureStore.open(store)
    if opened.encoder_fingerprint != store_fingerprint(model):
        raise FingerprintError(
            f"The features in {store} were made by another image encoder.",
            "Name the encoder that made them with --vision-encoder, or rebuild the store.",
        )
    stored = StoredFeatures(opened, model)
    fault_of = caption_faults(model)
    captions: list[tuple[str, int]] = []
    for id, source, caption in opened.iter_rows():
        if caption and (fault := fault_of(caption)):
            bad.add(f"{source}: {fault}.", fault)
        elif caption:
            captions.append((caption, id))
    if not captions and not bad.causes:
        raise DataError(f"No picture in {named} has a caption.", "Name a source that has captions.")
    report = bad.report(len(captions), named, max_bad_share)
    return _split(stored, captions, model, split), report


class _Watched:
    """A reader that gives up as soon as so many pictures can't be read that the share of bad ones must be too large.

    What was read until then stays in the store.
    """

    def __init__(self, reader: Reader, path: Path, max_bad_share: float) -> None:
        self._reader, self._path, self._share = reader, path, max_bad_share
        self._failed, self._first = 0, ""

    @property
    def at_once(self) -> int:
        return self._reader.at_once

    def __len__(self) -> int:
        return len(self._reader)

    def covers(self, source: str) -> bool:
        return self._reader.covers(source)

    def __iter__(self) -> Iterator[PictureFile]:
        total = len(self._reader)
        for picture in self._reader:
            if picture.problem:
                self._note(f"{picture.place or picture.source}: {picture.problem}.")
            if self._failed > max(_ENOUGH, self._share * total):
                raise too_many(self._failed, total, self._path, f" The first: {self._first}")
            read = picture.read
            yield picture if read is None else replace(picture, read=partial(self._read, read))

    def _read(self, read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except ImageError as error:
            self._note(error.message)
            raise

    def _note(self, sentence: str) -> None:
        self._first = self._first or sentence
        self._failed += 1


def caption_faults(model: Fromage) -> Callable[[str], str]:
    """A function that says why a caption can't be learnt from ("" if it can). A control token spelt out in a caption
    would be taken for the token itself, or be learnt as words."""
    tokens = {token for token in special_tokens(model.language.tokenizer) if len(token) > 1 and not token.isalnum()}
    written = re.compile("|".join(re.escape(token) for token in sorted({RET, *tokens}, key=len, reverse=True)))

    def fault(caption: str) -> str:
        if match := written.search(caption):
            return f"its caption holds the control token {match[0]}"
        if match := _CONTROL.search(caption):
            return f"its caption holds the control character U+{ord(match[0]):04X}"
        return ""

    return fault


def _split(
    stored: StoredFeatures, captions: list[tuple[str, int]], model: Fromage, split: Split | None
) -> TrainingData:
    """Holds out some pictures with all of their captions."""
    held_out = set[int]() if split is None else _held_out(np.unique([row for _, row in captions]), split)
    digest = hashlib.sha256(store_fingerprint(model).encode())
    for caption, row in captions:
        digest.update(f"{row}\t{caption}\n".encode())
    validation = [pair for pair in captions if pair[1] in held_out]
    learnt = [pair for pair in captions if pair[1] not in held_out]
    return stored.data(learnt, digest.hexdigest()[:16], validation=stored.data(validation, "") if validation else None)


def _held_out(rows: npt.NDArray[np.int64], split: Split) -> set[int]:
    most = VALIDATION_MOST if split.share is None else len(rows) - 1
    share = VALIDATION_SHARE if split.share is None else split.share
    count = min(most, int(share * len(rows)))
    return set(np.random.default_rng(split.seed).choice(rows, size=count, replace=False).tolist())
