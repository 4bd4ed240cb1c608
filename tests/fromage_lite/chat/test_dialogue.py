"""Turns, events and what the model sees of them."""

from __future__ import annotations

import dataclasses
import json
import threading

import numpy as np

from fromage_lite.chat.agent import Agent
from fromage_lite.chat.choosing import AGAIN, NEAREST
from fromage_lite.chat.dialogue import Dialogue
from fromage_lite.chat.events import Done, Failed, ImagesFound, Notice, RetTrace, Statistics, TextDelta
from fromage_lite.chat.turns import Turn
from fromage_lite.config import GenerationSettings
from fromage_lite.errors import MessageError
from fromage_lite.text.message import ImageSegment
from fromage_lite.text.spelling import Spelling
from index.search.hits import Hit
from tests.fromage_lite.fakes import ListedPictures, Script, as_said, assert_reads, hear


def test_events_come_in_order_and_add_up(agent, script):
    script.say("here you are.[RET] a cat.")
    events, text = hear(agent.dialogue().reply("show me a cat."))
    kinds = [type(event) for event in events]
    assert kinds[-2:] == [Statistics, Done]
    assert kinds.count(Statistics) == kinds.count(Done) == kinds.count(ImagesFound) == 1
    found = kinds.index(ImagesFound)
    before = "".join(e.text for e in events[:found] if isinstance(e, TextDelta))
    assert before == "here you are."
    assert events[found].hits == (agent.index.hits[0],)
    assert text == events[-1].text == "here you are. a cat."
    assert events[-1].reason == "stop"
    statistics = events[-2]
    assert statistics.cached_tokens == 0
    assert statistics.prompt_tokens == len(agent.model.language.tokenize("Q: show me a cat.\nA:", add_bos=True))
    # The line break that ends the reply was generated too.
    assert statistics.new_tokens == len(agent.model.language.tokenize(as_said(" here you are.[RET] a cat.\n")))
    assert statistics.time_to_first_token > 0 and statistics.tokens_per_second > 0


def test_a_turn_feeds_only_its_own_tokens(agent, script):
    script.say("fine.", "yes.")
    dialogue = agent.dialogue()
    hear(dialogue.reply("how are you?"))
    (*_, statistics, _), _ = hear(dialogue.reply("really?"))
    first = agent.model.language.tokenize("Q: how are you?\nA: fine.", add_bos=True)
    second = agent.model.language.tokenize("\nQ: really?\nA:")
    assert statistics.cached_tokens + statistics.prompt_tokens == len(first) + len(second)
    assert statistics.prompt_tokens <= len(second) + 1  # the last token said waits for the next message


def test_the_model_sees_the_dialogue_as_one_text_with_ret_where_pictures_came(agent, script):
    script.say("here.[RET]", "a dog.", "yes.")
    dialogue = agent.dialogue()
    for message in ("show me a cat.", "and\nyou?", "no?"):
        hear(dialogue.reply(message))
    assert_reads(script, 1, "Q: show me a cat.\nA: here.[RET]\nQ: and you?\nA:")
    assert_reads(script, 2, "Q: show me a cat.\nA: here.[RET]\nQ: and you?\nA: a dog.\nQ: no?\nA:")


def test_undo_takes_the_turn_out_of_the_models_memory_and_gives_its_pictures_back(agent, script):
    script.say("one.[RET]", "two.[RET]", "three.[RET]")
    dialogue = agent.dialogue()
    hear(dialogue.reply("first"))
    hear(dialogue.reply("second"))
    assert dialogue.shown == {0, 1}
    assert dialogue.undo().text == "two."
    assert dialogue.shown == {0}
    events, _ = hear(dialogue.reply("third"))
    assert_reads(script, 2, "Q: first\nA: one.[RET]\nQ: third\nA:")
    assert [hit.id for event in events if isinstance(event, ImagesFound) for hit in event.hits] == [1]
    assert [turn.text for turn in dialogue.turns] == ["one.", "three."]


def test_undo_of_nothing_is_none_and_reset_begins_anew(agent, script):
    script.say("one.[RET]", "two.")
    dialogue = agent.dialogue()
    assert dialogue.undo() is None
    hear(dialogue.reply("first"))
    dialogue.reset()
    assert dialogue.turns == [] and dialogue.shown == set()
    hear(dialogue.reply("second"))
    assert_reads(script, 1, "Q: second\nA:")


def test_regenerate_replaces_the_last_reply_and_brings_another_picture(agent, script):
    script.say("one.[RET]", "two.[RET]", "zwei.[RET]", "deux.[RET]")
    dialogue = agent.dialogue()
    hear(dialogue.reply("first"))
    hear(dialogue.reply("second"))
    hear(dialogue.regenerate())
    assert [turn.text for turn in dialogue.turns] == ["one.", "zwei."]
    assert_reads(script, 2, "Q: first\nA: one.[RET]\nQ: second\nA:")
    assert dialogue.shown == {0, 2}
    hear(dialogue.regenerate())
    assert dialogue.shown == {0, 3}, "neither of the two pictures that were not wanted"


def test_regenerate_without_a_turn_fails(agent):
    (event,) = agent.dialogue().regenerate()
    assert isinstance(event, Failed) and isinstance(event.error, MessageError)


def test_pictures_in_a_message_are_seen(agent, script, picture):
    script.say("red.", "red.", "red.")
    hear(agent.dialogue().reply("what is it?", attachments=[picture]))
    hear(agent.dialogue().reply(f"<image:{picture}> what is it?"))
    hear(agent.dialogue().reply([ImageSegment(picture), "what is it?"]))
    np.testing.assert_array_equal(script.logits[0], script.logits[1])
    np.testing.assert_array_equal(script.logits[0], script.logits[2])
    script.say("nothing.")
    hear(agent.dialogue().reply("what is it?"))
    assert not np.allclose(script.logits[0], script.logits[3])


def test_misspelt_words_are_read_as_they_were_meant_and_kept_as_they_were_typed(agent, script):
    agent.model.spelling = Spelling(["show", "elephant"])
    script.say("here.", "yes.", "again.")
    dialogue = agent.dialogue()
    events, _ = hear(dialogue.reply("shwo me an elefant"))
    assert [event.message for event in events if isinstance(event, Notice)] == ["Read as: show me an elephant"]
    events, _ = hear(dialogue.reply("show me a wolf"))
    assert not [event for event in events if isinstance(event, Notice)]
    assert_reads(script, 1, "Q: show me an elephant\nA: here.\nQ: show me a wolf\nA:")
    assert dialogue.turns[0].message == ("shwo me an elefant",)
    restored = Dialogue.from_dict(agent.engine, dialogue.to_dict())
    hear(restored.reply("an elefant"))
    assert_reads(script, 2, "Q: show me an elephant\nA: here.\nQ: show me a wolf\nA: yes.\nQ: an elephant\nA:")


def test_without_the_setting_misspelt_words_are_read_as_typed_from_the_next_reply_on(agent, script):
    agent.model.spelling = Spelling(["show", "elephant"])
    script.say("here.", "yes.")
    dialogue = agent.dialogue()
    hear(dialogue.reply("an elefant"))
    dialogue.settings = dataclasses.replace(dialogue.settings, spelling="off")
    events, _ = hear(dialogue.reply("shwo it"))
    assert not [event for event in events if isinstance(event, Notice)]
    assert_reads(script, 1, "Q: an elefant\nA: here.\nQ: shwo it\nA:")


def test_a_picture_alone_is_a_message(agent, script, picture):
    script.say("red.")
    events, _ = hear(agent.dialogue().reply("", attachments=[picture]))
    assert isinstance(events[-1], Done)


def test_cancel_ends_within_one_token_and_keeps_what_was_said(agent, script):
    script.say("a a a a a a a a", "yes.")
    cancel = threading.Event()
    dialogue = agent.dialogue()
    said = []
    for event in dialogue.reply("count", cancel=cancel):
        said.append(event)
        if len(said) == 3:
            cancel.set()
    assert [type(event) for event in said] == [TextDelta] * 3 + [RetTrace, Statistics, Done]
    assert said[-1] == Done("a a a", "cancelled")
    assert dialogue.turns[0].text == "a a a" and dialogue.turns[0].reason == "cancelled"
    hear(dialogue.reply("again"))
    assert_reads(script, 1, "Q: count\nA: a a a\nQ: again\nA:")


def test_max_new_tokens_ends_a_reply_for_length(agent, script):
    script.say("a a a a a a a a")
    dialogue = agent.dialogue(GenerationSettings(max_new_tokens=4))
    events, text = hear(dialogue.reply("count"))
    assert events[-1] == Done("a a a a", "length") and text == "a a a a"


def test_pictures_are_never_shown_twice_and_running_out_is_said(agent, script):
    agent.engine.index = ListedPictures(2)
    script.say("a[RET]b[RET]c[RET]", "more[RET]")
    dialogue = agent.dialogue(GenerationSettings(max_images=5))
    events, _ = hear(dialogue.reply("all"))
    assert [e.hits[0].id for e in events if isinstance(e, ImagesFound)] == [0, 1]
    assert sum(isinstance(e, Notice) for e in events) == 1
    events, _ = hear(dialogue.reply("more"))
    assert not any(isinstance(e, ImagesFound) for e in events)
    assert any(isinstance(e, Notice) for e in events)


def test_several_pictures_for_one_ret_up_to_the_limit_of_the_reply(agent, script):
    script.say("a[RET]b[RET]c[RET]")
    dialogue = agent.dialogue(GenerationSettings(images_per_ret=2, max_images=3))
    events, _ = hear(dialogue.reply("all"))
    assert [[hit.id for hit in e.hits] for e in events if isinstance(e, ImagesFound)] == [[0, 1], [2]]


def test_pictures_below_the_threshold_are_left_out(agent, script):
    script.say("here.[RET]")
    events, _ = hear(agent.dialogue(GenerationSettings(score_threshold=0.95)).reply("a cat"))
    assert not any(isinstance(e, ImagesFound) for e in events)


def test_settings_take_effect_at_the_next_reply(agent, script):
    script.say("a[RET]", "b[RET]")
    dialogue = agent.dialogue()
    hear(dialogue.reply("one"))
    dialogue.settings = GenerationSettings(ret_mode="off")
    events, _ = hear(dialogue.reply("two"))
    assert dialogue.shown == {0} and not any(isinstance(e, ImagesFound) for e in events)


def test_without_an_index_a_picture_that_the_model_would_give_is_a_notice(tiny_model):
    agent = Agent(tiny_model)
    Script(agent).say("a[RET] and", "b", "c[RET]", "d[RET]")
    dialogue = agent.dialogue()
    events, text = hear(dialogue.reply("one"))
    assert text == "a and" and not any(isinstance(e, ImagesFound) for e in events)
    (notice,) = [e for e in events if isinstance(e, Notice)]
    assert "no index" in notice.message
    events, text = hear(dialogue.reply("two"))
    assert text == "b" and not any(isinstance(e, Notice) for e in events)
    dialogue.settings = GenerationSettings(ret_mode="always")
    assert any(isinstance(e, Notice) for e in dialogue.reply("three"))
    assert not any(isinstance(e, Notice) for e in dialogue.reply("four")), "said once"


def test_a_dialogue_survives_json_and_is_read_again_at_the_next_reply(agent, script, picture):
    script.say("here.[RET] look.", "red.", "yes.", "yes.")
    dialogue = agent.dialogue(GenerationSettings(temperature=0.5, seed=7))
    hear(dialogue.reply("show me a cat."))
    hear(dialogue.reply("what is it?", attachments=[picture]))
    again = Dialogue.from_dict(agent.engine, json.loads(json.dumps(dialogue.to_dict())))
    assert again.turns == dialogue.turns
    assert again.settings == dialogue.settings
    assert again.shown == {0}
    hear(dialogue.reply("sure?"))
    hear(again.reply("sure?"))
    np.testing.assert_allclose(script.logits[2], script.logits[3], rtol=1e-3, atol=1e-3)


def test_a_dialogue_that_an_earlier_version_saved_is_read(agent):
    hit = {"id": 2, "score": 0.5, "source": "/pictures/2.png", "caption": "picture number 2"}
    saved = {
        **agent.dialogue().to_dict(),
        "turns": [{"message": [{"text": "show me"}], "reply": [{"hits": [hit]}], "reason": "stop"}],
    }
    again = Dialogue.from_dict(agent, json.loads(json.dumps(saved)))
    assert again.turns == [Turn(("show me",), ((Hit(2, 0.5, "/pictures/2.png", "picture number 2"),),), "stop")]


def test_a_seed_makes_sampled_replies_repeatable_and_regeneration_differs(agent):
    settings = GenerationSettings(temperature=1.0, seed=3, max_new_tokens=12, ret_mode="off")

    def talk():
        dialogue = agent.dialogue(settings)
        replies = [hear(dialogue.reply(m))[1] for m in ("one", "two")]
        return [*replies, hear(dialogue.regenerate())[1]]

    first, second = talk(), talk()
    assert first == second
    assert first[1] != first[2]


def with_match_score(monkeypatch, model, score):
    monkeypatch.setattr(model, "config", dataclasses.replace(model.config, match_score=score))


def test_the_only_picture_that_fits_is_shown_again_and_said_to_be_so(agent, script, monkeypatch):
    """Pictures 0 and 1 fit (0.9 and 0.8), picture 2 does not."""
    with_match_score(monkeypatch, agent.model, 0.75)
    script.say("a.[RET]", "b.[RET]", "c.[RET]")
    dialogue, shown, told = agent.dialogue(), [], []
    for _ in range(3):
        events, _ = hear(dialogue.reply("show me a whale at night."))
        shown += [hit.id for event in events if isinstance(event, ImagesFound) for hit in event.hits]
        told.append([event.message for event in events if isinstance(event, Notice)])
    assert shown == [0, 1, 0]
    assert told == [[], [], [AGAIN]]


def test_where_nothing_fits_the_nearest_is_shown_and_said_to_be_no_more(agent, script, monkeypatch):
    with_match_score(monkeypatch, agent.model, 0.95)
    script.say("a.[RET]")
    events, _ = hear(agent.dialogue().reply("show me a dog and a ball."))
    found = next(number for number, event in enumerate(events) if isinstance(event, ImagesFound))
    assert [hit.id for hit in events[found].hits] == [0]
    assert events[found + 1] == Notice(NEAREST)
