"""From names and options to an agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from fromage_lite.config import LoadOptions, playground_dir
from fromage_lite.errors import CheckpointError, ConfigError, FingerprintError, StoreError
from fromage_lite.start import is_playground, load_agent


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


def test_the_shipped_model_brings_its_pictures(tiny_checkpoint, index, monkeypatch):
    made = []

    def ensure(model, progress):
        made.append(model.fingerprint())
        return index

    monkeypatch.setattr("fromage_lite.start.playground_dir", lambda: tiny_checkpoint)
    monkeypatch.setattr("fromage_lite.playground.pictures.ensure_playground_index", ensure)
    agent = load_agent(LoadOptions(device="cpu"))
    assert agent.model_name == "playground" and agent.index_path == index and agent.index_size == 4
    assert made == [agent.model.fingerprint()]
    assert load_agent(LoadOptions(index="none", device="cpu")).index is None
    assert load_agent(LoadOptions(index=str(index), device="cpu")).index_size == 4
    assert len(made) == 1, "only asked for where no index is named"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (None, True),
        (str(playground_dir()), True),
        (str(playground_dir() / "fromage"), True),
        (str(Path(playground_dir()) / "fromage" / ".." / "fromage-chat"), True),
        ("facebook/opt-125m", False),
        ("/", False),
    ],
)
def test_which_models_are_the_playgrounds(model, expected):
    assert is_playground(model) is expected
