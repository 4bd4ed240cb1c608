"""Any causal language model: tiny random ones of many families, each against transformers' own whole, uncached run of a
model that was really resized for `[RET]`."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest
import torch

from fromage_lite.config import FromageConfig, GenerationSettings
from fromage_lite.errors import CheckpointError
from fromage_lite.language.checking import check_logits
from fromage_lite.language.loading import load_language_model
from fromage_lite.language.model import LanguageModel
from fromage_lite.model.decoding import DecodingState, stream
from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.batches import Collator, StepBatch
from fromage_lite.training.data.encoding import SequenceEncoder
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.losses import label_loss, step_losses
from fromage_lite.training.optimizing import make_optimizer, optimizer_step
from fromage_lite.training.recipe import Recipe, Weights

CLOSE = {"atol": 2e-5, "rtol": 1e-4}
WINDOW = 6  # of the sliding ones; every prompt here is longer

ROTARY = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}
NAMED = ROTARY | {"head_dim": 16}
OPT = {
    "hidden_size": 32,
    "ffn_dim": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
SWITCH = 13  # every prompt here crosses it, and every undo
LONGROPE = ROTARY | {
    "original_max_position_embeddings": SWITCH,
    "sliding_window": None,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "factor": 4.0,
        "original_max_position_embeddings": SWITCH,
        "short_factor": [1.0] * 8,
        "long_factor": [2.0 ** (i / 2) for i in range(8)],
        "short_mscale": 1.1,
        "long_mscale": 1.3,
    },
}
MUP = {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.1}

# name: configuration class, its arguments, whether the embeddings are tied
FAMILIES = {
    "opt": ("OPTConfig", OPT | {"word_embed_proj_dim": 32}, True),
    "opt_untied": ("OPTConfig", OPT | {"word_embed_proj_dim": 32}, False),
    "opt_350m": ("OPTConfig", OPT | {"word_embed_proj_dim": 16, "do_layer_norm_before": False}, True),
    "opt_350m_untied": ("OPTConfig", OPT | {"word_embed_proj_dim": 16, "do_layer_norm_before": False}, False),
    "gpt2": ("GPT2Config", GPT, True),
    "gpt2_untied": ("GPT2Config", GPT, False),
    "gptj": ("GPTJConfig", GPT | {"rotary_dim": 8}, False),
    "gpt_neox": ("GPTNeoXConfig", ROTARY, False),
    "gpt_neox_tied": ("GPTNeoXConfig", ROTARY, True),
    "llama": ("LlamaConfig", NAMED, False),
    "llama_tied": ("LlamaConfig", NAMED, True),
    "mistral": ("MistralConfig", NAMED | {"sliding_window": WINDOW}, False),
    "qwen2": ("Qwen2Config", ROTARY, True),
    "qwen2_sliding": (
        "Qwen2Config",
        ROTARY | {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
        False,
    ),
    "qwen3": ("Qwen3Config", NAMED, True),
    "gemma": ("GemmaConfig", NAMED, True),
    "gemma_untied": ("GemmaConfig", NAMED, False),
    "gemma2": ("Gemma2Config", NAMED | {"sliding_window": WINDOW, "final_logit_softcapping": 3.0}, True),
    "gemma3": ("Gemma3TextConfig", NAMED | {"sliding_window": WINDOW, "layer_types": None}, True),
    "phi": ("PhiConfig", ROTARY, False),
    "phi3_longrope": ("Phi3Config", LONGROPE | {"num_key_value_heads": 2}, False),
    "phimoe_longrope": ("PhimoeConfig", LONGROPE | {"num_local_experts": 2, "num_experts_per_tok": 1}, False),
    "mpt": ("MptConfig", {"d_model": 32, "n_heads": 2, "n_layers": 2, "expansion_ratio": 2, "max_seq_len": 64}, True),
    "bloom": ("BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 2}, True),
    "bloom_untied": ("BloomConfig", {"hidden_size": 32, "n_layer": 2, "n_head": 2}, False),
    "cohere": ("CohereConfig", ROTARY | {"logit_scale": 0.25}, True),
    "granite": ("GraniteConfig", ROTARY | MUP | {"logits_scaling": 4.0}, True),
    "hyperclovax": ("HyperCLOVAXConfig", ROTARY | MUP | {"logits_scaling": 0.25}, False),
    "lfm2": (
        "Lfm2Config",
        ROTARY | {"layer_types": ["conv", "full_attention"], "conv_L_cache": 3, "block_auto_adjust_ff_dim": False},
        True,
    ),
    "falcon_h1": (
        "FalconH1Config",
        NAMED
        | {
            "mamba_d_ssm": 32,
            "mamba_n_heads": 4,
            "mamba_d_head": 8,
            "mamba_d_state": 8,
            "mamba_chunk_size": 8,
            "embedding_multiplier": 2.0,
            "lm_head_multiplier": 0.5,
        },
        False,
    ),
    "jamba": (
        "JambaConfig",
        ROTARY
        | {
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "mamba_d_state": 8,
        },
        False,
    ),
    "bamba": (
        "BambaConfig",
        ROTARY
        | {
            "mamba_n_heads": 4,
            "mamba_d_head": 16,
            "mamba_d_state": 8,
            "mamba_chunk_size": 8,
            "attn_layer_indices": [1],
        },
        False,
    ),
}
HYBRIDS = {"lfm2", "falcon_h1", "jamba", "bamba"}  # a part of their memory can't be cropped
POSITIONS = dict.fromkeys(FAMILIES, 64) | dict.fromkeys(["bloom", "bloom_untied"], 2048)


@pytest.fixture(scope="session")
def language_of(tmp_path_factory, tiny_tokenizer):
    """Families' tiny models, saved and loaded as a user's."""

    @cache
    def load(name: str) -> LanguageModel:
        import transformers

        kind, arguments, tied = FAMILIES[name]
        torch.manual_seed(7)
        config = getattr(transformers, kind)(
            vocab_size=len(tiny_tokenizer),
            tie_word_embeddings=tied,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=1,
            **arguments,
        )
        model = transformers.AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():  # no bias or gain is at its neutral value, and the attention is not even
            parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
        folder = tmp_path_factory.mktemp(name)
        model.save_pretrained(folder)
        tiny_tokenizer.save_pretrained(folder)
        return load_language_model(str(folder))

    return load


QUICK = ("opt", "opt_350m", "gpt2", "llama", "mistral", "bloom")
"""One of each kind of positions, width and window; all the others take half a minute, and are slow."""


@pytest.fixture(params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES])
def family(request):
    return request.param


@pytest.fixture
def model(family, language_of, tiny_parts):
    torch.manual_seed(5)
    config = FromageConfig("lm", "encoder", retrieval_dim=8, n_visual_tokens=2, text_emb_layers=(-1, 1))
    return Fromage.from_parts(language_of(family), tiny_parts[1], config)


@pytest.fixture
def resized(model):
    """The same model with `[RET]` as a row of its own matrices."""
    language, bridge = model.language, model.bridge
    resized = copy.deepcopy(language.model)
    resized.resize_token_embeddings(language.vocab_size + 1, mean_resizing=False)
    resized.get_input_embeddings().weight.data[-1] = bridge.ret_row
    head = resized.get_output_embeddings()
    head.weight.data[-1] = bridge.output_row
    if getattr(head, "bias", None) is not None:
        assert head.bias[:-1].abs().min() > 0
        head.bias.data[-1] = 0
    return resized


def some_ids(model, length: int, seed: int = 3) -> list[int]:
    """Words, and two `[RET]`s among them."""
    ids = torch.randint(2, model.language.vocab_size, (length,), generator=torch.Generator().manual_seed(seed))
    ids[[2, length // 2]] = model.language.ret_token_id
    return ids.tolist()


@torch.no_grad()
def whole(resized, ids):
    return resized(input_ids=torch.tensor([ids]), output_hidden_states=True, use_cache=False)


@torch.no_grad()
def test_the_virtual_ret_equals_a_really_resized_model(model, resized, family):
    language, ids = model.language, some_ids(model, 20)
    expected = whole(resized, ids)
    output = language.forward(model.token_embeds(ids), layers=(-1, 0, 1, 2))
    torch.testing.assert_close(language.logits(output.hidden, model.bridge.output_row), expected.logits, **CLOSE)
    layers = [expected.hidden_states[layer] for layer in (-1, 0, 1, 2)]
    for number, found in zip((-1, 0, 1, 2), output.layers, strict=True):
        assert found.shape[-1] == language.layer_dim(number)
    torch.testing.assert_close(output.layers[:3], tuple(layers[:3]), **CLOSE)
    torch.testing.assert_close(output.layers[3], output.layers[0])
    assert language.is_tied == (FAMILIES[family][2]) == (model.bridge.ret_output_row is None)
    assert language.max_positions == POSITIONS[family]


@torch.no_grad()
def test_two_turns_step_by_step_equal_the_whole_run(model, resized):
    """Logits of every token and the query of every `[RET]`, fed in steps with one cache."""
    seen, dictated = [], iter([*some_ids(model, 9, seed=4), *some_ids(model, 9, seed=5)])

    def choose(logits, *_):
        seen.append(logits)
        return next(dictated)

    state, ids, places, queries = DecodingState(model), [], [], []
    for seed in (6, 7):
        prompt = some_ids(model, 11, seed)
        settings = GenerationSettings(max_new_tokens=9, max_images=99)
        tokens = list(stream(model, state, model.token_embeds(prompt), settings, choose=choose))
        ids += prompt
        places += range(len(ids) - 1, len(ids) + 8)
        ids += [token.id for token in tokens if token.id is not None]
        queries += [token.query_embeds[0] for token in tokens if token.query_embeds is not None]
    assert state.length == len(ids) == 40
    # Each from the whole text up to there: where positions are scaled by its length, a longer run differs everywhere.
    expected = [whole(resized, ids[: place + 1]).logits[0, -1] for place in places]
    torch.testing.assert_close(torch.stack(seen), torch.stack(expected), **CLOSE)
    said = [place + 1 for place in places if ids[place + 1] == model.language.ret_token_id]
    runs = [whole(resized, ids[: place + 1]) for place in said]
    hidden = [torch.stack([run.hidden_states[layer][0, -1] for run in runs]) for layer in (-1, 1)]
    torch.testing.assert_close(torch.stack(queries), model.bridge.query_embeds(hidden), **CLOSE)


@torch.no_grad()
def test_undo_and_going_on_equals_a_run_that_never_had_it(model, resized, family):
    """Undone twice in a row, the second time to before what a sliding window still reaches."""
    ids, other, state = some_ids(model, 24), some_ids(model, 9, seed=8), DecodingState(model)
    state.feed(model.token_embeds(ids[:15]))
    state.feed(model.token_embeds(ids[15:]))
    state.pending = other[:2]
    for kept in (24, 18, 8):
        state.crop(kept)
        assert (state.length, state.pending) == (kept, [])
        output = state.feed(model.token_embeds(other))
        expected = whole(resized, ids[:kept] + other).logits[0, -len(other) :]
        found = model.language.logits(output.hidden[0, -len(other) :], model.bridge.output_row)
        torch.testing.assert_close(found, expected, **CLOSE)
        assert state.length == kept + len(other)
    assert model.language.can_crop == (family not in HYBRIDS)


@torch.no_grad()
def test_an_interrupted_pass_leaves_the_dialogue_as_it_was(model, resized, monkeypatch):
    ids, state = some_ids(model, 20), DecodingState(model)
    state.feed(model.token_embeds(ids[:12]))
    layers = next(m for m in model.language.model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 2)
    with monkeypatch.context() as patch:
        patch.setattr(layers[1], "forward", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            state.feed(model.token_embeds(ids[3:7]))
    assert state.length == 12
    found = model.language.logits(state.feed(model.token_embeds(ids[12:])).hidden[0, -8:], model.bridge.output_row)
    torch.testing.assert_close(found, whole(resized, ids).logits[0, -8:], **CLOSE)


def training_batch(model) -> StepBatch:
    captions = ["a cat", "a big dog and a small tree in the snow.", "a lion in the forest"]
    features = np.random.default_rng(0).normal(size=(3, model.vision.dim)).astype(np.float32)
    data = TrainingData(features, [(caption, row) for row, caption in enumerate(captions)])
    encoder, collate = SequenceEncoder(model.language, model.config), Collator(data)
    return StepBatch(
        captioning=collate.sequences([encoder.captioned_image(c, row) for c, row in data.captions]),
        retrieval=collate.retrieval([encoder.retrieval_caption(c, row) for c, row in data.captions]),
    )


def test_training_touches_nothing_but_the_bridge(model):
    before = {name: tensor.clone() for name, tensor in model.language.model.state_dict().items()}
    bridge = {name: parameter.detach().clone() for name, parameter in model.trained_parameters().items()}
    recipe = Recipe("paper")
    optimizer = make_optimizer(model, recipe)
    step_losses(model, training_batch(model), Weights())["total"].backward()
    optimizer_step(model, optimizer, recipe)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.language.model.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in model.language.model.parameters())
    assert sum(p.numel() for group in optimizer.param_groups for p in group["params"]) == sum(
        p.numel() for p in bridge.values()
    )
    changed = {
        name for name, parameter in model.trained_parameters().items() if not torch.equal(parameter, bridge[name])
    }
    assert changed == set(bridge)


@torch.no_grad()
def test_a_padded_batch_gives_what_each_sequence_gives_alone(model, resized):
    """Captions are of unlike lengths: the retrieval pass pads on the left, the captioning pass on the right."""
    batch = training_batch(model)
    output = model.retrieval_forward(batch.retrieval.ids, batch.retrieval.mask, batch.retrieval.labels)
    rows = [
        row[mask].tolist() + [model.language.ret_token_id]
        for row, mask in zip(batch.retrieval.ids, batch.retrieval.mask, strict=True)
    ]
    outputs = [whole(resized, row) for row in rows]
    hidden = [torch.cat([output.hidden_states[layer][:, -1] for output in outputs]) for layer in (-1, 1)]
    torch.testing.assert_close(output.queries, model.bridge.query_embeds(hidden), **CLOSE)
    logits = torch.cat([output.logits[0, :-1] for output in outputs])
    wanted = torch.tensor([i for row in rows for i in row[1:]])
    torch.testing.assert_close(
        label_loss(output.logits, output.labels), torch.nn.functional.cross_entropy(logits, wanted), **CLOSE
    )

    total = count = 0.0
    features = iter(batch.captioning.features)
    for ids, labels in zip(batch.captioning.ids, batch.captioning.labels, strict=True):
        length = int((labels != -100).nonzero().max()) + 1
        embeds = torch.cat(
            [model.visual_embeds(next(features)[None]), model.token_embeds(ids[2:length].tolist())], dim=1
        )
        found = resized(inputs_embeds=embeds).logits[0, 1:-1]
        total += torch.nn.functional.cross_entropy(found, ids[2:length], reduction="sum")
        count += length - 2
    output = model.caption_forward(batch.captioning.ids, batch.captioning.features, batch.captioning.labels)
    torch.testing.assert_close(label_loss(output.logits, output.labels), total / count, **CLOSE)


@pytest.mark.parametrize("family", ["granite", "cohere", "falcon_h1"])
@pytest.mark.parametrize("factor", ["_input_factor", "_output_factor"])
def test_a_factor_that_is_not_known_is_refused_at_loading(language_of, family, factor, monkeypatch):
    """Without the check such a model would talk nonsense, and nobody would know why."""
    language = language_of(family)
    check_logits(language)
    monkeypatch.setattr(language, factor, 1.0 if getattr(language, factor) != 1 else 3.0)
    with pytest.raises(CheckpointError, match="not known here"):
        check_logits(language)


def test_a_model_whose_memory_is_no_cache_of_keys_is_refused(tmp_path, tiny_tokenizer):
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=len(tiny_tokenizer), hidden_size=32, num_hidden_layers=2, state_size=4)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="can't take pictures") as refused:
        load_language_model(str(tmp_path))
    assert "past_key_values" in refused.value.message and "\n" not in refused.value.message
