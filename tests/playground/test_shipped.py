"""The models that ship: they load by the ordinary paths and do what the model card says they do."""

from __future__ import annotations

import json
import random

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from fromage_lite.config import LoadOptions, playground_dir
from fromage_lite.playground.evaluation.figures import caption_of, reply
from fromage_lite.playground.evaluation.named import setting_named, things_named
from fromage_lite.playground.text.grammar import full_description
from fromage_lite.playground.world.render import render
from fromage_lite.playground.world.scene import HELD_OUT_SEED, sample_scene
from fromage_lite.text.message import ImageSegment

SEED = HELD_OUT_SEED + 777_000_000  # pictures that neither training nor the model card's figures used


@pytest.fixture(scope="module")
def agent():
    from fromage_lite.start import load_agent

    return load_agent(LoadOptions("playground", index="none", device="cpu"))


@pytest.fixture(scope="module")
def scenes():
    rng = random.Random("shipped")
    return [sample_scene(rng, "val", 1 + i % 2) for i in range(24)]


def test_all_weights_together_are_small():
    files = list(playground_dir().rglob("*.safetensors"))
    assert {file.parent.name for file in files} == {"lm", "encoder", "fromage", "fromage-chat"}
    assert sum(file.stat().st_size for file in files) <= 40e6


def test_the_card_shows_the_measured_figures():
    figures = json.loads((playground_dir() / "figures.json").read_text())
    card = (playground_dir() / "README.md").read_text()
    for key in ("vqa", "t2i_r1", "caption_1_2", "request_satisfied", "lm_text_qa"):
        assert any(f"`{key}`" in line and f"{figures[key]:.3f}" in line for line in card.splitlines())
    assert all(isinstance(value, float | int) for value in figures.values())


def test_the_tokenizer_is_the_one_that_the_model_was_trained_with():
    """transformers loads another class for some architectures, with other rules for capitals and blanks."""
    folder = playground_dir() / "lm"
    text = "Q: what is LEFT of the cat?\nA: a dog ]"
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert AutoTokenizer.from_pretrained(folder)(text).input_ids == raw.encode(text).ids


@pytest.mark.slow
def test_captions_name_what_is_in_the_picture(agent, scenes):
    pictures = [render(scene, SEED + i) for i, scene in enumerate(scenes)]
    pooled = agent.model.image_features(pictures).pooled
    captions = [caption_of(agent, feature) for feature in pooled]
    right = [
        things_named(c) == s.things and setting_named(c) == s.setting for c, s in zip(captions, scenes, strict=True)
    ]
    assert sum(right) >= 0.75 * len(scenes)


def test_a_dialogue_over_a_picture(agent, tmp_path):
    """Picture in, questions on it in the same dialogue, undo and ask again."""
    rng = random.Random("dialogue")
    right = 0
    for i in range(8):
        scene = sample_scene(rng, "val", 1)
        file = tmp_path / f"{i}.png"
        render(scene, SEED + 100 + i).save(file)
        dialogue = agent.dialogue()
        what, hits = reply(dialogue, (ImageSegment(str(file)), "what is in the picture?"))
        where, _ = reply(dialogue, ("where is this?",))
        assert not hits
        right += things_named(what) == scene.things and setting_named(where) == scene.setting
        dialogue.undo()
        assert reply(dialogue, ("where is this?",))[0] == where
    assert right >= 6


@pytest.mark.slow
def test_a_picture_is_still_seen_after_other_turns(agent, tmp_path):
    """After talk, and after a request for another picture: the user's own is not forgotten."""
    rng = random.Random("other turns")
    after_talk = after_request = 0
    for i in range(8):
        scene = sample_scene(rng, "val", 1)
        file = tmp_path / f"{i}.png"
        render(scene, SEED + 300 + i).save(file)
        dialogue = agent.dialogue()
        for message in ((ImageSegment(str(file)), "where is this?"), ("thank you.",), ("what is a hammer?",)):
            reply(dialogue, message)
        after_talk += things_named(reply(dialogue, ("what is in this picture?",))[0]) == scene.things
        for message in (("show me a piano at night.",), ("and on the beach?",)):
            assert "here you are" in reply(dialogue, message)[0]
        after_request += things_named(reply(dialogue, ("what is in my picture?",))[0]) == scene.things
    assert after_talk >= 6
    assert after_request >= 6


def test_no_picture_is_seen_where_none_was_shown(agent):
    assert reply(agent.dialogue(), ("what is in this picture?",))[0] == "please show me a picture first."


def test_descriptions_find_their_pictures(agent, scenes):
    """Every description is nearer to its own picture than to nearly all others."""
    import torch

    pooled = agent.model.image_features([render(scene, SEED + 200 + i) for i, scene in enumerate(scenes)]).pooled
    with torch.no_grad():
        images = agent.model.image_embeds(pooled)
    queries = torch.cat([agent.model.query_embeds([full_description(scene)]) for scene in scenes])
    first = (queries @ images.T).argmax(dim=1).tolist()
    assert sum(i == best for i, best in enumerate(first)) >= 0.8 * len(scenes)


@pytest.mark.slow
def test_first_start_builds_the_index_and_requests_are_answered(tmp_path, monkeypatch):
    """The whole first start in an empty cache, then a request, its follow-up and no picture twice."""
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path))
    from fromage_lite.start import load_agent

    agent = load_agent(LoadOptions("playground", device="cpu"))
    assert agent.index_size >= 2000
    dialogue = agent.dialogue()
    text, hits = reply(dialogue, ("show me a cat on the beach.",))
    assert text
    assert things_named(hits[0].caption) >= {"cat"}
    assert setting_named(hits[0].caption) == "beach"
    _, later = reply(dialogue, ("and in the snow?",))
    assert setting_named(later[0].caption) == "snow"
    assert later[0].id != hits[0].id


@pytest.mark.slow
def test_a_search_finds_what_its_words_say_however_they_are_typed():
    from fromage_lite.start import load_agent

    agent = load_agent(LoadOptions("playground", device="cpu"))
    for noun in ("cat", "dog", "car", "apple", "robot", "whale"):
        for words in (
            noun,
            f"a {noun}",
            f"a {noun}.",
            f"the {noun}",
            noun.upper(),
            f"{noun}s on a beach",
            f"Two {noun}s",
        ):
            assert noun in things_named(agent.search((words,), 1)[0].caption), words
    for words, setting in (("at night", "night"), ("in the snow", "snow"), ("a cat on the beach", "beach")):
        assert setting_named(agent.search((words,), 1)[0].caption) == setting, words
