"""Files of questions in the format of VQA v2, and the playground's own one."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from PIL import Image

from fromage_lite.config import playground_dir
from fromage_lite.errors import DataError, ImageError
from fromage_lite.evaluate.vqa import Question, VqaFile, same_answer
from fromage_lite.playground import vqa
from fromage_lite.playground.world.scene import HELD_OUT_SEED, is_trainable


def write(path: Path, data: object) -> Path:
    path.write_text(json.dumps(data))
    return path


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """Two files with the names, keys and picture names of VQA v2."""
    folder = tmp_path / "vqa"
    folder.mkdir()
    questions = [{"image_id": 262148, "question": "Where is he looking?", "question_id": 262148000},
                 {"image_id": 262148, "question": "No answer?", "question_id": 262148001},
                 {"image_id": 393225, "question": "What is it?", "question_id": 393225000}]  # fmt: skip
    annotations = [
        {"question_type": "none of the above", "multiple_choice_answer": "down", "image_id": 262148,
         "answers": [{"answer": "down", "answer_confidence": "yes", "answer_id": 1}], "question_id": 262148000},
        {"image_id": 393225, "question_id": 393225000,
         "answers": [{"answer": "soup"}, {"answer": "a stew"}, {"answer": "soup"}]},
    ]  # fmt: skip
    write(folder / "v2_mscoco_val2014_annotations.json", {"annotations": annotations})
    return write(folder / "v2_OpenEnded_mscoco_val2014_questions.json", {"questions": questions})


def test_the_official_files_are_read_together(official: Path) -> None:
    file = VqaFile.read(official)
    assert file.questions == (
        Question("262148000", "262148", "Where is he looking?", "down"),
        Question("393225000", "393225", "What is it?", "soup"),
    )


@pytest.mark.parametrize("name", ["COCO_val2014_000000262148.jpg", "images/000000262148.jpg", "262148.png"])
def test_pictures_are_found_by_their_usual_names(official: Path, name: str) -> None:
    path = official.parent / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    file = VqaFile.read(official)
    assert file.picture(file.questions[0]) == path
    with pytest.raises(ImageError, match="393225"):
        file.picture(file.questions[1])


def test_pictures_are_looked_for_in_the_named_folder_only_and_never_above_it(official: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.touch()
    path = write(tmp_path / "one.json", {
        "images": [{"id": "a", "file_name": "../secret.png"}, {"id": "b", "file_name": str(secret)}],
        "questions": [{"question_id": i, "image_id": i, "question": "?"} for i in "ab"],
        "annotations": [{"question_id": i, "answer": "yes"} for i in "ab"],
    })  # fmt: skip
    file = VqaFile.read(path, official.parent)
    for question in file.questions:
        with pytest.raises(ImageError):
            file.picture(question)


@pytest.mark.parametrize(
    "data",
    [[], {}, {"questions": []}, {"questions": [], "annotations": []}, {"questions": [1], "annotations": [2]},
     {"questions": [{"question_id": 1}], "annotations": [{"question_id": 1, "answer": "x"}]},
     {"questions": 3, "annotations": []}],
)  # fmt: skip
def test_files_of_another_form_are_refused(tmp_path: Path, data: object) -> None:
    with pytest.raises(DataError):
        VqaFile.read(write(tmp_path / "a.json", data))


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        VqaFile.read(tmp_path / "no.json")
    (tmp_path / "broken.json").write_text("{" * 5)
    with pytest.raises(DataError, match="can't be read"):
        VqaFile.read(tmp_path / "broken.json")


def test_answers_are_compared_as_people_would() -> None:
    assert same_answer(" Two.", "two") and same_answer("2", "two") and same_answer("A big cat!", "big cat")
    assert not same_answer("a cat", "two cats") and not same_answer("", "yes")


def test_the_shipped_file_is_what_the_generator_makes_and_small(tmp_path: Path) -> None:
    shipped = playground_dir() / "vqa.json"
    vqa.write_vqa(tmp_path / "vqa.json")
    assert shipped.read_bytes() == (tmp_path / "vqa.json").read_bytes()
    assert shipped.stat().st_size < 100_000


def test_its_pictures_are_held_out_scenes_drawn_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = vqa.make_vqa()
    assert all(entry["seed"] >= HELD_OUT_SEED and is_trainable(vqa._scene(entry["scene"])) for entry in data["images"])
    kinds = {entry["question_type"] for entry in data["annotations"]}
    assert len(data["questions"]) == vqa.COUNT and len(kinds) >= 9
    file = vqa.open_questions()
    question = file.draw(random.Random(1))
    path = file.picture(question)
    assert tmp_path in path.parents
    with Image.open(path) as picture:
        assert picture.size == (224, 224)
    before = path.stat().st_mtime_ns
    assert file.picture(question) == path and path.stat().st_mtime_ns == before


@pytest.mark.parametrize("scene", [{}, {"setting": "hell", "groups": []}, {"setting": "beach", "groups": [["cat"]]},
                                   {"setting": "beach", "groups": [["cat", 99, "big", ""]]}])  # fmt: skip
def test_a_scene_that_cannot_be_drawn_is_an_error_of_ours(scene: dict) -> None:
    with pytest.raises(ImageError):
        vqa.picture_of({"id": 1, "seed": 5, "scene": scene})
