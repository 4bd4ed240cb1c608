from __future__ import annotations

import numpy as np
import pytest
import torch

from fromage_lite.chat.agent import Agent, is_playground
from fromage_lite.config import playground_dir
from fromage_lite.errors import CheckpointError, ConfigError, FingerprintError, ImageError, MessageError, StoreError
from fromage_lite.text.message import ImageSegment
from index.hits import Retriever
from tests.fromage_lite.fakes import ListedPictures


@pytest.fixture
def album(tmp_path, pictures):
    """A folder of four pictures."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"picture {number}")
    return folder


@pytest.fixture
def index(tmp_path, album, tiny_model):
    """The index of these pictures for the tiny model."""
    from index.build import FolderReader, build_store, derive_index

    store, out = tmp_path / "store", tmp_path / "index"
    build_store(
        FolderReader(album),
        lambda images: tiny_model.image_features(images).pooled.numpy(),
        store,
        encoder_fingerprint=tiny_model.vision.fingerprint(),
    )
    with torch.no_grad():
        derive_index(store, lambda rows: tiny_model.image_embeds(torch.from_numpy(rows)).numpy(),
                     tiny_model.fingerprint(), out)  # fmt: skip
    return out


def test_load_joins_a_model_and_its_index(tiny_checkpoint, index, tiny_model):
    told = []
    agent = Agent.load(tiny_checkpoint, index, device="cpu", progress=told.append)
    assert agent.index_size == 4
    assert agent.device == "cpu"
    assert agent.model_name == tiny_checkpoint.name
    assert told and tiny_checkpoint.name in told[0]
    facts = agent.describe()
    assert facts["fingerprint"] == tiny_model.fingerprint()
    assert (facts["index_size"], facts["dtype"], facts["max_positions"]) == (4, "float32", 128)


def test_search_ranks_by_the_cosine_of_query_and_pictures(tiny_checkpoint, index, tiny_model, pictures):
    agent = Agent.load(tiny_checkpoint, index, device="cpu")
    hits = agent.search(["a cat on the beach"], 3)
    with torch.no_grad():
        keys = tiny_model.image_embeds(tiny_model.image_features(pictures).pooled)
        scores = (tiny_model.query_embeds(["a cat on the beach"]) @ keys.T)[0].numpy()
    best = np.argsort(-scores)[:3]
    assert [hit.caption for hit in hits] == [f"picture {i}" for i in best]
    np.testing.assert_allclose([hit.score for hit in hits], scores[best], atol=2e-3)  # features are kept in fp16
    assert agent.search(["a cat on the beach"], 3, exclude=[hits[0].id])[0] == hits[1]
    assert agent.thumbnail(hits[0])[:2] == b"\xff\xd8"


def test_search_takes_pictures_too(tiny_model, album):
    agent = Agent(tiny_model, ListedPictures())
    agent.search([ImageSegment(str(album / "0.png")), "at night"], 1)
    agent.search([ImageSegment(str(album / "1.png")), "at night"], 1)
    first, second = agent.index.queries
    assert not np.allclose(first, second)
    with pytest.raises(ImageError):
        agent.search([ImageSegment(str(album / "no.png"))], 1)


def test_a_picture_alone_finds_itself(tiny_checkpoint, index, album):
    agent = Agent.load(tiny_checkpoint, index, device="cpu")
    (best,) = agent.search([ImageSegment(str(album / "2.png")), " \x07"], 1)
    assert best.caption == "picture 2"
    assert best.score == pytest.approx(1, abs=2e-3)  # features are kept in fp16


@pytest.mark.parametrize("segments", [[], [""], ["\x07 "], ["cat " * 25_000], ["a" * 100_000]])
def test_search_refuses_nothing_and_too_much(tiny_model, segments):
    with pytest.raises(MessageError):
        Agent(tiny_model, ListedPictures()).search(segments, 1)


def test_search_takes_whatever_else_fits(tiny_model):
    agent = Agent(tiny_model, ListedPictures())
    text = "a" * 300
    while True:  # the longest text that is not refused also passes through the model
        try:
            assert agent.search([text], 1)
            break
        except MessageError:
            text = text[:-1]
    assert len(agent.model.language.tokenize(text)) >= 120
    assert agent.search(["lone \udcff surrogate"], 1)


def test_search_without_an_index_says_so(tiny_model):
    with pytest.raises(ConfigError):
        Agent(tiny_model).search(["a cat"], 1)


def test_a_picture_is_encoded_once_until_its_file_changes(tiny_model, album, pictures, monkeypatch):
    encoded = []
    encode = tiny_model.vision.encode
    monkeypatch.setattr(tiny_model.vision, "encode", lambda pixels: encoded.append(1) or encode(pixels))
    agent = Agent(tiny_model)
    path = album / "0.png"
    first = agent.pooled(str(path))
    assert torch.equal(agent.pooled(str(path)), first)
    assert len(encoded) == 1
    pictures[2].save(path)
    assert not torch.equal(agent.pooled(str(path)), first)


def test_an_index_of_another_model_is_refused(tiny_checkpoint, index, tiny_model, tmp_path):
    tiny_model.bridge.logit_scale.data += 1
    tiny_model.save_pretrained(tmp_path / "other")
    with pytest.raises(FingerprintError):
        Agent.load(tmp_path / "other", index, device="cpu")


def test_what_is_missing_is_said(tiny_checkpoint, tmp_path):
    with pytest.raises(CheckpointError):
        Agent.load(tmp_path / "no model")
    with pytest.raises(StoreError):
        Agent.load(tiny_checkpoint, tmp_path / "no index", device="cpu")
    with pytest.raises(ConfigError):
        Agent.load(tiny_checkpoint, "none", device="toaster")
    with pytest.raises(ConfigError):
        Agent.load(tiny_checkpoint, "none", dtype="fp3")


def test_other_models_have_no_index_unless_named(tiny_checkpoint):
    agent = Agent.load(tiny_checkpoint, device="cpu")
    assert agent.index is None and agent.index_size == 0 and agent.describe()["index"] is None
    assert Agent.load(tiny_checkpoint, "none", device="cpu", dtype="bf16").describe()["dtype"] == "bfloat16"


def test_which_models_are_the_playgrounds():
    assert is_playground(None)
    assert is_playground(playground_dir()) and is_playground(playground_dir() / "fromage")
    assert not is_playground("facebook/opt-125m") and not is_playground("/")


def test_the_tests_own_retriever_is_a_whole_one():
    pictures = ListedPictures()
    assert isinstance(pictures, Retriever)
    assert pictures.row(3) == ("/pictures/3.png", "picture number 3")
    with pytest.raises(StoreError):
        pictures.row(5)
