"""The bridge's training data: simulated photographs that are what the texts ask for."""

import dataclasses
import random

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from fromage_lite.errors import ConfigError
from fromage_lite.model.fromage import Fromage
from fromage_lite.photos.data import photos_data
from fromage_lite.photos.encoder import ENCODER
from fromage_lite.photos.evaluation.simulated import simulated_agent
from fromage_lite.photos.pretraining.tokenizer import make_tokenizer
from fromage_lite.photos.text import pictures
from fromage_lite.photos.world.classes import CLASSES, meaning
from fromage_lite.pretraining.lm import make_model, save
from fromage_lite.text.interleaving import Ret, Text
from fromage_lite.training.options import RunOptions
from fromage_lite.training.recipe import Recipe, load_recipe
from fromage_lite.training.run import _config
from fromage_lite.vision import VisionEncoder

NUMBER = {row.name: number for number, row in enumerate(CLASSES)}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An untrained LM with the right words, the real encoder, and an untrained bridge."""
    folder = tmp_path_factory.mktemp("lm")
    make_tokenizer(folder, documents=150)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    save(make_model(len(tokenizer)), tokenizer, folder, suppressed=(" [",))
    options = RunOptions(recipe="photos", language_model=str(folder), vision_encoder=ENCODER)
    return Fromage.from_config(_config(load_recipe("photos"), options))


@pytest.fixture(scope="module")
def data(model):
    values = load_recipe("photos").to_dict() | {"data": {"captions": 40, "dialogues": 120, "validation": 10}}
    made, said = photos_data(model, Recipe.from_dict(values), 0)
    assert said.startswith("40 captions and 120 dialogues over ")
    return made


def test_searches_are_taught_pictures_of_what_they_name(data):
    checked = 0
    for example in data.dialogues:
        first, *rest = example.segments
        if not (isinstance(first, Text) and first.text.startswith("search: ") and len(rest) == 1):
            continue
        (ret,) = rest
        assert isinstance(ret, Ret)
        wanted = meaning(first.text.removeprefix("search: "))
        if wanted:  # others are wrapped, misspelt or described
            assert int(data.features[ret.row].argmax()) in wanted
            checked += 1
    assert checked > 5


def test_captions_name_their_pictures_and_pictures_of_one_class_are_alike(data):
    for caption, row in data.captions:
        number = int(data.features[row].argmax())
        assert number in meaning(caption.rstrip("."))
        assert data.groups[row] == number
    assert np.allclose(data.features.sum(1), 1, atol=0.02)


def test_the_map_gives_visual_tokens_by_tags_alone(model, data):
    """Two classes that share kinds share these tokens."""
    model.bridge.set_visual(*data.visual_map)
    features = torch.from_numpy(np.stack([pictures.plain(NUMBER[name]) for name in ("tabby", "tiger cat", "banjo")]))
    tabby, tiger, banjo = model.visual_embeds(features)
    assert tabby.shape == (6, model.language.dim)
    torch.testing.assert_close(tabby[3:], tiger[3:])
    assert not torch.allclose(tabby[2], tiger[2])
    assert not torch.allclose(tabby[5], banjo[5])


def test_another_encoder_is_refused(model, tiny_encoder_dir):
    vision = VisionEncoder.load(f"open_clip:local-dir:{tiny_encoder_dir}")
    other = Fromage.from_parts(model.language, vision, dataclasses.replace(model.config, visual_dim=None))
    with pytest.raises(ConfigError, match="tells 1000 classes"):
        photos_data(other, load_recipe("photos"), 0)


def test_simulated_photographs_are_shown_and_found_like_files(model):
    rng = random.Random(1)
    shown = [pictures.of_class(NUMBER[name], rng) for name in ("tabby", "banjo", "espresso")]
    agent, engine = simulated_agent(model, shown)
    feature = engine.features(engine.show(shown[1]).path)
    (hit,) = agent.engine.retrieve(model.image_embeds(feature[None]), 1)
    assert hit.caption == "banjo"
    assert hit.score == pytest.approx(1, abs=1e-3)
