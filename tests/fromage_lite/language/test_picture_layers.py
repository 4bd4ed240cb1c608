"""Pictures inside a decoder: against the same decoder unrolled by hand, and masks against brute force."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from transformers import GPTJConfig, GPTJForCausalLM, LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM

from fromage_lite.errors import ConfigError
from fromage_lite.language.model import LanguageModel
from fromage_lite.language.picture_layers import FIRST, LATER, TEXT, PicturePlan

LAYERS, WIDTH = 4, 16


def make(kind, tokenizer, attention="sdpa"):
    torch.manual_seed(4)
    attention = "eager" if kind == "gptj" else attention  # it has no other
    shape = {"vocab_size": 60, "attn_implementation": attention, "bos_token_id": 1, "eos_token_id": 1}
    if kind == "opt":
        config = OPTConfig(
            hidden_size=WIDTH, word_embed_proj_dim=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2, ffn_dim=32,
            max_position_embeddings=64, init_std=0.3, pad_token_id=0, **shape,
        )  # fmt: skip
        model = OPTForCausalLM(config)
    elif kind == "llama":
        config = LlamaConfig(
            hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=LAYERS, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=64, initializer_range=0.3, **shape,
        )  # fmt: skip
        model = LlamaForCausalLM(config)
    else:
        config = GPTJConfig(
            n_embd=WIDTH, n_layer=LAYERS, n_head=2, rotary_dim=4, n_positions=64, initializer_range=0.3, **shape
        )
        model = GPTJForCausalLM(config)
    return LanguageModel(model, tokenizer, kind)


@pytest.fixture(params=["opt", "llama", "gptj"])
def language(request, tiny_tokenizer):
    return make(request.param, tiny_tokenizer)


def text(language, generator, count=5):
    return language.text_rows(torch.randn(1, count, WIDTH, generator=generator))


def pictures(language, generator, count=1, values=2):
    inside = torch.randn(1, count, values, WIDTH, generator=generator)
    return language.picture_rows(torch.zeros(1, count, WIDTH), inside)


# --- masks ---


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("layers", [(), (2,)])
def test_masks_are_what_counting_pairs_gives(tiny_tokenizer, both_ways, layers):
    language = make("opt", tiny_tokenizer)
    language.place_pictures(PicturePlan(layers, len(layers), both_ways))
    marks = torch.tensor([
        [TEXT, TEXT, FIRST, LATER, LATER, FIRST, LATER, TEXT, TEXT],
        [FIRST, TEXT, TEXT, FIRST, LATER, TEXT, FIRST, FIRST, LATER],
    ])  # fmt: skip
    real = torch.ones(2, 9, dtype=torch.bool)
    real[0, :2] = False
    below, seen = language._decoder.pictures.masks(marks, 6, real)
    picture_of = [[0, 0, 1, 1, 1, 2, 2, 0, 0], [1, 0, 0, 2, 2, 0, 3, 4, 4]]
    for b in range(2):
        for row in range(3, 9):
            for column in range(9):
                same = picture_of[b][row] == picture_of[b][column] != 0
                may = (column <= row or (both_ways and same)) and bool(real[b, column])
                assert bool(seen[b, 0, row - 3, column]) == (may or row == column)
                hidden = bool(layers) and picture_of[b][column] != 0
                assert bool(below[b, 0, row - 3, column]) == ((may and not hidden) or row == column)


# --- injection against an unrolled decoder ---


def attend(q, k, v, seen):
    scores = (q @ k.transpose(-1, -2)) / q.shape[-1] ** 0.5
    return scores.masked_fill(~seen, float("-inf")).softmax(dim=-1) @ v


def unrolled_opt(language, embeds, is_picture, values, plan):
    """OPT's decoder written out position by position, with pictures replaced where the plan says so."""
    decoder, count = language.decoder, embeds.shape[1]
    hidden = (embeds + decoder.embed_positions.weight[2 : 2 + count])[0]
    causal = torch.ones(count, count).tril().bool()
    below = (causal & ~is_picture[None]) | torch.eye(count).bool()
    for number, layer in enumerate(decoder.layers):
        if number in plan.layers:
            slot = plan.layers.index(number) * plan.values // len(plan.layers)
            hidden = hidden.clone()
            hidden[is_picture] = values[:, slot]
        seen = below if number < plan.layers[0] else causal
        x, attention = layer.self_attn_layer_norm(hidden), layer.self_attn
        parts = [
            p(x).view(count, 2, WIDTH // 2).transpose(0, 1)
            for p in (attention.q_proj, attention.k_proj, attention.v_proj)
        ]
        mixed = attend(*parts, seen).transpose(0, 1).reshape(count, WIDTH)
        hidden = hidden + attention.out_proj(mixed)
        hidden = hidden + layer.fc2(F.relu(layer.fc1(layer.final_layer_norm(hidden))))
    return decoder.final_layer_norm(hidden)[None]


@torch.no_grad()
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_injection_is_what_the_decoder_written_out_gives(tiny_tokenizer, attention):
    language, generator = make("opt", tiny_tokenizer, attention), torch.Generator().manual_seed(1)
    plan = PicturePlan((1, 2), 2)
    language.place_pictures(plan)
    rows = torch.cat([text(language, generator, 3), pictures(language, generator), text(language, generator, 4)], dim=1)
    is_picture = torch.tensor([False] * 3 + [True] + [False] * 4)
    values = rows[0, is_picture, WIDTH + 1 :].view(1, 2, WIDTH)
    expected = unrolled_opt(language, rows[..., :WIDTH], is_picture, values, plan)
    torch.testing.assert_close(language.forward(rows).hidden, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_below_its_first_layer_a_picture_is_not_there(language):
    generator = torch.Generator().manual_seed(2)
    language.place_pictures(PicturePlan((2,), 2))
    before, after = text(language, generator, 3), text(language, generator, 3)
    one, other = (pictures(language, generator) for _ in range(2))
    states = [language.forward(torch.cat([before, p, after], dim=1), layers=range(5)).layers for p in (one, other)]
    for layer in range(5):
        same = torch.allclose(states[0][layer][:, 4:], states[1][layer][:, 4:], atol=1e-6)
        assert same == (layer <= 2), layer


# --- the cache ---


@torch.no_grad()
@pytest.mark.parametrize(
    "plan", [PicturePlan((1, 3), 2), PicturePlan((), 0, both_ways=True), PicturePlan((0,), 1, True)]
)
def test_reading_in_parts_equals_reading_at_once_and_undo_equals_never(language, plan):
    generator = torch.Generator().manual_seed(3)
    language.place_pictures(plan)
    see = lambda count: pictures(language, generator, count, plan.values)  # noqa: E731
    parts = [text(language, generator, 3), see(3), torch.cat([text(language, generator, 2), see(2)], dim=1)]
    parts += [text(language, generator, 1), text(language, generator, 1)]
    whole = language.forward(torch.cat(parts, dim=1)).hidden
    cache = language.new_cache()
    found = torch.cat([language.forward(part, cache).hidden for part in parts], dim=1)
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=1e-5)
    cache.crop(-4)  # ends between two pictures' positions and text
    again = torch.cat([text(language, generator, 2), see(1), text(language, generator, 1)], dim=1)
    kept = torch.cat([*parts[:2], parts[2][:, :2]], dim=1)
    fresh = language.forward(torch.cat([kept, again], dim=1)).hidden[:, kept.shape[1] :]
    torch.testing.assert_close(language.forward(again, cache).hidden, fresh, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_batch_padded_on_the_left_equals_its_rows_alone(language):
    generator = torch.Generator().manual_seed(6)
    language.place_pictures(PicturePlan((1, 2), 2, both_ways=True))
    long = torch.cat(
        [text(language, generator, 2), pictures(language, generator, 2), text(language, generator, 3)], dim=1
    )
    short = torch.cat([pictures(language, generator, 2), text(language, generator, 2)], dim=1)
    batch = torch.cat([long, F.pad(short, (0, 0, 3, 0))])
    mask = torch.tensor([[True] * 7, [False] * 3 + [True] * 4])
    together = language.forward(batch, mask=mask).hidden
    torch.testing.assert_close(together[:1], language.forward(long).hidden, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together[1:, 3:], language.forward(short).hidden, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_beams_that_change_places_take_their_pictures_along(language):
    generator = torch.Generator().manual_seed(7)
    language.place_pictures(PicturePlan((2,), 2))
    rows = [
        torch.cat([text(language, generator, 2), pictures(language, generator)], dim=1),
        text(language, generator, 3),
    ]
    after = text(language, generator, 2)
    cache = language.new_cache()
    language.forward(torch.cat(rows), cache)
    cache.reorder_cache(torch.tensor([1, 0, 0]))
    found = language.forward(after.expand(3, -1, -1), cache).hidden
    for number, row in enumerate((rows[1], rows[0], rows[0])):
        alone = language.forward(torch.cat([row, after], dim=1)).hidden[:, -2:]
        torch.testing.assert_close(found[number : number + 1], alone, atol=1e-5, rtol=1e-5)


# --- what stays, and what can't be ---


@torch.no_grad()
def test_without_a_picture_nothing_changes_and_the_hooks_go_again(language):
    generator = torch.Generator().manual_seed(8)
    plain = torch.randn(1, 6, WIDTH, generator=generator)
    before = language.forward(plain).hidden
    language.place_pictures(PicturePlan((1,), 1, True))
    assert language.row_dim == 2 * WIDTH + 1
    assert torch.equal(language.forward(language.text_rows(plain)).hidden, before)
    language.place_pictures(None)
    assert language.row_dim == WIDTH and torch.equal(language.forward(plain).hidden, before)


def test_a_layer_that_is_not_there_is_refused(language):
    with pytest.raises(ConfigError, match="layers 0 to 3"):
        language.place_pictures(PicturePlan((4,), 1))
