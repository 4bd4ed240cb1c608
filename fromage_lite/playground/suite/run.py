"""The whole suite: data, tasks, ablations, report."""

from __future__ import annotations

from pathlib import Path

from fromage_lite.errors import StoreError
from fromage_lite.evaluate.extra import PLOTS, SCORES, need
from fromage_lite.evaluate.report.writing import write_report
from fromage_lite.playground.suite.measuring import measure_ablations, measure_tasks, read_data
from fromage_lite.playground.suite.report import make_report
from fromage_lite.playground.suite.stages import Suite, SuiteOptions
from fromage_lite.playground.suite.writing import IMAGES
from fromage_lite.progress import Report, ignore
from index.errors import reason


def run_suite(options: SuiteOptions, report: Report = ignore) -> Path:
    """Measures everything that is not measured yet, and writes the report; returns its HTML page.

    An interrupted run goes on where it stopped: finished stages are kept in `stages/`, and the training of a bridge
    resumes.

    Args:
        options: what is measured, and where everything is written.
        report: gets a line a stage.

    Raises:
        CheckpointError: the model is no playground bridge.
        ConfigError: a package of the extra `evaluate` is missing.
        StoreError: the folder can't be written.
    """
    need((*SCORES, *PLOTS))
    suite = Suite(options, report)
    try:
        suite.write_data()
        data = read_data(suite)
        tasks = measure_tasks(suite, data)
        ablations = measure_ablations(suite, data)
    except OSError as error:
        raise StoreError(f"{options.out} can't be written: {reason(error)}.", "Name another --out.") from error

    def path_of(id: str) -> Path:
        return suite.data / IMAGES / f"{id}.png"

    return write_report(make_report(suite, tasks, ablations), options.out, path_of)
