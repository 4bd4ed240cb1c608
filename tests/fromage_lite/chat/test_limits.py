"""How many pictures a message may have."""

from __future__ import annotations

import dataclasses

import pytest

from fromage_lite.chat.agent import Agent
from fromage_lite.chat.events import Failed
from fromage_lite.chat.turns import Turn
from fromage_lite.config import GenerationSettings
from fromage_lite.text.message import ImageSegment
from index.search.hits import Hit
from tests.fromage_lite.fakes import ListedPictures, hear


def fits(dialogue, message) -> bool:
    """Whether the model reads the message; the dialogue is as before."""
    events, _ = hear(dialogue.reply(message))
    if not isinstance(events[-1], Failed):
        dialogue.undo()
    return not isinstance(events[-1], Failed)


@pytest.mark.parametrize("words", [(), ("what are these?",), ("a cat, " * 8,)], ids=["no words", "few", "many"])
@pytest.mark.parametrize("held", [0, 1, 3])
def test_as_many_pictures_are_left_as_the_model_then_reads(agent, script, picture, words, held):
    dialogue = agent.dialogue(GenerationSettings(max_new_tokens=4))
    script.say(*["fine."] * (held + 2))
    for _ in range(held):
        hear(dialogue.reply("how are you?"))
    draft = (ImageSegment(picture), *words)
    left = dialogue.pictures_left(draft)
    assert left > 2
    most = (*(ImageSegment(picture),) * left, *draft)
    assert fits(dialogue, most) and dialogue.pictures_left(most) == 0
    more = (ImageSegment(picture), *most)
    assert not fits(dialogue, more) and dialogue.pictures_left(more) == -1
    assert dialogue.pictures_left((*(ImageSegment(picture),) * 4, *more)) == -5


def test_a_draft_that_is_too_long_leaves_no_picture(agent):
    for words in ("a cat, " * 10_000, "a" * 10_000_000):
        assert agent.dialogue().pictures_left((words,)) < 0


def test_a_found_picture_that_the_model_will_read_takes_the_place_of_one(tiny_model, monkeypatch, picture):
    dialogue = Agent(tiny_model, ListedPictures()).dialogue()
    shown = Turn(("show me a cat.",), ("here.", (Hit(0, 0.9, picture, ""),)), "stop")
    dialogue.turns = [shown]
    without = dialogue.pictures_left(("what is it?",))
    monkeypatch.setattr(tiny_model, "config", dataclasses.replace(tiny_model.config, sees_found=True))
    assert dialogue.pictures_left(("what is it?",)) in (without - 1, without)
    dialogue.turns = [dataclasses.replace(shown, reply=("here.", (Hit(0, 0.9, picture, ""),) * 5))]
    assert without - 6 < dialogue.pictures_left(("what is it?",)) <= without - 3
