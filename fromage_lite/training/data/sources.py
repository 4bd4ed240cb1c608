"""Where training data comes from: whatever `fromage-lite index` reads, a feature store, or the caller of the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from fromage_lite.errors import DataError
from fromage_lite.model.fromage import Fromage
from fromage_lite.progress import progress_bar
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.data.streaming import stream_data
from fromage_lite.training.data.tables import Split, TableReport, read_source, read_store
from fromage_lite.training.options import RunOptions
from fromage_lite.training.recipe import Recipe
from index.sources.recognise import open_source
from index.store.manifest import STORE_MANIFEST

DataSource = Callable[[Fromage, Recipe, int], tuple[TrainingData, str]]
"""Makes the data of a run that names no file, from model, recipe and seed; also returns a sentence about it."""
FEATURES, VALIDATION_FEATURES = "features", "features-validation"
"""Folders of the run with the features of what is not a store yet."""


def check_sources(options: RunOptions) -> None:
    """Before a model is loaded, so that a mistyped name fails at once.

    Raises:
        FromageError: there is nothing to read where the options say.
    """
    for path in (options.data, options.val_data):
        if path is not None and not is_store(path):
            open_source(path)


def file_data(options: RunOptions, model: Fromage, out: Path) -> tuple[TrainingData, str]:
    """The data that the options name, and what was read in words.

    Args:
        options: `data`, and how it is read and held out.
        model: its frozen encoder computes the features.
        out: the run's folder, which gets the features.

    Raises:
        FromageError: there is nothing usable, or too many rows are bad.
    """
    assert options.data is not None
    if options.stream:
        held_out = None
        if options.val_data is not None:
            held_out, _ = _read(options.val_data, model, out / VALIDATION_FEATURES, options, None)
        data = stream_data(options.data, model, held_out, options.crop)
        return data, f"Pictures streamed from {options.data}."
    split = None if options.val_data is not None else Split(options.val_share, options.seed)
    data, said = _read(options.data, model, out / FEATURES, options, split)
    if options.val_data is None:
        return data, said
    held_out, more = _read(options.val_data, model, out / VALIDATION_FEATURES, options, None)
    fingerprint = f"{data.fingerprint}+{held_out.fingerprint}"
    return dataclasses.replace(data, validation=held_out, fingerprint=fingerprint), f"{said} Held out: {more}"


def is_store(path: Path) -> bool:
    """Whether there is a finished feature store, as `fromage-lite index` makes it."""
    return (path / STORE_MANIFEST).is_file()


def _read(
    path: Path, model: Fromage, store: Path, options: RunOptions, split: Split | None
) -> tuple[TrainingData, str]:
    if is_store(path):
        data, report = read_store(path, model, max_bad_share=options.max_bad_share, split=split)
        return data, _sentence(f"the feature store {path}", report)
    if store.resolve() == path.resolve():
        raise DataError(f"{path} is where the run keeps its features.", "Name another --out.")
    with progress_bar("Computing image features", "image") as progress:
        data, report = read_source(
            path,
            model,
            store,
            images_root=options.images_root,
            max_bad_share=options.max_bad_share,
            split=split,
            progress=progress,
        )
    return data, _sentence(str(path), report)


def _sentence(where: str, report: TableReport) -> str:
    said = f"{report.used} captions from {where}."
    if not report.bad:
        return said
    count = "1 bad row was" if report.bad == 1 else f"{report.bad} bad rows were"
    causes = ", ".join(f"{number} x {cause}" for cause, number in list(report.causes.items())[:5])
    return f"{said} {count} left out ({causes}); the first: {report.example}"
