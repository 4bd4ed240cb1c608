"""A task from files to a report, with a random model."""

import json

import pytest

from fromage_lite.errors import ConfigError, DataError
from fromage_lite.evaluate.options import TaskOptions
from fromage_lite.evaluate.run import run_task
from fromage_lite.playground.suite.run import run_suite
from fromage_lite.playground.suite.stages import SuiteOptions


@pytest.fixture
def coco(tmp_path, pictures):
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    for number, picture in enumerate(pictures):
        picture.save(folder / "images" / f"{number}.png")
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(5)]  # the last is not there
    annotations = [{"image_id": number, "caption": f"a picture of {number}"} for number in range(5)]
    file = folder / "captions.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations}))
    return file


def test_report_and_result(coco, tiny_checkpoint, tmp_path):
    said = []
    options = TaskOptions(task="captions", data=coco, beams="1", limit=5)
    result = run_task(options, str(tiny_checkpoint), out=tmp_path / "out", seed=2, device="cpu", report=said.append)
    assert result.counts == {"evaluated": 4, "missing": 1}
    assert said == ["Pictures left out: 1 missing, 0 that can't be opened."]
    kept = json.loads((tmp_path / "out" / "result.json").read_text())
    assert kept["figures"]["greedy/cider_d"]["n"] == 4 and kept["task"] == "captions"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "greedy/bleu_4" in page and f"--beams 1 --limit 5 --model {tiny_checkpoint}" in page
    assert (tmp_path / "out" / "features.npz").exists()


def test_a_task_without_a_report_writes_nothing(coco, tiny_checkpoint, tmp_path):
    run_task(TaskOptions(task="retrieval", data=coco), str(tiny_checkpoint), device="cpu")
    assert sorted(path.name for path in coco.parent.iterdir()) == ["captions.json", "images"]


def test_a_damaged_file_is_told_before_the_model_loads(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    for task in ("captions", "stories", "answers", "questions"):
        with pytest.raises(DataError):
            run_task(TaskOptions(task=task, data=tmp_path / "x.json"), "no such model")


@pytest.mark.parametrize(
    "given", [{"task": "poems"}, {"task": "captions"}, {"task": "questions", "shots": "-1"}, {"limit": 0}]
)
def test_options_that_do_not_hold(given, tmp_path):
    with pytest.raises(ConfigError):
        TaskOptions(**{"task": "captions", "data": None if given == {"task": "captions"} else tmp_path, **given})


def test_what_is_not_installed_is_told_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("fromage_lite.evaluate.extra.find_spec", lambda name: None)
    suite = SuiteOptions(model=tmp_path, out=tmp_path / "out")
    captions = TaskOptions(task="captions", data=tmp_path / "none.json")
    for measure in (lambda: run_task(captions, "no such model"), lambda: run_suite(suite)):
        with pytest.raises(ConfigError, match=r"needs nltk and sacrebleu.*\[evaluate\]"):
            measure()
    assert not (tmp_path / "out").exists()
