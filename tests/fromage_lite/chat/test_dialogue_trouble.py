"""Bad input, errors in the middle of a reply, and dialogues that outgrow the model."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fromage_lite.chat.dialogue import Dialogue
from fromage_lite.chat.events import Done, Failed, ImagesFound, Notice
from fromage_lite.config import GenerationSettings
from fromage_lite.errors import DataError, ImageError, MessageError, StoreError
from tests.fromage_lite.fakes import assert_reads, hear, next_logits


def test_a_failed_regeneration_keeps_the_old_reply(agent, script):
    script.say("one.", RuntimeError("the graphics card has left"), "two.")
    dialogue = agent.dialogue()
    hear(dialogue.reply("first"))
    events, _ = hear(dialogue.regenerate())
    assert isinstance(events[-1], Failed)
    assert [turn.text for turn in dialogue.turns] == ["one."]
    hear(dialogue.reply("second"))
    assert_reads(script, 2, "Q: first\nA: one.\nQ: second\nA:")


@pytest.mark.parametrize("message", ["", "  \n\t ", "\x00\x1b[0m", (), ("", " ")])
def test_an_empty_message_is_refused(agent, message):
    dialogue = agent.dialogue()
    (event,) = dialogue.reply(message)
    assert isinstance(event, Failed) and isinstance(event.error, MessageError)
    assert dialogue.turns == []


def test_a_bad_picture_fails_and_leaves_the_dialogue_as_it_was(agent, script, tmp_path):
    script.say("fine.", "yes.")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    dialogue = agent.dialogue()
    hear(dialogue.reply("hello"))
    for path in (str(bad), str(tmp_path / "missing.png"), str(tmp_path)):
        (event,) = dialogue.reply("look", attachments=[path])
        assert isinstance(event, Failed) and isinstance(event.error, ImageError)
    assert len(dialogue.turns) == 1
    hear(dialogue.reply("again"))
    assert_reads(script, 1, "Q: hello\nA: fine.\nQ: again\nA:")


def test_an_index_that_is_lost_costs_the_pictures_and_not_the_words(agent, script, monkeypatch):
    lost = StoreError("The server does not answer.", "Start it again.")
    search = agent.index.search

    def fails(*arguments, **options):
        raise lost

    script.say("here [RET] it is.", "here [RET] again.")
    dialogue = agent.dialogue()
    monkeypatch.setattr(agent.index, "search", fails)
    events, text = hear(dialogue.reply("show me a dog"))
    assert text.strip() == "here it is." and isinstance(events[-1], Done)
    assert [event.message for event in events if isinstance(event, Notice)] == [str(lost)]
    monkeypatch.setattr(agent.index, "search", search)
    events, _ = hear(dialogue.reply("and now?"))
    assert [hit.id for event in events if isinstance(event, ImagesFound) for hit in event.hits] == [0]
    assert len(dialogue.turns) == 2


def test_an_error_inside_the_model_becomes_failed_and_leaves_no_trace(agent, script):
    script.say("fine.", RuntimeError("cuda: device lost"), "yes.")
    dialogue = agent.dialogue()
    hear(dialogue.reply("hello"))
    events, text = hear(dialogue.reply("break"))
    assert text.strip() == "well"
    assert isinstance(events[-1], Failed) and "device lost" in str(events[-1].error)
    assert len(dialogue.turns) == 1
    hear(dialogue.reply("again"))
    assert_reads(script, 2, "Q: hello\nA: fine.\nQ: again\nA:")


def test_an_error_in_the_middle_of_a_forward_pass_leaves_no_trace(agent, script, monkeypatch):
    # The first layer's cache has grown and the second's has not: a plain crop would leave them uneven.
    script.say("fine.", "never said.", "yes.")
    dialogue = agent.dialogue()
    hear(dialogue.reply("hello"))
    layer = agent.model.language.model.model.decoder.layers[1]
    with monkeypatch.context() as patch:
        patch.setattr(layer, "forward", lambda *a, **k: (_ for _ in ()).throw(MemoryError("out of memory")))
        events, _ = hear(dialogue.reply("break"))
    assert isinstance(events[-1], Failed)
    hear(dialogue.reply("again"))
    assert_reads(script, 1, "Q: hello\nA: fine.\nQ: again\nA:")


@pytest.mark.parametrize("read", [1, 2, 3])
def test_a_reader_who_leaves_early_leaves_the_dialogue_as_it_was(agent, script, read):
    script.say("fine.", "one two three four", "yes.")
    dialogue = agent.dialogue()
    hear(dialogue.reply("hello"))
    events = dialogue.reply("count")
    list(itertools.islice(events, read))
    events.close()
    assert len(dialogue.turns) == 1
    hear(dialogue.reply("again"))
    assert_reads(script, 2, "Q: hello\nA: fine.\nQ: again\nA:")


def test_ctrl_c_in_the_model_is_passed_on_and_leaves_no_trace(agent, script):
    script.say("fine.", KeyboardInterrupt(), "yes.")
    dialogue = agent.dialogue()
    hear(dialogue.reply("hello"))
    with pytest.raises(KeyboardInterrupt):
        hear(dialogue.reply("break"))
    hear(dialogue.reply("again"))
    assert_reads(script, 2, "Q: hello\nA: fine.\nQ: again\nA:")


def test_only_one_reply_at_a_time(agent, script):
    script.say("fine.")
    dialogue = agent.dialogue()
    events = dialogue.reply("hello")
    next(events)
    (refused,) = dialogue.reply("me too")
    assert isinstance(refused, Failed) and isinstance(refused.error, MessageError)
    with pytest.raises(MessageError):
        dialogue.undo()
    hear(events)
    assert len(dialogue.turns) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("turns"),
        lambda data: data.update(version=99),
        lambda data: data.update(settings={"warmth": 3}),
        lambda data: data.update(settings=[1]),
        lambda data: data["turns"][0].pop("message"),
        lambda data: data["turns"][0].update(reason="boredom"),
        lambda data: data["turns"][0].update(reply=[{"text": 5}]),
        lambda data: data["turns"].append("turn"),
    ],
)
def test_damaged_saved_dialogues_are_refused(agent, script, change):
    script.say("fine.")
    dialogue = agent.dialogue()
    hear(dialogue.reply("hello"))
    data = dialogue.to_dict()
    change(data)
    with pytest.raises(DataError):
        Dialogue.from_dict(agent.engine, data)


def test_a_picture_that_has_gone_does_not_end_a_saved_dialogue(agent, script, picture, tmp_path):
    script.say("red.", "yes.")
    dialogue = agent.dialogue()
    hear(dialogue.reply("what is it?", attachments=[picture]))
    data = dialogue.to_dict()
    (tmp_path / "red picture.png").unlink()
    events, _ = hear(Dialogue.from_dict(agent.engine, data).reply("sure?"))
    assert isinstance(events[0], Notice) and "red picture.png" in events[0].message
    assert isinstance(events[-1], Done)


def test_a_long_dialogue_drops_its_oldest_turns_with_a_notice(agent, script):
    dialogue = agent.dialogue(GenerationSettings(max_new_tokens=8))
    notices = []
    for number in range(30):  # 128 positions hold about ten of these
        script.say("a cat.")
        events, _ = hear(dialogue.reply(f"what is {number}?"))
        assert isinstance(events[-1], Done)
        notices += [(number, event) for event in events if isinstance(event, Notice)]
    assert 2 <= len(notices) <= 10, "turns are dropped in bunches, not one a turn"
    assert len(dialogue.turns) == 30, "the dialogue itself loses nothing"
    matches = 0
    for first in range(29):  # whichever turn the view begins with, it is a whole one
        text = "\n".join(f"Q: what is {i}?\nA: a cat." for i in range(first, 29)) + "\nQ: what is 29?\nA:"
        if len(agent.model.language.tokenize(text, add_bos=True)) <= 128:
            seen = np.isfinite(script.logits[29])
            matches += np.allclose(script.logits[29][seen], next_logits(agent.model, text)[seen], rtol=1e-3, atol=1e-3)
    assert matches == 1


def test_undo_and_regenerate_work_after_turns_were_dropped(agent, script):
    dialogue = agent.dialogue(GenerationSettings(max_new_tokens=8))
    for number in range(15):
        script.say("a cat.")
        hear(dialogue.reply(f"what is {number}?"))
    script.say("a dog.")
    events, _ = hear(dialogue.regenerate())
    assert isinstance(events[-1], Done) and dialogue.turns[-1].text == "a dog."
    while dialogue.undo():
        pass
    script.say("fine.")
    hear(dialogue.reply("hello"))
    assert_reads(script, -1, "Q: hello\nA:")


@pytest.mark.parametrize("piece", ["a", "cat ", "a b c", "\u4e16\U0001f600"])
def test_a_message_of_100000_characters_is_refused_and_says_how_long_it_may_be(agent, script, piece):
    script.say("fine.", "yes.")
    dialogue = agent.dialogue()
    hear(dialogue.reply("hello"))
    (event,) = dialogue.reply((piece * 100_000)[:99_999] + ".")
    assert isinstance(event, Failed) and isinstance(event.error, MessageError)
    assert "100,000" in event.error.message
    assert len(dialogue.turns) == 1
    hear(dialogue.reply("again"))
    assert_reads(script, 1, "Q: hello\nA: fine.\nQ: again\nA:")


def test_the_longest_message_that_is_promised_to_fit_fits(agent, script):
    (event,) = agent.dialogue().reply("a cat. " * 100)
    allowed = int(event.error.message.split("about ")[1].split()[0].replace(",", ""))
    script.say("fine.")
    events, _ = hear(agent.dialogue().reply(("a cat. " * 100)[:allowed]))
    assert isinstance(events[-1], Done)


def test_too_many_pictures_are_refused(agent, picture):
    (event,) = agent.dialogue().reply("all", attachments=[picture] * 100)
    assert isinstance(event, Failed) and isinstance(event.error, MessageError)


def test_a_reply_stops_at_the_models_last_position(agent, script):
    # The reply has a quarter of the positions for sure; a larger wish is cut where the positions end.
    script.say("a " * 300)
    events, _ = hear(agent.dialogue(GenerationSettings(max_new_tokens=300)).reply("count"))
    assert isinstance(events[-1], Done) and events[-1].reason == "length"
    statistics = events[-2]
    assert statistics.prompt_tokens + statistics.new_tokens == 128


def test_a_long_saved_dialogue_is_read_only_as_far_as_the_model_reaches(agent, script, picture, monkeypatch):
    data = agent.dialogue().to_dict()
    turn = {"message": [{"image": picture}, {"text": "a cat?"}], "reply": [{"text": "yes."}], "reason": "stop"}
    data["turns"] = [turn] * 500
    asked = []
    features = agent.engine.features
    monkeypatch.setattr(agent.engine, "features", lambda path: asked.append(path) or features(path))
    script.say("yes.")
    events, _ = hear(Dialogue.from_dict(agent.engine, data).reply("sure?"))
    assert isinstance(events[0], Notice) and isinstance(events[-1], Done)
    assert len(asked) < 50
