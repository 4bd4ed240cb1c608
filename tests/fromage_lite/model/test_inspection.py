"""Looking inside, compared with figures computed the long way."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from fromage_lite.chat.events import RetTrace
from fromage_lite.config import GenerationSettings
from fromage_lite.model import inspection
from fromage_lite.model.inspection import PatchGrid, nearest_tokens, patch_grid
from tests.fromage_lite.fakes import hear, next_logits


@pytest.mark.parametrize("block", [7, 16_384])
def test_nearest_tokens_are_those_of_a_brute_force_search(tiny_model, pictures, monkeypatch, block):
    monkeypatch.setattr(inspection, "_BLOCK", block)
    pooled = tiny_model.image_features(pictures[:2]).pooled
    result = nearest_tokens(tiny_model, pooled, k=3)
    assert [len(tokens) for tokens in result] == [2, 2]
    rows = tiny_model.language.model.get_input_embeddings().weight.float().numpy()[: len(tiny_model.language.tokenizer)]
    with torch.no_grad():
        visual = tiny_model.visual_embeds(pooled).numpy()
    for picture, tokens in enumerate(result):
        for position, matches in enumerate(tokens):
            vector = visual[picture, position]
            lengths = [max(float(np.linalg.norm(row)), 1e-9) for row in rows]  # the row of padding is zero
            cosines = [float(row @ vector) / n / np.linalg.norm(vector) for row, n in zip(rows, lengths, strict=True)]
            order = sorted(range(len(rows)), key=lambda id: -cosines[id])[:3]
            assert [match.id for match in matches] == order
            np.testing.assert_allclose([match.cosine for match in matches], [cosines[id] for id in order], atol=1e-4)


def test_a_visual_token_that_is_a_word_finds_this_word(tiny_model, pictures):
    (cat,) = tiny_model.language.tokenize(" cat")
    with torch.no_grad():
        tiny_model.bridge.visual_embeddings.weight.zero_()
        row = tiny_model.token_embeds([cat])[0, 0].float()
        tiny_model.bridge.visual_embeddings.bias.copy_(torch.cat([row, 3 * row]))
    for matches in nearest_tokens(tiny_model, tiny_model.image_features(pictures[:1]).pooled)[0]:
        assert (matches[0].id, matches[0].text) == (cat, " cat")
        assert matches[0].cosine == pytest.approx(1, abs=1e-3)
        assert len(matches) == 8


def test_the_agent_looks_at_a_file(agent, picture):
    tokens = agent.tokens_near(picture, 2)
    assert [len(matches) for matches in tokens] == [2, 2]


def trace_of(events) -> RetTrace:
    (trace,) = [event for event in events if isinstance(event, RetTrace)]
    return trace


def ret_probability(model, text: str) -> float:
    logits = next_logits(model, text).astype(np.float64)
    logits[list(model.suppressed_ids)] = -np.inf
    return float(np.exp(logits[model.language.ret_token_id]) / np.exp(logits).sum())


def test_the_trace_has_the_models_own_probability_of_ret_at_each_step(agent, script):
    script.say("a a[RET] a", "a")
    dialogue = agent.dialogue(GenerationSettings(ret_bias=-3.0, min_word_tokens=2, temperature=0.7))
    trace = trace_of(hear(dialogue.reply("show me"))[0])
    assert trace.texts[:3] == ("a", " a", "[RET]") and len(trace.texts) == len(trace.probabilities) == 5
    for step, said in enumerate(("", " a", " a a", " a a[RET]", " a a[RET] a")):
        expected = ret_probability(agent.model, f"Q: show me\nA:{said}")
        assert trace.probabilities[step] == pytest.approx(expected, rel=1e-2)


def test_the_trace_names_what_was_read(agent, script, picture):
    script.say("a.", "b.")
    dialogue = agent.dialogue()
    first = trace_of(hear(dialogue.reply("what is it?", attachments=[picture]))[0])
    ids = agent.model.language.tokenize
    message = 1 + len(ids("Q: [")) + 2 + len(ids("] what is it?\nA:"))  # beginning, two visual tokens
    assert [(part.turn, part.positions, part.pictures) for part in first.context] == [(1, message, (picture,))]
    second = trace_of(hear(dialogue.reply("and you?"))[0])
    assert [part.turn for part in second.context] == [1, 2]
    assert second.context[0].pictures == (picture,) and second.context[1].pictures == ()
    assert second.context[0].positions == message + len(ids(" a."))
    assert second.context[1].positions == len(ids("\nQ: and you?\nA:"))


def test_patches_are_laid_over_the_picture_as_the_encoder_sees_it(tiny_parts):
    picture = Image.new("RGB", (96, 32), "white")
    for x, colour in ((32, (200, 100, 50)), (48, (10, 60, 240))):  # the middle, which is what is left of it
        picture.paste(colour, (x, 0, x + 16, 32))

    def grid_of(visual_input: str, tokens: int) -> PatchGrid | None:
        config = SimpleNamespace(visual_input=visual_input, n_visual_tokens=tokens)
        return patch_grid(SimpleNamespace(config=config, vision=tiny_parts[1]), picture)

    assert grid_of("pooled", 16) is None and grid_of("grid", 15) is None
    seen = grid_of("grid", 16)
    assert (seen.rows, seen.columns, seen.image.size) == (4, 4, (32, 32))
    assert seen.image.getpixel((8, 16)) == (200, 100, 50) and seen.image.getpixel((24, 16)) == (10, 60, 240)
