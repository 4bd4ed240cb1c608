"""`fromage-lite evaluate`: what it measures by default, and where its figures go."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fromage_lite.config import playground_dir, shipped_dir
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


# --- on data sets, and the paper in miniature ---


@pytest.fixture
def tasks(monkeypatch):
    """The tasks that were run, with their options."""
    from fromage_lite.evaluate.intervals import Figure
    from fromage_lite.evaluate.tasks.result import TaskResult

    asked = []

    def run(options, model, *, seed, report, **_):
        asked.append((options, model, seed))
        report("1 picture is missing")
        return TaskResult({"greedy/cider_d": Figure(1.23456, 1.0, 1.5, 10)}, {"evaluated": 10})

    monkeypatch.setattr("fromage_lite.evaluate.run.run_task", run)
    return asked


def test_a_task_on_a_data_set(tasks, tmp_path):
    data, pictures = tmp_path / "captions_val2014.json", tmp_path / "val2014"
    result = call(
        "evaluate", "--task", "captions", "--data", str(data), "--images", str(pictures), "--beams", "1,5",
        "--model", "mine", "--limit", "7", "--seed", "3",
    )  # fmt: skip
    assert json.loads(result.stdout) == {"greedy/cider_d": 1.2346}
    assert "evaluated: 10" in result.stderr and "1 picture is missing" in result.stderr
    ((options, model, seed),) = tasks
    assert (options.task, options.data, options.images, model) == ("captions", data, [pictures], "mine")
    assert (options.beam_counts, options.limit, seed, options.shot_counts) == ((1, 5), 7, 3, (0, 1, 2, 4, 8))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--task", "captions"], "--data"),
        (["--task", "poems", "--data", "x.json"], "captions, retrieval"),
        (["--task", "captions", "--suite", "paper", "--data", "x.json"], "one of them"),
        (["--suite", "paper"], "--out"),
        (["--suite", "novel", "--out", "x"], "paper"),
        (["--suite", "paper", "--out", "x", "--model", str(shipped_dir("photos"))], "sees photographs"),
        (["--task", "captions", "--data", "x.json", "--beams", "0"], "beams must"),
        (["--task", "questions", "--data", "x.json", "--shots", "a,b"], "shots must"),
        (["--task", "captions", "--data", "x.json", "--as-original"], "--as-original"),
        (["--task", "captions", "--data", "no such file.json"], "There is no file"),
    ],
)
def test_what_does_not_go_together_is_one_line(arguments, said):
    result = call("evaluate", *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert said in result.stderr and "Traceback" not in result.stderr


def test_the_suite_says_where_its_report_is(monkeypatch, tmp_path):
    asked = []

    def run(options, report):
        asked.append(options)
        report("captions: 30 s")
        return tmp_path / "report.html"

    monkeypatch.setattr("fromage_lite.playground.suite.run.run_suite", run)
    result = call("evaluate", "--suite", "paper", "--out", str(tmp_path), "--steps", "9", "--seed", "4")
    assert json.loads(result.stdout) == {"report": str(tmp_path / "report.html")}
    (options,) = asked
    assert (options.model, options.out, options.steps, options.seed) == (playground_dir(), tmp_path, 9, 4)
