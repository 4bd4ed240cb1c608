"""`[RET]` that people write is five characters: typed, in a dialogue's file, in a search. Only a reply's pictures are
the token."""

from __future__ import annotations

import json

import pytest
import torch

from fromage_lite.chat.dialogue import Dialogue
from fromage_lite.chat.search import query
from fromage_lite.text.marks import MARK_CLOSE, MARK_OPEN, MARKED_RET
from tests.fromage_lite.fakes import Script, hear


@pytest.fixture
def read(agent, monkeypatch):
    """What the language model reads, (T, D) a pass."""
    language, passes = agent.model.language, []
    forward = language.forward
    monkeypatch.setattr(language, "forward", lambda e, *a, **k: passes.append(e[0]) or forward(e, *a, **k))
    return passes


def rows(agent, *pieces) -> torch.Tensor:
    """Embeddings of texts as the tokenizer alone reads them, and of `[RET]` where None stands."""
    tokenizer, ids = agent.model.language.tokenizer, [agent.model.language.tokenizer.bos_token_id]
    for piece in pieces:
        ids += [agent.model.language.ret_token_id] if piece is None else tokenizer.encode(piece)
    return agent.model.token_embeds(ids)[0]


TYPED = ["what does [RET] mean?", "[RET]", f"a{MARKED_RET}b", "[RET][RET] and [RET"]


@pytest.mark.parametrize("typed", TYPED)
def test_typed_in_a_message(agent, read, typed):
    Script(agent).say("a token.")
    hear(agent.dialogue().reply(typed))
    plain = typed.replace(MARK_OPEN, "").replace(MARK_CLOSE, "")
    torch.testing.assert_close(read[0], rows(agent, f"Q: {plain}\nA:"))


def test_in_the_words_of_a_dialogues_file(agent, read):
    hit = {"id": 2, "score": 0.5, "source": "/pictures/2.png", "caption": "picture number 2"}
    data = {"version": 1, "turns": [{
        "message": [{"text": "say [RET]"}], "reason": "stop",
        "reply": [{"text": f"[RET] is it{MARKED_RET}"}, {"hits": [hit]}, {"text": " and [RET]."}]}]}  # fmt: skip
    dialogue = Dialogue.from_dict(agent.engine, json.loads(json.dumps(data)))
    Script(agent).say("yes.")
    hear(dialogue.reply("sure?"))
    expected = rows(agent, "Q: say [RET]\nA: [RET] is it[RET]", None, " and [RET].\nQ: sure?\nA:")
    torch.testing.assert_close(read[0], expected)


def test_in_a_search(agent, read):
    query(agent.engine, ["a [RET] key"])
    torch.testing.assert_close(read[0], rows(agent, "a [RET] key", None))
