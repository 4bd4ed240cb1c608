"""What models can be had, and what they take."""

from __future__ import annotations

import dataclasses
import json
import struct

import pytest

from fromage_lite import config
from fromage_lite.catalogue import catalogue
from fromage_lite.checkpoint.footprint import footprint
from fromage_lite.config import FromageConfig, playground_dir, read_config
from fromage_lite.model.memory import plan_memory
from fromage_lite.placement import CPU


@pytest.fixture
def nothing_downloaded(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)


def named(places=()):
    return {model.name: model for model in catalogue(places)}


def test_the_playground_takes_what_the_plan_of_its_loading_says(nothing_downloaded):
    folder = playground_dir() / "fromage-chat"
    planned = plan_memory(read_config(folder), CPU, base_dir=folder).needed
    playground = named()["playground"]
    assert playground.kind == "shipped" and playground.is_here and playground.download == 0
    assert playground.memory == pytest.approx(planned, rel=0.01)
    files = [path.stat().st_size for path in playground_dir().rglob("*") if path.is_file()]
    assert playground.disk == sum(files) and 30e6 < playground.disk < 50e6


def test_the_released_models_say_how_to_get_them_and_what_comes_then(nothing_downloaded):
    released = named()["fromage/fromage_model/fromage_vis4"]
    assert not released.is_here and released.get.startswith("git clone https://")
    # As the command that loads it says: 13.3 + 0.6 + 1.1 GB in bfloat16.
    assert released.memory == pytest.approx(15.0e9, rel=0.01) and released.precision == "bf16"
    assert released.download == pytest.approx(15.0e9, rel=0.01)


def test_a_frozen_model_that_was_downloaded_is_not_downloaded_again(nothing_downloaded, tmp_path):
    folder = tmp_path / "hub" / "models--facebook--opt-6.7b" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "weights.bin").write_bytes(bytes(1000))
    refs = folder.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    released = named()["fromage/fromage_model/fromage_vis4"]
    assert released.disk == 1002 and released.download == pytest.approx(1.7e9, rel=0.01)


def test_bridges_are_found_where_training_writes_them(tiny_model, tmp_path, nothing_downloaded):
    runs = tmp_path / "runs"
    for name in ("first/best", "first/last", "begun/last", "exported"):
        tiny_model.save_pretrained(runs / name)
    (runs / "damaged" / "best").mkdir(parents=True)
    (runs / "damaged" / "best" / "config.json").write_text('{"language_model": 3}')
    (runs / "lm").mkdir()
    (runs / "lm" / "config.json").write_text('{"architectures": ["OPTForCausalLM"]}')
    (runs / "notes.txt").write_text("x")
    found = {name: model for name, model in named([runs, tmp_path / "nowhere"]).items() if model.kind == "bridge"}
    assert set(found) == {str(runs / name) for name in ("first/best", "begun/last", "exported")}
    bridge = found[str(runs / "first/best")]
    assert bridge.disk == sum(path.stat().st_size for path in (runs / "first/best").iterdir())
    planned = plan_memory(tiny_model.config, CPU, base_dir=tiny_model.base_dir)
    assert bridge.memory == pytest.approx(planned.needed, rel=0.5)  # it has no encoder to speak of


def test_what_is_not_known_is_not_made_up(tmp_path, nothing_downloaded):
    size = footprint(FromageConfig("someone/their-lm", "timm:vit_tiny"), tmp_path)
    assert size.memory is None and size.download is None
    lm = tmp_path / "lm"
    lm.mkdir()
    for header in (b"", struct.pack("<Q", 2**62), struct.pack("<Q", 4) + b"oops", struct.pack("<Q", 2) + b"[]"):
        (lm / "model.safetensors").write_bytes(header)
        assert footprint(FromageConfig("lm", "openai/clip-vit-base-patch32"), tmp_path).memory is None
    header = json.dumps({"w": {"dtype": "F32", "shape": [250, 4], "data_offsets": [0, 4000]}}).encode()
    (lm / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert footprint(FromageConfig("lm", "lm"), tmp_path).memory == 8000


def test_photos_is_the_default_as_soon_as_it_is_shipped(tiny_model, tmp_path, monkeypatch, nothing_downloaded):
    assert [model.name for model in catalogue(()) if model.is_default] == [config.default_model()]
    shipped = tmp_path / "shipped"
    monkeypatch.setattr("fromage_lite.config.shipped_dir", lambda name: shipped / name)
    monkeypatch.setattr("fromage_lite.catalogue.shipped_dir", lambda name: shipped / name)
    for name in ("playground", "photos"):
        assert config.default_model() == "playground"
        tiny_model.save_pretrained(shipped / name / "fromage-chat")
    assert [(model.name, model.is_default) for model in catalogue(())][:2] == [("photos", True), ("playground", False)]


def test_an_encoder_out_of_a_package_is_not_downloaded_and_takes_what_it_has_numbers(tmp_path, nothing_downloaded):
    from fromage_lite.vision.libraries import encoder_parameters

    name = "timm-classifier:pypi:tf_efficientnet_lite0"
    playground = read_config(playground_dir() / "fromage-chat")
    home = playground_dir() / "fromage-chat"
    other = footprint(dataclasses.replace(playground, vision_encoder=name), home)
    own = footprint(playground, home)
    assert other.download == 0
    less = 4 * (encoder_parameters(playground.vision_encoder, home) - encoder_parameters(name))
    assert own.memory - other.memory == pytest.approx(less, rel=0.01)
