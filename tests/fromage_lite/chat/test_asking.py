"""Three ways to ask: by `[RET]`, in a dialogue's context, by the encoder's own text tower."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from fromage_lite.chat.agent import Agent
from fromage_lite.chat.events import ImagesFound, Notice
from fromage_lite.chat.request import SearchRequest, parse_request
from fromage_lite.chat.search import Term
from fromage_lite.config import GenerationSettings
from fromage_lite.errors import ConfigError, MessageError
from fromage_lite.text.message import ImageSegment
from index.store.feature_store import FeatureStore
from tests.fromage_lite.fakes import ListedPictures, Script, assert_reads, hear


def found(events) -> list[str]:
    return [hit.source for event in events if isinstance(event, ImagesFound) for hit in event.hits]


def notices(events) -> list[str]:
    return [event.message for event in events if isinstance(event, Notice)]


@pytest.fixture
def captioner(tiny_model, index, monkeypatch):
    """A bridge that was not trained to find pictures, with an index of its encoder's features."""
    monkeypatch.setattr(tiny_model, "config", dataclasses.replace(tiny_model.config, has_retrieval=False))
    agent = Agent(tiny_model)
    agent.use_index(index)
    return agent


def nearest(model, index, words: str) -> str:
    """The picture whose feature has the largest cosine with the text tower's feature of the words."""
    store = FeatureStore.open(index.parent / "store")
    features = torch.nn.functional.normalize(torch.from_numpy(store.read_features(store.live_ids())), dim=1)
    scores = features @ model.vision.text_tower().encode_text([words])[0]
    return store.row(int(scores.argmax()))[0]


# --- in the context of a dialogue ---


def test_a_search_in_a_dialogue_asks_as_its_next_reply_does_and_changes_nothing(agent, script, picture):
    dialogue = agent.dialogue(GenerationSettings(max_images=1))
    script.say("here it is.[RET]", "here.[RET]", "here.[RET]", "here.[RET]")
    hear(dialogue.reply("show me a lion in the forest."))
    turns = dialogue.turns
    hits = dialogue.find([Term(1, ("and in the desert?",))], 3)
    assert dialogue.turns is turns and [hit.id for hit in hits] == [0, 1, 2], "those shown may come again"
    hear(dialogue.reply("and in the desert?"))
    alone = Agent(agent.model, agent.index)
    alone.engine.stream = agent.engine.stream
    alone.dialogue(GenerationSettings()).find([Term(1, ("and in the desert?",))], 3)
    _, searched, asked, without = agent.index.queries
    np.testing.assert_allclose(searched, asked, rtol=1e-4, atol=1e-5)
    assert not np.allclose(searched, without, atol=1e-2)
    assert_reads(script, 2, "Q: show me a lion in the forest.\nA: here it is.[RET]\nQ: and in the desert?\nA:")


def test_terms_are_mixed_in_a_dialogue_too(agent, script, picture):
    dialogue = agent.dialogue()
    script.say("here.[RET]", "here.[RET]", "here.[RET]")
    dialogue.find([Term(1, ("a cat",))], 1)
    dialogue.find([Term(1, ("a dog",))], 1)
    agent.find([Term(1, (ImageSegment(picture),))], 1)
    script.say("here.[RET]")
    dialogue.find([Term(2, ("a cat",)), Term(-1, ("a dog",)), Term(1, (ImageSegment(picture),))], 1)
    cat, dog, shown, mixed = agent.index.queries
    expected = 2 * cat - dog + shown
    np.testing.assert_allclose(mixed, expected / np.linalg.norm(expected), rtol=1e-3, atol=1e-4)


def test_what_the_user_has_hidden_stays_hidden_and_what_cannot_be_asked_is_told(agent, script):
    dialogue = agent.dialogue()
    dialogue.exclude([0, 2])
    script.say("here.[RET]")
    assert [hit.id for hit in dialogue.find([Term(1, ("a cat",))], 3, exclude=[1])] == [3, 4]
    with pytest.raises(MessageError, match="nothing to search"):
        dialogue.find([Term(1, (" ",))], 3)
    asked = SearchRequest((Term(1, ("a cat",)),), min_score=0.65, top=9)
    script.say("here.[RET]")
    assert [hit.id for hit in dialogue.look_up(asked)] == [1], "of 0.9, 0.8, 0.7 and so on"
    with pytest.raises(ConfigError, match="no dialogue to ask in"):
        agent.search(["a cat"], 3, by="dialogue")
    script.say("a long reply")
    reply = dialogue.reply("hello")
    next(reply)
    with pytest.raises(MessageError, match="still being made"):
        dialogue.find([Term(1, ("a cat",))], 3)


def test_a_search_that_fails_leaves_the_dialogue_as_it_was(agent, script):
    dialogue = agent.dialogue()
    script.say("fine.\n", RuntimeError("broken"), "well.\n")
    hear(dialogue.reply("hello."))
    with pytest.raises(RuntimeError):
        dialogue.find([Term(1, ("a cat",))], 3)
    hear(dialogue.reply("thanks."))
    assert_reads(script, 2, "Q: hello.\nA: fine.\nQ: thanks.\nA:")


# --- by the text tower ---


def test_a_bridge_is_asked_by_its_encoders_text_tower(tiny_model, index):
    agent = Agent(tiny_model)
    agent.use_index(index)
    assert agent.engine.ways == ("ret", "dialogue", "text-tower")
    for words in ("a cat", "red", "something green at night"):
        assert agent.search([words], 1, by="text-tower")[0].source == nearest(tiny_model, index, words)
    asked = parse_request(["red by:text-tower folder:album top:2"])
    assert [hit.source for hit in agent.look_up(asked)][0] == nearest(tiny_model, index, "red")
    assert not agent.look_up(parse_request(["red by:text-tower folder:elsewhere"]))
    tower = agent.engine.tower
    agent.use_index(index)
    assert agent.engine.tower is not tower, "another index is another tower"


def test_the_text_tower_needs_the_encoders_features(tiny_model):
    with pytest.raises(ConfigError, match="keeps no features"):
        Agent(tiny_model, ListedPictures()).search(["a cat"], 1, by="text-tower")
    with pytest.raises(ConfigError, match="There is no index"):
        Agent(tiny_model).search(["a cat"], 1, by="text-tower")


def test_an_encoder_without_a_text_tower_can_not_be_asked(tiny_model, index, monkeypatch):
    monkeypatch.setattr(tiny_model.vision, "_backend", dataclasses.replace(tiny_model.vision._backend, load_tower=None))
    agent = Agent(tiny_model)
    agent.use_index(index)
    assert agent.engine.ways == ("ret", "dialogue")
    with pytest.raises(ConfigError, match="no text tower") as error:
        agent.search(["a cat"], 1, by="text-tower")
    assert error.value.hint == "Ask by ret or dialogue."


# --- a chat whose bridge has no [RET] ---


def test_without_ret_a_request_finds_by_the_text_tower(captioner, index):
    script = Script(captioner)
    dialogue = captioner.dialogue()
    script.say("here.[RET]", "a cat.")
    events, text = hear(dialogue.reply("please show me a picture of a cat."))
    assert text.strip() == "here." and found(events) == [nearest(captioner.model, index, "a cat")]
    assert notices(events) == ["Found by the image encoder's own text tower: a cat"]
    assert [hit.source for hit in dialogue.turns[0].hits] == found(events)
    events, _ = hear(dialogue.reply("what is it?"))
    assert not found(events)
    # The language model has never heard of the picture.
    assert_reads(script, 1, "Q: please show me a picture of a cat.\nA: here.\nQ: what is it?\nA:")


def test_without_ret_a_dialogue_from_elsewhere_is_read_without_its_pictures(captioner, index):
    script = Script(captioner)
    dialogue = captioner.dialogue()
    script.say("here.", "a cat.")
    hear(dialogue.reply("show me a cat."))
    again = captioner.dialogue()
    again.turns = dialogue.turns
    hear(again.reply("what is it?"))
    assert_reads(script, 1, "Q: show me a cat.\nA: here.\nQ: what is it?\nA:")


def test_without_ret_pictures_follow_the_settings(captioner, index):
    script = Script(captioner)
    script.say("well.", "well.", "well.", "well.", "well.")
    never = captioner.dialogue(GenerationSettings(ret_mode="off"))
    assert not found(hear(never.reply("show me a cat."))[0])
    always = captioner.dialogue(GenerationSettings(ret_mode="always", images_per_ret=2))
    events = hear(always.reply("the cat sat"))[0]
    assert found(events)[0] == nearest(captioner.model, index, "the cat sat") and len(found(events)) == 2
    assert len(set(found(events) + found(hear(always.reply("the cat sat"))[0]))) == 4, "none comes twice"
    captioner.use_index("none")
    events = hear(captioner.dialogue().reply("show me a cat."))[0]
    assert not found(events) and not notices(events)


def test_a_search_without_ret_is_by_the_text_tower(captioner, index):
    assert captioner.engine.ways == ("text-tower",) and captioner.way == "text-tower"
    assert captioner.search(["red"], 1)[0].source == nearest(captioner.model, index, "red")
    for by in ("ret", "dialogue"):
        with pytest.raises(ConfigError, match=f"can't be asked by {by}"):
            captioner.search(["red"], 1, by=by)
