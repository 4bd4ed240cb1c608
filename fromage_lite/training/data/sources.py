"""Where training data comes from: a table of captions, a feature store, or the caller of the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fromage_lite.model.fromage import Fromage
from fromage_lite.progress import progress_bar
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.data.tables import read_store, read_table
from fromage_lite.training.data.visual import with_visual_features
from fromage_lite.training.recipe import Recipe

DataSource = Callable[[Fromage, Recipe, int], tuple[TrainingData, str]]
"""Makes the data of a run that names no file, from model, recipe and seed; also returns a sentence about it."""


def file_data(
    path: Path, model: Fromage, store: Path, *, images_root: Path | None, max_bad_share: float, seed: int
) -> tuple[TrainingData, str]:
    """Data from a table `caption<TAB>image` or from a store's folder, and a sentence about what was read.

    Raises:
        FromageError: there is nothing usable, or too many rows are bad.
    """
    if path.is_dir():
        data, report = read_store(path, model, seed, max_bad_share=max_bad_share)
        where = f"the feature store {path}"
    else:
        with progress_bar("Computing image features", "image") as progress:
            data, report = read_table(
                path, model, store, images_root=images_root, max_bad_share=max_bad_share, seed=seed, progress=progress
            )
        where = str(path)
    if model.config.visual_input != "pooled":
        rows = path if path.is_dir() else store
        with progress_bar("Computing image features once more, by patches or layers", "image") as progress:
            data = with_visual_features(data, model, rows, store.parent, progress)
    said = f"{report.used} captions from {where}."
    if report.bad:
        count = "1 bad row was" if report.bad == 1 else f"{report.bad} bad rows were"
        said += f" {count} left out; the first: {report.example}"
    return data, said
