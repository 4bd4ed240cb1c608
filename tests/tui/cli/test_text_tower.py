"""Pictures that are indexed and searched by an image encoder alone, before there is any bridge."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from fromage_lite.vision import EncoderSpace, VisionEncoder
from index.store.feature_store import FeatureStore
from index.store.manifest import INDEX_MANIFEST, IndexManifest
from tests.fromage_lite.text_towers import TOWERS
from tests.tui.command_line import assert_refused, call

COUNT = 20


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Twenty pictures of noise around different colours."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(1)
    for number in range(COUNT):
        colour = rng.integers(40, 215, 3)
        noise = rng.integers(-40, 40, (36, 48, 3))
        Image.fromarray((colour + noise).astype(np.uint8)).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="module", params=["clip", "siglip", "open_clip"])
def made(request, photographs, tmp_path_factory):
    """(name of an encoder, index of the pictures by it, its vectors of them as the library itself has them)."""
    root = tmp_path_factory.mktemp(request.param)
    family = TOWERS[request.param]()
    name = family.save(root / "encoder")
    result = call("index", str(photographs), "--out", str(root / "index"), "--model", name, "--device", "cpu")
    assert result.exit_code == 0, result.output
    encoder = VisionEncoder.load(name)
    images = [Image.open(photographs / f"{number:02d}.png").convert("RGB") for number in range(COUNT)]
    vectors = family.images(root / "encoder", encoder.preprocess(images)).numpy()
    return name, root / "index", vectors, lambda texts: family.texts(root / "encoder", texts).numpy()


def found(*arguments: object) -> list[tuple[int, float]]:
    """Number and score of what a search prints."""
    result = call("search", *map(str, arguments), "--json", "--all", "--top", str(COUNT), "--device", "cpu")
    assert result.exit_code == 0, result.output
    return [(int(image["path"][-6:-4]), image["score"]) for image in json.loads(result.stdout)["images"]]


def assert_found(hits, scores: np.ndarray) -> None:
    """All pictures, in the order of these scores; features are kept in half precision."""
    np.testing.assert_allclose([score for _, score in hits], np.sort(scores)[::-1], atol=2e-3)
    np.testing.assert_allclose([score for _, score in hits], scores[[number for number, _ in hits]], atol=2e-3)


def test_words_find_what_brute_force_finds(made):
    _, index, vectors, texts = made
    for words in ("a cat", "two small dog on the beach"):
        assert_found(found(words, "--index", index), vectors @ texts([words])[0])


def test_pictures_mixtures_and_what_is_not_wanted(made, photographs):
    _, index, vectors, texts = made
    file = str(photographs / "07.png")
    assert_found(found(file, "--index", index), vectors @ vectors[7])
    mixed = 2 * texts(["a cat"])[0] + vectors[7] - 0.5 * texts(["snow"])[0]
    hits = found("2:a cat", "+", file, "-", "0.5:snow", "--index", index)
    assert_found(hits, vectors @ (mixed / np.linalg.norm(mixed)))
    both = texts(["night"])[0] + vectors[7]
    assert_found(found(f"<image:{file}> night", "--index", index), vectors @ (both / np.linalg.norm(both)))


def test_the_manifest_names_the_encoder(made):
    name, index, vectors, _ = made
    manifest = IndexManifest.read(index / INDEX_MANIFEST)
    space = EncoderSpace(VisionEncoder.load(name))
    assert manifest.model == name and not manifest.has_bridge
    assert manifest.bridge_fingerprint == space.fingerprint
    assert manifest.encoder_fingerprint == space.encoder.fingerprint()
    assert (manifest.count, manifest.dim) == vectors.shape


def test_long_words_are_cut_and_that_is_told(made):
    _, index, vectors, texts = made
    long = "a cat and a dog in snow at night"
    result = call("search", long, "--index", str(index), "--json", "--device", "cpu")
    assert "Longer than the text tower reads; looked for: a cat and a dog in\n" in result.stderr
    assert json.loads(result.stdout)["read_as"] == [{"weight": 1.0, "message": [{"text": "a cat and a dog in"}]}]
    assert_found(found(long, "--index", index), vectors @ texts(["a cat and a dog in"])[0])


def test_in_fresh_processes_as_a_newcomer_types_it(photographs, tmp_path):
    name = TOWERS["open_clip"]().save(tmp_path / "encoder")
    program = [sys.executable, "-m", "tui"]
    made = subprocess.run(
        [*program, "index", photographs, "--out", tmp_path / "index", "--model", name, "--device", "cpu"],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0 and "20 pictures" in made.stdout, made.stderr
    code = "import sys; from tui.cli.main import main\ntry: main(sys.argv[1:])\n"
    code += "finally: print([m for m in sys.modules if m.startswith('fromage_lite.language')], file=sys.stderr)"
    search = [sys.executable, "-c", code, "search", "a cat", "--index", tmp_path / "index", "--device", "cpu"]
    result = subprocess.run(search, capture_output=True, text=True)
    assert len(result.stdout.splitlines()) == 5, result.stderr
    assert result.stderr.splitlines()[-1] == "[]", "no language model is loaded, nor its code"


def test_what_needs_a_bridge_says_so_and_what_to_do(made, photographs, tmp_path):
    name, index, *_ = made
    train = "fromage-lite train --data CAPTIONS --vision-encoder"
    asked = call("ask", "show me a cat", "--index", str(index))
    assert_refused(asked, "no bridge to chat with", "fromage-lite search", train)
    assert_refused(call("ask", "hello", "--model", name), "image encoder without a bridge", "search", train)
    assert_refused(call("search", "a cat", "--index", str(index), "--by", "ret"), "no bridge to ask by ret")
    assert_refused(call("search", "a cat", "--index", str(index), "--by", "dialogue"), "no bridge to chat with")
    assert_refused(call("search", "a cat", "--model", name), "There is no index to search")
    assert_refused(call("search", "a cat", "--model", name, "--index", str(tmp_path)), "There is no index at")
    assert call("search", "a cat", "--index", str(tmp_path), "--by", "nose").exit_code == 2


def test_doctor_names_the_way_to_ask_and_embeds_again(made):
    name, index, *_ = made
    result = call("doctor", "--index", str(index), "--device", "cpu", "--json")
    checks = {check["name"]: check for check in map(json.loads, result.stdout.splitlines())}
    assert result.exit_code == 0, result.stdout
    assert checks["can be asked by"]["value"] == "text-tower" and "no bridge" in checks["model"]["value"]
    assert checks["image encoder"]["value"] == name and "20 pictures" in checks["index"]["value"]
    assert checks["pictures embedded again"]["value"] == "20" and checks["index files"]["ok"]


def test_models_lists_what_can_only_be_searched(made, monkeypatch):
    name, index, *_ = made
    monkeypatch.chdir(index.parent)
    lines = call("models").stdout.splitlines()
    told = lines[lines.index(name) + 1]
    assert told.strip() == "searching 20 pictures, without a bridge: fromage-lite search WORDS --index index"


def test_an_encoder_that_is_gone_is_named(photographs, tmp_path):
    name = TOWERS["clip"]().save(tmp_path / "encoder")
    call("index", str(photographs), "--out", str(tmp_path / "index"), "--model", name, "--device", "cpu")
    shutil.rmtree(tmp_path / "encoder")
    assert_refused(call("search", "a cat", "--index", str(tmp_path / "index")), "not on this computer", "--model")


@pytest.mark.parametrize(
    "name", ["open_clip:ViT-B-32/laion2b_s34b_b79k", "someone/a-clip", "timm:hf-hub:someone/a-vit", "open_clip:no/such"]
)
def test_a_model_that_is_not_here_is_one_sentence_without_the_network(name, photographs, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    assert_refused(call("index", str(photographs), "--out", str(tmp_path / "index"), "--model", name))
    assert not (tmp_path / "index" / INDEX_MANIFEST).exists()


def test_an_encoder_without_words_searches_with_pictures(photographs, tmp_path):
    from tests.fromage_lite.vision_models import FAMILIES

    FAMILIES["dinov2"]().save(tmp_path / "encoder")
    index = tmp_path / "index"
    call("index", str(photographs), "--out", str(index), "--model", str(tmp_path / "encoder"), "--device", "cpu")
    assert found(photographs / "03.png", "--index", index)[0] == (3, pytest.approx(1, abs=1e-3))
    assert_refused(call("search", "a cat", "--index", str(index), "--device", "cpu"), "no text tower", "pictures")


# --- with a bridge over the same encoder ---


@pytest.fixture
def bridged(album, tiny_checkpoint, tmp_path):
    """The index of a bridge."""
    call("index", str(album), "--out", str(tmp_path / "bridge"), "--model", str(tiny_checkpoint), "--device", "cpu")
    return tmp_path / "bridge"


def by_tower(index, words: str) -> list[tuple[str, float]]:
    options = ("--by", "text-tower", "--json", "--all", "--top", "23", "--device", "cpu")
    result = call("search", words, "--index", str(index), *options)
    assert result.exit_code == 0, result.output
    return [(image["path"], image["score"]) for image in json.loads(result.stdout)["images"]]


def test_a_bridges_index_is_asked_by_the_text_tower_without_its_language_model(
    bridged, tiny_encoder_dir, tiny_lm_dir, tmp_path, monkeypatch
):
    monkeypatch.setattr("fromage_lite.language.loading.load_language_model", lambda *args, **options: 1 / 0)
    encoder = VisionEncoder.load(f"open_clip:local-dir:{tiny_encoder_dir}")
    store = FeatureStore.open(bridged)
    features = torch.from_numpy(store.read_features(store.live_ids()))
    texts = encoder.text_tower().encode_text(["a cat"])
    scores = (torch.nn.functional.normalize(features, dim=1) @ texts[0]).numpy()
    hits = by_tower(bridged, "a cat")
    assert_found([(store.find(path), score) for path, score in hits], scores)


def test_features_are_kept_once_for_encoder_and_bridge(bridged, album, tiny_checkpoint, tiny_encoder_dir, tmp_path):
    name, alone = f"open_clip:local-dir:{tiny_encoder_dir}", tmp_path / "alone"
    result = call("index", "--rederive", str(bridged), "--model", name, "--out", str(alone), "--device", "cpu")
    assert result.exit_code == 0 and {path.name for path in alone.iterdir()} == {".lock", "index.faiss", "index.json"}
    assert by_tower(alone, "a cat") == by_tower(bridged, "a cat")
    # The other way round: an encoder's index first, then a bridge.
    first = tmp_path / "first"
    call("index", str(album), "--out", str(first), "--model", name, "--device", "cpu")
    again = call("index", str(album), "--out", str(first), "--model", str(tiny_checkpoint), "--device", "cpu")
    assert "23 unchanged" in again.stdout
    ret = ("search", "a cat", "--device", "cpu", "--index")
    assert call(*ret, str(first)).stdout == call(*ret, str(bridged)).stdout


def test_a_chat_is_not_given_an_encoders_index(bridged, album, tiny_checkpoint, tiny_encoder_dir, tmp_path):
    alone = tmp_path / "alone"
    name = f"open_clip:local-dir:{tiny_encoder_dir}"
    call("index", str(album), "--out", str(alone), "--model", name, "--device", "cpu")
    asked = call("ask", "hello", "--model", str(tiny_checkpoint), "--index", str(alone), "--device", "cpu")
    assert_refused(asked, "alone", f"--rederive {alone} --model {tiny_checkpoint} --out NEW_INDEX")


def test_an_index_of_another_encoder_is_refused(bridged, tmp_path):
    name = TOWERS["clip"]().save(tmp_path / "clip")
    asked = call("search", "a cat", "--index", str(bridged), "--model", name, "--device", "cpu")
    assert_refused(asked, "embedded by another image encoder", "fromage-lite index FOLDER --model")


# --- in the context of a dialogue ---


def test_words_are_asked_in_the_context_of_a_dialogue_in_a_file(agent, script, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    talk = tmp_path / "talk.json"
    script.say("here.[RET]")
    assert call("ask", "show me a lion", "--dialogue", str(talk)).exit_code == 0
    before = talk.read_bytes()
    script.say("here.[RET]", "here.[RET]", "here.[RET]")
    assert call("search", "another one", "--by", "dialogue", "--dialogue", str(talk)).exit_code == 0
    assert call("ask", "another one", "--dialogue", str(talk)).exit_code == 0
    searched, asked = agent.index.queries[1:]
    np.testing.assert_allclose(searched, asked, rtol=1e-4, atol=1e-5)
    assert call("search", "another one", "--by", "dialogue").exit_code == 0
    assert not np.allclose(agent.index.queries[-1], searched), "without the dialogue it is another question"
    assert before != talk.read_bytes(), "ask goes on with it"


def test_a_search_leaves_the_dialogue_as_it_is(agent, script, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    talk = tmp_path / "talk.json"
    script.say("here.[RET]", "here.[RET]")
    call("ask", "show me a lion", "--dialogue", str(talk))
    before = talk.read_bytes()
    assert call("search", "another one", "--dialogue", str(talk)).exit_code == 0
    assert talk.read_bytes() == before
    assert_refused(call("search", "a", "--dialogue", str(tmp_path / "none.json")), "There is no dialogue")
    assert_refused(call("search", "a", "--dialogue", str(talk), "--by", "ret"), "--by dialogue")
