"""From names and options to an agent."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from fromage_lite.config import LoadOptions
from fromage_lite.errors import CheckpointError, ConfigError, FingerprintError, StoreError
from fromage_lite.start import load_agent
from index.paths import index_of


def test_a_model_and_its_index_are_joined(tiny_checkpoint, index, tiny_model):
    told = []
    agent = load_agent(LoadOptions(str(tiny_checkpoint), str(index), "cpu"), progress=told.append)
    assert agent.index_size == 4 and agent.index_path == index
    assert agent.device == "cpu"
    assert agent.model_name == tiny_checkpoint.name
    assert told and tiny_checkpoint.name in told[0]
    facts = agent.describe()
    assert facts["fingerprint"] == tiny_model.fingerprint()
    assert (facts["index_size"], facts["dtype"], facts["max_positions"]) == (4, "float32", 128)


def test_an_index_of_another_model_is_refused(index, tiny_model, tmp_path):
    tiny_model.bridge.logit_scale.data += 1
    tiny_model.save_pretrained(tmp_path / "other")
    with pytest.raises(FingerprintError, match=str(tmp_path / "other")):
        load_agent(LoadOptions(str(tmp_path / "other"), str(index), "cpu"))


def test_what_is_missing_is_said(tiny_checkpoint, tmp_path):
    model = str(tiny_checkpoint)
    with pytest.raises(CheckpointError):
        load_agent(LoadOptions(str(tmp_path / "no model")))
    with pytest.raises(StoreError):
        load_agent(LoadOptions(model, str(tmp_path / "no index"), "cpu"))
    with pytest.raises(ConfigError):
        load_agent(LoadOptions(model, "none", "toaster"))
    with pytest.raises(ConfigError):
        load_agent(LoadOptions(model, "none", dtype="fp3"))


def test_other_models_have_no_index_unless_named(tiny_checkpoint):
    agent = load_agent(LoadOptions(str(tiny_checkpoint), device="cpu"))
    assert agent.index is None and agent.index_size == 0 and agent.describe()["index"] is None
    agent = load_agent(LoadOptions(str(tiny_checkpoint), "none", "cpu", "bf16"))
    assert agent.describe()["dtype"] == "bfloat16"


@pytest.fixture
def tiny_playground(tiny_model, tmp_path, monkeypatch):
    """A tiny model as the only one that is shipped."""
    tiny_model.save_pretrained(tmp_path / "shipped" / "playground" / "fromage-chat")
    monkeypatch.setattr("fromage_lite.config.shipped_dir", lambda name: tmp_path / "shipped" / name)


def test_the_shipped_model_brings_its_pictures(tiny_playground, index, monkeypatch):
    made = []

    def ensure(model, progress):
        made.append(model.fingerprint())
        return index

    monkeypatch.setattr("fromage_lite.playground.pictures.ensure_playground_index", ensure)
    agent = load_agent(LoadOptions(device="cpu"))
    assert agent.model_name == "playground" and agent.index_path == index and agent.index_size == 4
    assert made == [agent.model.fingerprint()]
    assert load_agent(LoadOptions(index="none", device="cpu")).index is None
    assert load_agent(LoadOptions(index=str(index), device="cpu")).index_size == 4
    assert len(made) == 1, "only asked for where no index is named"


def test_the_model_that_made_the_index_answers_from_it(index, tiny_checkpoint, tmp_path, monkeypatch):
    from index.store.manifest import INDEX_MANIFEST, IndexManifest

    def made_by(model):
        path = index / INDEX_MANIFEST
        dataclasses.replace(IndexManifest.read(path), model=model).write(path)

    made_by(str(tiny_checkpoint))
    agent = load_agent(LoadOptions(index=str(index), device="cpu"))
    assert agent.model_name == tiny_checkpoint.name and agent.index_size == 4
    made_by("someone/not-downloaded")
    with pytest.raises(ConfigError, match="made with the model someone/not-downloaded, which is not on this computer"):
        load_agent(LoadOptions(index=str(index), device="cpu"))
    assert load_agent(LoadOptions(str(tiny_checkpoint), str(index), "cpu")).index_size == 4  # named: nothing is chosen


def test_photos_answers_with_the_users_own_pictures_once_they_are_indexed(tiny_model, index, tmp_path, monkeypatch):
    tiny_model.save_pretrained(tmp_path / "shipped" / "photos" / "fromage-chat")
    monkeypatch.setattr("fromage_lite.config.shipped_dir", lambda name: tmp_path / "shipped" / name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no config"))
    monkeypatch.setenv("XDG_PICTURES_DIR", str(tmp_path / "album"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    agent = load_agent(LoadOptions(device="cpu"))
    assert agent.model_name == "photos" and agent.index is None
    own = index_of(tmp_path / "album", "photos")
    own.parent.mkdir(parents=True)
    shutil.copytree(index, own)
    manifest = json.loads((own / "index.json").read_text())
    (own / "index.json").write_text(json.dumps({**manifest, "store": str(tmp_path / "store")}))
    agent.use_index(None)  # as `/index default` does
    assert agent.index_size == 4 and load_agent(LoadOptions(device="cpu")).index_path == own
    assert load_agent(LoadOptions(index="none", device="cpu")).index is None
    (own / "index.json").write_text(json.dumps({**manifest, "bridge_fingerprint": "an earlier version of photos"}))
    assert load_agent(LoadOptions(device="cpu")).index is None, "and it starts all the same"
