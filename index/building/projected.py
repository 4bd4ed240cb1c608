"""Image embeddings or features computed elsewhere, as a store: no picture is opened and no encoder runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from index.building.failures import BadPicture
from index.errors import StoreError
from index.pictures.images import is_url, sanitize
from index.progress import Progress
from index.sources.clip_retrieval import Export
from index.store.feature_store import FeatureStoreWriter, NewRow
from index.store.manifest import PROJECTED

MAX_SOURCE = 4096  # characters of a path or URL


@dataclass
class ImportReport:
    """What an import did.

    Attributes:
        added: rows new in the store.
        known: rows already there, from an interrupted import or another file.
        duplicates: rows that named a picture a second time.
        bad: rows without a usable vector or path.
        total: rows now in the store.
    """

    added: int = 0
    known: int = 0
    duplicates: int = 0
    bad: list[BadPicture] = field(default_factory=list)
    total: int = 0


def import_embeddings(
    blocks: Iterable[tuple[list[str], npt.NDArray[np.float32]]],
    out: str | Path,
    *,
    bridge_fingerprint: str,
    base: str | Path = ".",
    total: int = 0,
    progress: Progress | None = None,
    resume: Sequence[str] = (),
) -> ImportReport:
    """Put image embeddings, normalised, into a store at `out`, continuing an interrupted import.

    Each block is on disk before the next one is read. The rows have no thumbnails: their pictures are fetched from
    their source when they are shown.

    Args:
        blocks: (n sources, vectors (n, R)), for example `ReferenceEmbeddings.blocks()`.
        out: the store's folder.
        bridge_fingerprint: of the model whose image projection made the vectors; it can't be checked.
        base: the folder to which relative paths among the sources are relative; URLs stay as they are.
        total: rows in all, for `progress`.
        progress: called as rows are stored.
        resume: arguments of the command that goes on with the import, as for `FeatureStoreWriter`.

    Raises:
        FingerprintError: the store at `out` holds something else.
        StoreError: no vector can be used, `out` can't be written to, or another builder is at work there.
    """
    report, done = ImportReport(), 0
    with FeatureStoreWriter(out, None, PROJECTED + bridge_fingerprint, resume) as writer:
        begun = writer.count
        for sources, vectors in blocks:
            resolved = [_resolved(source, base) for source in sources]
            _store(writer, begun, resolved, [""] * len(resolved), vectors, report, unit=True)
            done += len(sources)
            if progress:
                progress(done, max(total, done))
        report.total = writer.count_live()[0]
        if not report.total:
            raise StoreError(f"None of the {done} embeddings can be used.")
    return report


def import_features(
    export: Export,
    out: str | Path,
    *,
    encoder_fingerprint: str,
    base: str | Path,
    progress: Progress | None = None,
    resume: Sequence[str] = (),
) -> ImportReport:
    """Put features of pictures that clip-retrieval wrote into a store at `out`, as they are, with their captions.

    As `import_embeddings`; but a path that leads out of `base` is bad: foreign data could name any file.

    Args:
        export: the features.
        out: the store's folder.
        encoder_fingerprint: of the encoder that made them, by the user's word.
        base: the folder that the pictures' paths are in, and relative to.
        progress: called as rows are stored.
        resume: arguments of the command that goes on with the import.

    Raises: as `import_embeddings`, and StoreError if a file of the export is damaged.
    """
    report, done = ImportReport(), 0
    with FeatureStoreWriter(out, None, encoder_fingerprint, resume) as writer:
        begun = writer.count
        for rows in export.blocks():
            sources = [_inside(source, base) for source in rows.sources]
            _store(writer, begun, sources, rows.captions, rows.features, report, unit=False)
            done += len(sources)
            if progress:
                progress(done, max(len(export), done))
        report.total = writer.count_live()[0]
        if not report.total:
            why = f" The first: {report.bad[0].reason}" if report.bad else ""
            raise StoreError(f"None of the {done:,} features can be used.{why}")
    return report


def _store(
    writer: FeatureStoreWriter,
    begun: int,
    sources: list[str],
    captions: list[str],
    vectors: npt.NDArray[np.float32],
    report: ImportReport,
    unit: bool,
) -> None:
    """Append the usable rows of a block that the store lacks, which had `begun` rows before this import; with `unit`
    each vector of length 1."""
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    usable = np.isfinite(norms) & (norms > 0)
    kept: dict[str, int] = {}
    for row, source in enumerate(sources):
        if not usable[row]:
            report.bad.append(BadPicture(source, f"{sanitize(source[:200])}: its vector is zero or not finite."))
        elif problem := _problem(source):
            report.bad.append(BadPicture(source, f"{sanitize(source[:200])}: {problem}."))
        elif source in kept:
            report.duplicates += 1
        elif (found := writer.find(source)) is not None:
            report.known += found.id < begun
            report.duplicates += found.id >= begun
        else:
            kept[source] = row
    if not kept:
        return
    rows = list(kept.values())
    block = vectors[rows] / norms[rows, None] if unit else vectors[rows]
    new = [NewRow(source=source, caption=captions[row]) for source, row in kept.items()]
    writer.append(block.astype(np.float32), new, [b""] * len(new))
    report.added += len(new)


def _resolved(source: str, base: str | Path) -> str:
    if is_url(source):
        return source
    return os.path.normpath(os.path.join(os.path.abspath(base), source))  # noqa: PTH100, PTH118 (a million of them)


def _inside(source: str, base: str | Path) -> str:
    """As `_resolved`; "" for a path that leads out of the folder."""
    if not source or is_url(source):
        return source
    resolved = _resolved(source, base)
    return resolved if Path(resolved).is_relative_to(Path(os.path.abspath(base))) else ""  # noqa: PTH100


def _problem(source: str) -> str:
    if not source:
        return "it names no picture in the folder of the pictures"
    if len(source) > MAX_SOURCE or "\0" in source:
        return "it is not a path or web address"
    try:
        source.encode()
    except UnicodeEncodeError:
        return "it is not valid UTF-8"
    return ""
