"""Which model an index is made with, where the user names none or the wrong one; and the command that goes on."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from fromage_lite.choice import sources_to_look_at
from fromage_lite.config import default_model
from fromage_lite.errors import ConfigError
from fromage_lite.indexing import index_pictures
from index.building.ray_engine import RayOptions
from index.search.policy import IndexOptions
from index.sources.download import Downloader
from index.sources.recognise import SourceOptions, open_source
from index.store.unfinished import begun_with


def png(size: tuple[int, int]) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, "navy").save(written, "PNG")
    return written.getvalue()


@pytest.fixture
def loaded(monkeypatch, tiny_model):
    """The names of the models that are loaded; each is the tiny one."""
    names: list[str] = []
    monkeypatch.setattr("fromage_lite.indexing.load_model", lambda name, device: names.append(name) or tiny_model)
    return names


@pytest.fixture
def tar(tmp_path):
    """Twenty scenes of the playground's size, then a photograph."""
    path = tmp_path / "pictures.tar"
    with tarfile.open(path, "w") as file:
        for number in range(21):
            data = png((64, 64 + number))
            header = tarfile.TarInfo(f"{number:03d}.png")
            header.size = len(data)
            file.addfile(header, io.BytesIO(data))
    return path


def test_a_tar_is_indexed_for_the_model_of_its_first_pictures(loaded, tar, tmp_path, monkeypatch):
    monkeypatch.setattr("fromage_lite.playground.world.recognition.is_scene", lambda image: True)
    told: list[str] = []
    report, manifest = index_pictures(tar, tmp_path / "index", notice=told.append)
    assert report.total == 21 and loaded == ["playground"] and manifest.model == "playground"
    assert told == ["All 12 pictures looked at are the playground's: indexed with the model playground."]
    assert [source.rpartition("#")[2] for source in sources_to_look_at(open_source(tar))] == [
        f"{number:03d}.png" for number in range(12)
    ]
    told.clear()
    index_pictures(tar, tmp_path / "index", notice=told.append)
    assert told == [], "the index knows its model"


def test_nothing_is_fetched_to_choose_the_model(loaded, tmp_path, monkeypatch):
    table = tmp_path / "web.tsv"
    table.write_text("".join(f"picture {n}\thttp://localhost:9/{n}.png\n" for n in range(3)))
    fetched: list[str] = []

    def fetch(downloader, address):
        assert loaded == [default_model()]
        fetched.append(address)
        return png((40, 40 + len(fetched)))

    monkeypatch.setattr(Downloader, "__call__", fetch)
    report, _ = index_pictures(table, tmp_path / "index")
    assert report.total == 3 and len(fetched) == 3


def test_who_names_the_playground_for_photographs_is_told(loaded, tar, tmp_path, monkeypatch):
    told: list[str] = []
    is_scene = False
    monkeypatch.setattr("fromage_lite.playground.world.recognition.is_scene", lambda image: is_scene)
    index_pictures(tar, tmp_path / "index", "playground", notice=told.append)
    assert told == ["The playground's model knows its pictograms only; photographs need another --model."]
    is_scene = True
    index_pictures(tar, tmp_path / "index", "playground", notice=told.append)
    index_pictures(tar, tmp_path / "other", "someone/else", notice=told.append)
    assert len(told) == 1 and loaded == ["playground", "playground", "someone/else"]


def test_the_command_that_goes_on_asks_for_the_same_index_from_every_folder(loaded, tar, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = IndexOptions(recall=0.9, compact=True, kind="Flat")
    index_pictures(Path("pictures.tar"), tmp_path / "index", "someone/else", index_options=wanted)
    options = ["--recall", "0.9", "--compact", "--factory", "Flat"]
    assert begun_with(tmp_path / "index") == [str(tar), *options, "--model", "someone/else"]
    assert RayOptions(shards="parts").words() == ["--engine", "ray", "--shards", str(tmp_path / "parts")]
    assert RayOptions(shards="s3://bucket/parts").words()[-1] == "s3://bucket/parts"


def test_a_data_set_keeps_its_name_in_the_command_that_goes_on(loaded, tar, tmp_path, monkeypatch):
    monkeypatch.setattr("fromage_lite.indexing.open_sources", lambda paths, options: open_source(tar))
    index_pictures(Path("owner/name"), tmp_path / "index", "someone/else", options=SourceOptions(split="train"))
    assert begun_with(tmp_path / "index") == ["owner/name", "--split", "train", "--model", "someone/else"]


def test_a_data_set_by_name_is_refused_before_a_cluster_is_asked(tmp_path):
    with pytest.raises(ConfigError, match="A Ray cluster reads no data set by its name"):
        index_pictures(Path("owner/name"), tmp_path, options=SourceOptions(split="train"), ray=RayOptions())
