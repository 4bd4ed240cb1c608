"""Training data from files: a table `caption<TAB>image`, or an existing feature store.

The frozen encoder sees every picture once; the features go into a store, as for an index.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fromage_lite.errors import DataError, FingerprintError
from fromage_lite.model.fromage import Fromage
from fromage_lite.text.marks import RET
from fromage_lite.text.tokens import special_tokens
from fromage_lite.training.data.interleaved import TrainingData
from index.build import TsvReader, build_store
from index.progress import Progress
from index.store import FeatureStore

MAX_BAD_SHARE = 0.05
VALIDATION_SHARE, VALIDATION_MOST = 0.05, 512

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # C0 but tab and line ends, DEL, C1


@dataclass(frozen=True)
class TableReport:
    """What became of the rows of a table or a store.

    Attributes:
        used: rows with a caption and a readable picture.
        bad: rows that were left out: not of the form `caption<TAB>image`, without a caption, with control tokens or
            control characters in it, or without a readable picture.
        example: the first bad row and its fault; empty if there is none.
    """

    used: int
    bad: int
    example: str = ""


def read_table(
    path: Path,
    model: Fromage,
    store: Path,
    *,
    images_root: Path | None = None,
    max_bad_share: float = MAX_BAD_SHARE,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[TrainingData, TableReport]:
    """Training data from a table of captions. A picture may be in several rows; some are held out for validation.

    Args:
        path: rows `caption<TAB>image`; see `index.tables.read_rows`.
        model: its frozen encoder computes the features.
        store: folder of the feature store; features that it already holds are not computed again.
        images_root: where relative image paths count from; None is the table's folder.
        max_bad_share: a larger share of bad rows is an error.
        seed: of the validation split.
        progress: called with (pictures done, rows in all).

    Raises:
        DataError: too many rows are bad.
        StoreError: there is no such table, or the store can't be written.
    """
    reader = TsvReader(path, base=images_root, fault=caption_faults(model))
    report = build_store(
        reader,
        lambda images: _features(model, images),
        store,
        encoder_fingerprint=model.vision.fingerprint(),
        progress=progress,
    )
    opened = FeatureStore.open(store)
    row_of = {source: id for id, source, _ in opened.iter_rows()}
    reasons = {bad.source: bad.reason for bad in report.bad}
    captions: list[tuple[str, int]] = []
    bad: list[str] = []
    for picture in reader:
        if picture.problem:
            bad.append(f"{picture.place}: {picture.problem}.")
        elif not picture.caption:
            bad.append(f"{picture.place}: it has no caption.")
        elif picture.source not in row_of:
            bad.append(f"{picture.place}: {reasons.get(picture.source, 'The picture was not read.')}")
        else:
            captions.append((picture.caption, row_of[picture.source]))
    result = _report(captions, bad, path, max_bad_share)
    return _split(opened.features, captions, model, seed), result


def read_store(
    path: Path, model: Fromage, seed: int = 0, *, max_bad_share: float = MAX_BAD_SHARE
) -> tuple[TrainingData, TableReport]:
    """Training data from the pictures of a feature store (`fromage-lite index`) that have captions.

    Raises:
        DataError: no picture in it has a caption, or too many captions can't be used.
        FingerprintError: another encoder made the features.
        StoreError: there is no store, or it is damaged.
    """
    store = FeatureStore.open(path)
    if store.encoder_fingerprint != model.vision.fingerprint():
        raise FingerprintError(
            f"The features in {path} were made by another image encoder.",
            "Name the encoder that made them with --vision-encoder, or rebuild the store.",
        )
    fault_of = caption_faults(model)
    captions: list[tuple[str, int]] = []
    bad: list[str] = []
    for id, source, caption in store.iter_rows():
        if caption and (fault := fault_of(caption)):
            bad.append(f"{source}: {fault}.")
        elif caption:
            captions.append((caption, id))
    if not captions and not bad:
        raise DataError(f"No picture in {path} has a caption.", "Build the store from a table of captions.")
    result = _report(captions, bad, path, max_bad_share)
    return _split(store.features, captions, model, seed), result


def _report(captions: list[tuple[str, int]], bad: list[str], path: Path, max_bad_share: float) -> TableReport:
    """Raises DataError: more than `max_bad_share` of the rows are bad, or all of them."""
    total = len(captions) + len(bad)
    if not captions or len(bad) > max_bad_share * total:
        first = f" The first: {bad[0]}" if bad else ""
        raise DataError(
            f"{len(bad)} of {total} rows of {path} can't be used.{first}",
            "Fix the table, or allow more with --max-bad.",
        )
    return TableReport(len(captions), len(bad), bad[0] if bad else "")


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


def _features(model: Fromage, images: list[Image.Image]) -> npt.NDArray[np.float32]:
    return model.image_features(images).pooled.cpu().numpy()


def _split(
    features: npt.NDArray[np.floating], captions: list[tuple[str, int]], model: Fromage, seed: int
) -> TrainingData:
    """Holds out some pictures with all of their captions."""
    rows = np.unique([row for _, row in captions])
    count = min(VALIDATION_MOST, int(VALIDATION_SHARE * len(rows)))
    held_out = set(np.random.default_rng(seed).choice(rows, size=count, replace=False).tolist())
    digest = hashlib.sha256(model.vision.fingerprint().encode())
    for caption, row in captions:
        digest.update(f"{row}\t{caption}\n".encode())
    validation = [pair for pair in captions if pair[1] in held_out]
    return TrainingData(
        features,
        [pair for pair in captions if pair[1] not in held_out],
        validation=TrainingData(features, validation) if validation else None,
        fingerprint=digest.hexdigest()[:16],
    )
