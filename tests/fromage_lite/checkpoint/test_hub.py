"""Models of the Hugging Face Hub: uploaded, downloaded, interrupted and offline, against a stand-in on loopback."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from fromage_lite.checkpoint.card import Provenance
from fromage_lite.config import FromageConfig
from fromage_lite.errors import ConfigError
from fromage_lite.language.loading import load_language_model
from fromage_lite.model.fromage import Fromage
from fromage_lite.vision import VisionEncoder
from tests.fromage_lite.hub import Hub

ROOT = Path(__file__).parents[3]

# A process of its own: the library reads the Hub's address and its cache from the environment once.
CLIENT = """
import contextlib, io, json, sys
from fromage_lite.errors import FromageError
from fromage_lite.model.fromage import Fromage
answers = sys.stdout
for line in sys.stdin:
    said = io.StringIO()
    scope = {"Fromage": Fromage, "answer": None}
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            exec(json.loads(line), scope)
        answer = {"answer": scope["answer"]}
    except FromageError as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    except Exception as error:
        import traceback
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), file=answers, flush=True)
"""


class Client:
    """Runs code in a process that knows the stand-in as the Hub."""

    def __init__(self, hub: Hub, home: Path, **environment: str) -> None:
        for name in ("HF_HUB_CACHE", "HF_TOKEN", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            environment.setdefault(name, "")
        known = {name: value for name, value in {**os.environ, **environment}.items() if value}
        known |= {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "TRANSFORMERS_VERBOSITY": "error",
        }
        known["HF_HUB_OFFLINE"] = environment.get("HF_HUB_OFFLINE", "0")
        self._process = subprocess.Popen(
            [sys.executable, "-c", CLIENT],
            cwd=ROOT,
            env=known,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __call__(self, code: str):
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer.get("error") or answer["answer"]

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


@pytest.fixture(scope="module")
def hub():
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("hf")


@pytest.fixture(scope="module")
def client(hub, home):
    client = Client(hub, home)
    yield client
    client.close()


@pytest.fixture(scope="module")
def encoder_dir(tmp_path_factory) -> Path:
    """A random ViT of transformers."""
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=16
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(hub, tiny_parts, tiny_lm_dir, encoder_dir):
    """A bridge between models that are on the Hub."""
    hub.add("tiny/lm", tiny_lm_dir)
    hub.add("tiny/vit", encoder_dir)
    vision = VisionEncoder.load(str(encoder_dir))
    revision = hub.commit("tiny/lm")
    config = FromageConfig("tiny/lm", "tiny/vit", language_model_revision=revision, retrieval_dim=16)
    torch.manual_seed(4)
    model = Fromage.from_parts(tiny_parts[0], vision, config)
    model.provenance = Provenance("100 captions of pictures.tsv.", "6 steps.", {"total": 1.25, "i2t_accuracy": 0.5})
    return model


@pytest.fixture
def published(hub, model, tmp_path, request):
    """The bridge on the Hub under a name of its own, and its weights."""
    name = f"tiny/{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"
    model.save_pretrained(tmp_path / "published")
    hub.add(name, tmp_path / "published")
    hub.requests.clear()
    return name, tmp_path / "published"


LOAD = "answer = Fromage.from_pretrained({!r}, device='cpu').fingerprint()"


def test_what_is_pushed_can_be_loaded(hub, client, model, tmp_path):
    folder = tmp_path / "local"
    model.save_pretrained(folder)
    hub.add("tiny/source", folder)
    address = client("answer = Fromage.from_pretrained('tiny/source', device='cpu').push_to_hub('tiny/pushed')")
    assert address == f"{hub.url}/tiny/pushed/commit/{hub.commit('tiny/pushed')}"
    files = hub.repositories["tiny/pushed"]
    assert sorted(files) == ["README.md", "config.json", "model.safetensors"]
    assert set(load(files["model.safetensors"])) == set(model.trained_parameters())
    config = json.loads(files["config.json"])
    assert (config["language_model"], config["vision_encoder"]) == ("tiny/lm", "tiny/vit")
    assert files["README.md"] == (folder / "README.md").read_bytes()  # data and figures are not lost on the way
    assert client(LOAD.format("tiny/pushed")) == model.fingerprint()


def test_adapters_of_the_language_model_come_along(hub, client, model, tiny_lm_dir, tmp_path):
    adapted = Fromage.from_parts(
        load_language_model(str(tiny_lm_dir)), model.vision, dataclasses.replace(model.config, lora_rank=2)
    )
    for parameter in adapted.adapters.parameters().values():
        parameter.data.normal_()
    adapted.save_pretrained(tmp_path / "adapted")
    hub.add("tiny/adapted", tmp_path / "adapted")
    assert client(LOAD.format("tiny/adapted")) == adapted.fingerprint() != model.fingerprint()


def test_the_model_card_says_what_it_is_and_where_it_comes_from(hub, model, tmp_path):
    from huggingface_hub import ModelCard

    model.save_pretrained(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.library_name == "fromage-lite" and card.data.license == "apache-2.0"
    assert card.data.base_model == ["tiny/lm", "tiny/vit"]
    assert f"| language model | `tiny/lm` | `{hub.commit('tiny/lm')}` |" in card.text
    assert "| image encoder | `tiny/vit` | – |" in card.text
    for part in (
        "Data: 100 captions of pictures.tsv.",
        "Training: 6 steps.",
        "| total | 1.25 |",
        "| i2t_accuracy | 0.5 |",
        "1 visual token in",
    ):
        assert part in card.text


def test_a_card_names_the_commits_that_were_loaded(hub, client, model, tmp_path):
    config = dataclasses.replace(model.config, language_model_revision=None)
    Fromage.from_parts(model.language, model.vision, config).save_pretrained(tmp_path / "unpinned")
    (tmp_path / "unpinned" / "README.md").unlink()
    hub.add("tiny/unpinned", tmp_path / "unpinned")
    card = client("answer = str(Fromage.from_pretrained('tiny/unpinned', device='cpu').generate_model_card())")
    for name in ("tiny/lm", "tiny/vit"):
        assert f"`{name}` | `{hub.commit(name)}` |" in card


def test_a_card_tells_nobody_where_folders_lie(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "saved", model_card_kwargs={"data": "the playground.", "license": "mit"})
    text = (tmp_path / "saved" / "README.md").read_text()
    assert "`lm (a local folder)`" in text and "`encoder (a local folder)`" in text
    assert "Data: the playground." in text and "license: mit" in text and "base_model" not in text
    assert "/" + str(tmp_path).split("/")[1] + "/" not in text
    with pytest.raises(ConfigError, match="A model card has no field weather"):
        tiny_model.generate_model_card(weather="fine")


def test_a_bridge_to_folders_of_this_computer_is_not_pushed(tiny_model):
    with pytest.raises(ConfigError, match="is a folder on this computer"):
        tiny_model.push_to_hub("somebody/tiny")


def test_an_interrupted_download_goes_on_where_it_broke_off(hub, client, published, model):
    name, _ = published
    client("from huggingface_hub import constants; constants.DOWNLOAD_CHUNK_SIZE = 512")  # 10 MB: what arrived whole
    hub.cut["model.safetensors"] = 1000
    assert client(LOAD.format(name)) == model.fingerprint()
    assert hub.downloads(f"{name}/resolve/{hub.commit(name)}/model.safetensors") == ["", "bytes=512-"]


def test_after_a_failed_download_only_the_rest_is_fetched(hub, client, published, model):
    name, _ = published
    hub.refused.add("model.safetensors")
    said = client(LOAD.format(name))
    assert said.startswith("CheckpointError: The model") and "Check the name and the network." in said
    arrived = {path for method, path, _ in hub.requests if method == "GET" and f"/resolve/{hub.commit(name)}/" in path}
    hub.refused.clear()
    hub.requests.clear()
    assert client(LOAD.format(name)) == model.fingerprint()
    # Files are fetched side by side: which of the others came before the refusal is chance; none may come again.
    assert not [path for path in arrived if hub.downloads(path)]
    assert len(hub.downloads("model.safetensors")) == 1


def test_a_second_load_fetches_nothing(hub, client, published):
    name, _ = published
    client(LOAD.format(name))
    hub.requests.clear()
    client(LOAD.format(name))
    assert not hub.downloads(".safetensors") and not hub.downloads("tokenizer.json")


def test_offline_what_is_there_is_used_and_nothing_is_asked(hub, client, home, published, model):
    name, _ = published
    client(LOAD.format(name))
    hub.requests.clear()
    offline = Client(hub, home, HF_HUB_OFFLINE="1")
    assert offline(LOAD.format(name)) == model.fingerprint()
    assert "could not be downloaded" in offline(LOAD.format("tiny/never-seen"))
    offline.close()
    assert hub.requests == []


@pytest.mark.parametrize("fault", ["missing", "extra"])
def test_weights_that_do_not_fit_are_named(hub, client, published, fault):
    name, folder = published
    tensors = load((folder / "model.safetensors").read_bytes())
    if fault == "missing":
        del tensors["visual_fc.bias"]
    else:
        tensors["surplus"] = torch.zeros(2)
    hub.repositories[name]["model.safetensors"] = save(tensors)
    said = client(LOAD.format(name))
    assert said.startswith("CheckpointError")
    assert ("missing visual_fc.bias" if fault == "missing" else "unexpected surplus") in said


def test_what_the_hub_does_not_have_is_one_sentence(client, published):
    name, _ = published
    for code, reason in (
        (LOAD.format("tiny/nothing"), "there is no such repository, or it is private"),
        (f"Fromage.from_pretrained({name!r}, device='cpu', revision='nowhere')", "it has no revision nowhere"),
        (LOAD.format("tiny/lm/inside"), "config.json is missing"),
    ):
        said = client(code)
        assert said.startswith("CheckpointError") and reason in said


def test_a_language_model_with_bin_weights_alone(hub, client, model, tiny_lm_dir, tmp_path):
    folder = shutil.copytree(tiny_lm_dir, tmp_path / "lm")
    torch.save(load((folder / "model.safetensors").read_bytes()), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    hub.add("tiny/old-lm", folder)
    config = dataclasses.replace(model.config, language_model="tiny/old-lm", language_model_revision=None)
    bridge = Fromage.from_parts(model.language, model.vision, config)
    bridge.bridge.load_state_dict(model.bridge.state_dict())
    bridge.save_pretrained(tmp_path / "old")
    hub.add("tiny/old", tmp_path / "old")
    hub.requests.clear()
    assert client(LOAD.format("tiny/old")) == model.fingerprint()
    assert len(hub.downloads("pytorch_model.bin")) == 1
    assert not [path for _, path, _ in hub.requests if "discussions" in path], "nobody is asked to convert it"
