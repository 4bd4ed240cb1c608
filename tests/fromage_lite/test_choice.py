"""Which model answers where none is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from fromage_lite.choice import (
    lasting_name,
    maker,
    model_for_folder,
    model_for_index,
    model_for_pictures,
    model_to_search,
)
from fromage_lite.config import default_model, playground_dir
from fromage_lite.errors import ConfigError
from index.paths import index_of
from index.store.manifest import INDEX_MANIFEST

PHOTOGRAPH, SCENE = (10, 20), (20, 10)  # sizes by which these tests tell them apart


@pytest.fixture(autouse=True)
def told_by_their_shape(monkeypatch):
    monkeypatch.setattr("fromage_lite.playground.world.recognition.is_scene", lambda image: image.height <= image.width)


@pytest.fixture
def both_shipped(tmp_path, monkeypatch):
    for name in ("photos", "playground"):
        (tmp_path / "shipped" / name).mkdir(parents=True)
    monkeypatch.setattr("fromage_lite.config.shipped_dir", lambda name: tmp_path / "shipped" / name)


@pytest.fixture
def drawn(tmp_path):
    """Writes pictures of these sizes; returns their paths."""

    def draw(*sizes):
        paths = []
        for number, size in enumerate(sizes):
            paths.append(str(tmp_path / f"{number:03}.png"))
            Image.new("RGB", size).save(paths[-1])
        return paths

    return draw


def test_the_default_is_photos_once_it_is_shipped(both_shipped, tmp_path):
    assert default_model() == model_for_index(None) == model_for_index("none") == "photos"
    (tmp_path / "shipped" / "photos").rmdir()
    assert default_model() == model_for_index(None) == "playground"


def test_pictures_of_one_kind_choose_the_model(both_shipped, drawn, tmp_path):
    a, b, c = drawn(PHOTOGRAPH, SCENE, PHOTOGRAPH)
    assert model_for_pictures([a, c]) == "photos"
    assert model_for_pictures([b]) == "playground"
    assert model_for_pictures([a, b]) == model_for_pictures([]) == "", "mixed pictures choose nothing"
    (tmp_path / "text.png").write_text("no picture")
    assert model_for_pictures([tmp_path / "text.png"]) == ""
    assert model_for_pictures([tmp_path / "text.png", tmp_path / "gone.png", b]) == "playground"


def test_photographs_choose_nothing_while_their_model_is_not_shipped(drawn, monkeypatch, tmp_path):
    (tmp_path / "shipped" / "playground").mkdir(parents=True)
    monkeypatch.setattr("fromage_lite.config.shipped_dir", lambda name: tmp_path / "shipped" / name)
    paths = drawn(PHOTOGRAPH)
    assert model_for_pictures(paths) == ""
    choice = model_for_folder(paths)
    assert choice.model == "playground" and "photographs need another --model" in choice.why


@pytest.mark.parametrize(
    ("photographs", "scenes", "model", "why"),
    [
        (3, 0, "photos", "All 3 pictures looked at are photographs: indexed with the model photos."),
        (2, 1, "photos", "2 of the 3 pictures looked at are photographs: indexed with the model photos."),
        (1, 2, "playground", "2 of the 3 pictures looked at are the playground's: indexed with the model playground."),
    ],
)
def test_a_folder_is_indexed_with_the_model_of_most_of_its_pictures(
    both_shipped, drawn, photographs, scenes, model, why
):
    choice = model_for_folder(drawn(*[PHOTOGRAPH] * photographs, *[SCENE] * scenes))
    assert (choice.model, choice.why) == (model, why)


def test_a_few_pictures_are_looked_at_from_all_over_a_folder(both_shipped, drawn, monkeypatch):
    opened = []

    def open_image(path):
        opened.append(int(Path(path).stem))
        return Image.new("RGB", PHOTOGRAPH)

    monkeypatch.setattr("fromage_lite.choice.open_image", open_image)
    model_for_folder(f"{number}.png" for number in range(1200))
    assert opened == list(range(0, 1200, 100))


def test_an_index_says_who_made_it_or_began_to(tiny_checkpoint, tmp_path):
    assert maker(tmp_path) == "" and model_for_index(tmp_path) == default_model()
    (tmp_path / "index.json").write_text(json.dumps({"format": "fromage-lite-index", "model": 3}))
    assert maker(tmp_path) == "", "a damaged manifest names nobody"


def test_what_a_manifest_names_is_never_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr("fromage_lite.choice.maker", lambda index: "someone/elses\n\x1b[31m")
    with pytest.raises(ConfigError, match="not on this computer") as error:
        model_for_index(tmp_path)
    assert "\x1b" not in str(error.value) and error.value.hint == "Name a model: --model."


def test_a_name_that_lasts_means_the_same_from_every_folder(tiny_checkpoint, tmp_path, monkeypatch):
    assert lasting_name("playground") == lasting_name(playground_dir()) == "playground"
    assert lasting_name(playground_dir() / "fromage") == str(playground_dir() / "fromage")
    assert lasting_name("someone/a-model") == "someone/a-model"
    monkeypatch.chdir(tiny_checkpoint.parent)
    assert lasting_name(tiny_checkpoint.name) == str(tiny_checkpoint)


def test_a_search_has_pictures_to_find(both_shipped, drawn, tmp_path, monkeypatch):
    own = tmp_path / "Pictures"
    own.mkdir()
    monkeypatch.setenv("XDG_PICTURES_DIR", str(own))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert model_to_search([]) == model_to_search(drawn(SCENE)) == "playground"
    assert model_to_search(drawn(PHOTOGRAPH)) == "photos"
    index = index_of(own, "photos")
    index.mkdir(parents=True)
    (index / INDEX_MANIFEST).write_text("{}")
    assert model_to_search([]) == "photos"
