"""Features beyond the pooled one, for bridges that take patches or several layers: computed once, kept in one file."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fromage_lite.errors import DataError
from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.interleaved import TrainingData
from index.errors import ImageError, reason
from index.files import replacing
from index.images import open_image
from index.progress import Progress
from index.store import FeatureStore

_AT_ONCE = 32


def with_visual_features(
    data: TrainingData, model: Fromage, store: Path, folder: Path, progress: Progress | None = None
) -> TrainingData:
    """Data over the pooled features of a store, with what the model's bridge takes in their place.

    Args:
        data: its rows are those of the store.
        model: takes patches or layers.
        store: the feature store's folder, which knows where the pictures are.
        folder: where the features are kept, as one array (rows, P, dim) in float16.
        progress: called with (pictures done, pictures in all).

    Raises:
        DataError: the disk is too small for them, or a picture can't be read any more.
    """
    config = model.config
    kind = f"{model.vision.fingerprint()} {config.visual_input} {config.encoder_layers} {data.fingerprint}"
    file = folder / f"visual-{hashlib.sha256(kind.encode()).hexdigest()[:12]}.npy"
    if not file.exists():
        _write(file, model, store, len(data.features), progress)
    features: npt.NDArray[np.float16] = np.load(file, mmap_mode="r", allow_pickle=False)
    held_out = data.validation
    validation = None if held_out is None else dataclasses.replace(held_out, features=features)
    return dataclasses.replace(data, features=features, validation=validation)


def _write(file: Path, model: Fromage, store: Path, count: int, progress: Progress | None) -> None:
    rows = [(id, source) for id, source, _ in FeatureStore.open(store).iter_rows()]
    first = _features(model, rows[:1])
    shape = (count, *first.shape[1:])
    needed = 2 * int(np.prod(shape, dtype=np.int64))
    file.parent.mkdir(parents=True, exist_ok=True)
    if needed > shutil.disk_usage(file.parent).free:
        raise DataError(
            f"The features of {count:,} pictures take {needed / 1e9:.0f} GB, more than is free in {file.parent}.",
            "Use fewer pictures, or another --out.",
        )
    try:
        with replacing(file) as temporary:
            kept = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
            for start in range(0, len(rows), _AT_ONCE):
                part = rows[start : start + _AT_ONCE]
                kept[[id for id, _ in part]] = _features(model, part)
                if progress is not None:
                    progress(start + len(part), len(rows))
            kept.flush()
    except OSError as error:
        raise DataError(f"The features can't be written to {file}: {reason(error)}.") from error


def _features(model: Fromage, rows: list[tuple[int, str]]) -> npt.NDArray[np.float16]:
    try:
        images = [open_image(source) for _, source in rows]
    except ImageError as error:
        raise DataError(
            f"A picture can't be read any more: {error.message}", "Start again with --overwrite."
        ) from error
    features: npt.NDArray[np.float16] = model.visual_features(images).cpu().numpy().astype(np.float16)
    return features
