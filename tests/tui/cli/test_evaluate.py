"""`fromage-lite evaluate`: what it measures by default, and where its figures go."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fromage_lite.config import playground_dir
from tests.tui.command_line import call
from tui.cli import console


@pytest.fixture
def measured(monkeypatch):
    """The folders that were evaluated, with the options."""
    asked = []

    def evaluate(folder, *, report, progress, **options):
        asked.append((folder, options))
        progress("Measuring captions, 3 of 15 …")
        report("vqa 0.912")
        return {"vqa": 0.912345, "t2i_r1": 0.5}

    monkeypatch.setattr("fromage_lite.playground.evaluation.run.evaluate_playground", evaluate)
    return asked


def test_the_shipped_models_wherever_they_are(measured, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    shutil.copy(playground_dir() / "fromage" / "config.json", tmp_path / "mine")
    assert call("evaluate").exit_code == 0
    assert call("evaluate", "--model", "mine", "--n", "20", "--device", "cpu", "--quantize", "int8").exit_code == 0
    (shipped, _), (mine, options) = measured
    assert shipped == playground_dir() and shipped.is_absolute()
    assert mine == Path("mine") and (options["n"], options["n_retrieval"], options["seed"]) == (20, 1000, 1)
    assert (options["device"], options["dtype"], options["quantize"]) == ("cpu", "auto", "int8")


def test_figures_on_stdout_and_in_the_file_are_the_same(measured, tmp_path):
    file = tmp_path / "figures.json"
    result = call("evaluate", "--json", str(file))
    assert json.loads(result.stdout) == {"vqa": 0.9123, "t2i_r1": 0.5}
    assert file.read_text() == result.stdout
    assert result.stderr == "vqa 0.912\n"


def test_what_is_being_measured_stands_on_a_line_of_its_own(measured, monkeypatch):
    monkeypatch.setattr(console.StatusLine, "PATIENCE", -1.0)
    assert call("evaluate").stderr == "Measuring captions, 3 of 15 …\nvqa 0.912\n"


def test_a_file_that_cannot_be_written_is_one_line(measured, tmp_path):
    result = call("evaluate", "--json", str(tmp_path))
    assert result.exit_code == 2 and str(tmp_path) in result.stderr.splitlines()[-1]
