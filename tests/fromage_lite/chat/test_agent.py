from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from fromage_lite.chat.agent import Agent
from fromage_lite.chat.engine import Engine
from fromage_lite.errors import ConfigError, FingerprintError, ImageError, MessageError, StoreError
from fromage_lite.indexing import embedder_of, index_pictures
from fromage_lite.text.message import ImageSegment
from index.search.hits import Retriever
from tests.fromage_lite.fakes import ListedPictures


@pytest.fixture
def agent(tiny_model, index):
    """The tiny model with the index of the album."""
    agent = Agent(tiny_model)
    agent.use_index(index)
    return agent


def test_search_ranks_by_the_cosine_of_query_and_pictures(agent, tiny_model, pictures):
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


def test_a_picture_alone_finds_itself(agent, album):
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
    engine = Engine(tiny_model)
    path = album / "0.png"
    first = engine.features(str(path))
    assert torch.equal(engine.features(str(path)), first)
    assert len(encoded) == 1
    pictures[2].save(path)
    assert not torch.equal(engine.features(str(path)), first)


def test_an_index_that_cannot_be_opened_leaves_the_one_before(agent, index, tiny_model, tmp_path):
    hits = agent.search(["a cat"], 2)
    with pytest.raises(StoreError):
        agent.use_index(tmp_path / "no index")
    tiny_model.bridge.logit_scale.data += 1
    with pytest.raises(FingerprintError, match="--model /models/tiny"):
        Agent(tiny_model, checkpoint="/models/tiny").use_index(index)
    assert agent.index_path == index and agent.search(["a cat"], 2) == hits


def test_no_index_and_the_models_own(agent, index, tiny_model):
    agent.use_index("none")
    assert agent.index is None and agent.index_path is None and agent.index_size == 0 and agent.row(0) is None
    agent.use_index(index)
    agent.use_index(None)
    assert agent.index is None, "this model has no pictures of its own"
    own = Agent(tiny_model, own_index=lambda model, progress: index)
    own.use_index(None)
    assert own.index_size == 4 and own.row(2)[1] == "picture 2" and own.row(4) is None and own.row(-1) is None


def test_a_model_that_finds_no_pictures_takes_no_index(tiny_model, index, monkeypatch):
    monkeypatch.setattr(tiny_model, "config", dataclasses.replace(tiny_model.config, has_retrieval=False))
    no_tower = dataclasses.replace(tiny_model.vision._backend, load_tower=None)
    monkeypatch.setattr(tiny_model.vision, "_backend", no_tower)
    with pytest.raises(ConfigError, match="not trained to find pictures"):
        Agent(tiny_model).use_index(index)
    Agent(tiny_model).use_index(None)


def test_the_tests_own_retriever_is_a_whole_one():
    pictures = ListedPictures()
    assert isinstance(pictures, Retriever)
    assert pictures.row(3) == ("/pictures/3.png", "picture number 3")
    with pytest.raises(StoreError):
        pictures.row(5)


def test_a_search_sees_the_index_that_took_the_place_of_the_open_one(tiny_model, album, tmp_path):
    def build():
        index_pictures(album, tmp_path / "kept", "tiny", load=lambda name, device: embedder_of(tiny_model, name))

    build()
    agent = Agent(tiny_model)
    agent.use_index(tmp_path / "kept")
    before = agent.search(["a picture"], 10)
    Image.new("RGB", (30, 20), "orange").save(album / "new.png")
    shown = before[0]
    build()
    after = agent.search(["a picture"], 10)
    assert {hit.source for hit in after} - {hit.source for hit in before} == {str(album / "new.png")}
    assert agent.index_size == len(after) == len(before) + 1
    assert agent.row(shown.id) == (shown.source, shown.caption) and agent.thumbnail(shown)
    (album / "new.png").unlink()
    build()
    assert len(agent.search(["a picture"], 10)) == len(before)
