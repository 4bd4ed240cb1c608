"""Where training data comes from: a table of captions, a feature store, or whoever starts the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.data.tables import read_store, read_table
from fromage_lite.training.recipe import Recipe

DataSource = Callable[[Fromage, Recipe, int], tuple[TrainingData, str]]
"""Makes the data of a run that names no file, from model, recipe and seed; with a sentence on what it is."""


def file_data(
    path: Path, model: Fromage, store: Path, *, images_root: Path | None, max_bad_share: float, seed: int
) -> tuple[TrainingData, str]:
    """Data from a table `caption<TAB>image`, or from a store's folder; and a sentence on what was read.

    Raises:
        FromageError: nothing usable is there, or too many rows are bad.
    """
    if path.is_dir():
        data, report = read_store(path, model, seed, max_bad_share=max_bad_share)
        where = f"the feature store {path}"
    else:
        with counting("Computing image features") as progress:
            data, report = read_table(
                path, model, store, images_root=images_root, max_bad_share=max_bad_share, seed=seed, progress=progress
            )
        where = str(path)
    said = f"{report.used} captions from {where}."
    if report.bad:
        count = "1 bad row was" if report.bad == 1 else f"{report.bad} bad rows were"
        said += f" {count} left out; the first: {report.example}"
    return data, said


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, driven by (done, total)."""
    with tqdm(desc=what, unit="image", dynamic_ncols=True) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress
