"""What a language model must be for a dialogue, tried at loading; and scalings that depend on the text's length.

The models are transformers' own, tiny and random; right is a run over the whole text without any cache.
"""

from __future__ import annotations

import copy

import pytest
import torch
import transformers

from fromage_lite.config import FromageConfig
from fromage_lite.errors import CheckpointError
from fromage_lite.language.checking import check_logits
from fromage_lite.language.feeding import Feeding
from fromage_lite.language.model import LanguageModel
from fromage_lite.model.decoding import DecodingState
from fromage_lite.model.fromage import Fromage

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 1, "max_position_embeddings": 64}  # fmt: skip
PER_LAYER = SIZES | {"head_dim": 16, "sliding_window": 6}
JAMBA = SIZES | {"num_experts": 2, "num_experts_per_tok": 1, "attn_layer_period": 2, "attn_layer_offset": 1,
                 "expert_layer_period": 2, "expert_layer_offset": 1, "mamba_d_state": 8}  # fmt: skip
BAMBA = SIZES | {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_chunk_size": 8,
                 "attn_layer_indices": [1]}  # fmt: skip
GRIFFIN = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2,
           "num_key_value_heads": 1, "lru_width": 32, "attention_window_size": 64}  # fmt: skip
ORIGINAL = 13
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}


def made(tokenizer, kind: str, spread: float = 0.2, dtype=torch.float32, **options) -> LanguageModel:
    torch.manual_seed(3)
    config = getattr(transformers, kind)(vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=1, eos_token_id=1,
                                         **options)  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=spread)
    return LanguageModel(model.to(dtype), tokenizer, kind)


@torch.no_grad()
def off(language: LanguageModel, sizes: list[int], length: int = 36) -> float:
    """The largest error of a pass's last logits, as a share: foreign vectors fed in passes of these sizes."""
    row, head_row = torch.zeros(language.dim), torch.zeros(language.head_dim)
    ids = torch.randint(10, language.vocab_size, (1, length), generator=torch.Generator().manual_seed(0))
    embeds = language.embed(ids, row)
    embeds = (embeds + embeds.flip(1)) / 2
    cache, end, shares = language.new_cache(), 0, []
    pristine = copy.deepcopy(language.model)
    for part in embeds.split(sizes, dim=1):
        end += part.shape[1]
        found = language.logits(language.forward(part, cache).hidden[0, -1], head_row)[:-1]
        expected = copy.deepcopy(pristine)(inputs_embeds=embeds[:, :end], use_cache=False).logits[0, -1]
        shares.append(((found - expected).norm() / expected.norm()).item())
    return max(shares)


# --- what is refused ---


@pytest.mark.parametrize("spread", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["Gemma3nTextConfig", "Gemma4TextConfig"])
def test_inputs_of_their_own_at_every_layer_are_refused(tiny_tokenizer, kind, spread):
    options = PER_LAYER | {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": len(tiny_tokenizer)}
    if kind == "Gemma3nTextConfig":
        options |= {"num_kv_shared_layers": 0, "laurel_rank": 4, "altup_num_inputs": 2,
                    "activation_sparsity_pattern": [0.0] * 2}  # fmt: skip
    with pytest.raises(CheckpointError, match="can't take pictures: its words have inputs of their own"):
        check_logits(made(tiny_tokenizer, kind, spread, **options))


def test_gemma_4_without_them_is_taken(tiny_tokenizer):
    language = made(tiny_tokenizer, "Gemma4TextConfig", **PER_LAYER, hidden_size_per_layer_input=0)
    check_logits(language)
    assert off(language, [5, 1, 6, 20, 4]) < 1e-4


def test_embeddings_that_a_model_does_not_take_are_refused(tiny_tokenizer, monkeypatch):
    """Whatever the reason: a picture's tokens are no rows of the table."""
    language = made(tiny_tokenizer, "LlamaConfig", **SIZES)
    forward, rows = language.decoder.forward, language.model.get_input_embeddings().weight

    def picky(inputs_embeds=None, past_key_values=None, **options):
        if inputs_embeds is not None and (torch.cdist(inputs_embeds[0], rows).min(dim=1).values > 1e-3).any():
            raise RuntimeError("these are no words")
        return forward(inputs_embeds=inputs_embeds, past_key_values=past_key_values, **options)

    monkeypatch.setattr(language.decoder, "forward", picky)
    with pytest.raises(CheckpointError, match="no embeddings but those of its own words: these are no words"):
        check_logits(language)


@pytest.mark.parametrize("spread", [0.0, 0.05, 0.2])
def test_a_state_outside_the_cache_is_refused(tiny_tokenizer, spread):
    """RecurrentGemma keeps its state in its modules: a second dialogue would go on with the first one's."""
    with pytest.raises(CheckpointError, match=r"does not remember .* off by \d|not known here"):
        check_logits(made(tiny_tokenizer, "RecurrentGemmaConfig", spread, **GRIFFIN))


# --- how later passes are fed ---


@pytest.mark.parametrize(
    "spread", [0.05, *(pytest.param(spread, marks=pytest.mark.slow) for spread in (0.0, 0.1, 0.2))]
)
@pytest.mark.parametrize(("kind", "options"), [("JambaConfig", JAMBA), ("BambaConfig", BAMBA)])
def test_a_state_begun_anew_in_a_later_pass_is_fed_rightly(tiny_tokenizer, kind, options, spread):
    language = made(tiny_tokenizer, kind, spread, **options)
    check_logits(language)
    assert off(language, [12, 1, 1, 8, 1, 1, 12]) < 1e-3
    assert off(language, [1] * 36) < 1e-3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_lower_precision_hides_no_state_begun_anew(tiny_tokenizer, dtype):
    """Its error may be smaller than the tolerance, but the right way has a smaller one still."""
    language = made(tiny_tokenizer, "JambaConfig", 0.2, dtype, **JAMBA | {"num_experts": 1})
    check_logits(language)
    assert language._decoder.feeding == Feeding(singly=True)
    plain = made(tiny_tokenizer, "LlamaConfig", 0.2, dtype, **SIZES)
    check_logits(plain)
    assert plain._decoder.feeding == Feeding()


def test_a_model_that_needs_nothing_is_fed_plainly(tiny_tokenizer):
    for kind, options in (("LlamaConfig", {}), ("FalconH1Config", {"mamba_d_ssm": 32, "mamba_n_heads": 4,
                          "mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": 8})):  # fmt: skip
        language = made(tiny_tokenizer, kind, **SIZES, **options)
        check_logits(language)
        assert language._decoder.feeding == Feeding()


# --- scalings that depend on the text's length ---


@pytest.mark.parametrize("sizes", [[1] * 36, [ORIGINAL, 1, 1, 20, 1], [5, 3, 20, 8], [36]])
def test_dynamic_scaling_is_that_of_the_text_so_far(tiny_tokenizer, sizes):
    """Past its original length every length has frequencies of its own; transformers keeps the longest text's."""
    language = made(tiny_tokenizer, "LlamaConfig", **SIZES | {"max_position_embeddings": ORIGINAL},
                    rope_parameters=DYNAMIC)  # fmt: skip
    check_logits(language)
    assert off(language, sizes) < 1e-4
    assert off(language, sizes[::-1]) < 1e-4  # after a longer text


@torch.no_grad()
def test_a_cache_that_was_cropped_below_the_length_is_read_again(tiny_tokenizer):
    language = made(tiny_tokenizer, "LlamaConfig", **SIZES | {"max_position_embeddings": ORIGINAL},
                    rope_parameters=DYNAMIC)  # fmt: skip
    embeds, cache = torch.randn(1, 30, 32), language.new_cache()
    reference = copy.deepcopy(language.model.model)
    language.forward(embeds[:, :24], cache)
    for kept, end in ((10, 12), (8, 24), (20, 21), (5, 6)):
        cache.crop(kept - cache.get_seq_length())
        found = language.forward(embeds[:, kept:end], cache).hidden
        expected = copy.deepcopy(reference)(inputs_embeds=embeds[:, :end], use_cache=False).last_hidden_state
        torch.testing.assert_close(found, expected[:, kept:], atol=1e-5, rtol=1e-4)


def phi3(tokenizer) -> LanguageModel:
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": ORIGINAL,
            "short_factor": [1.0] * 8, "long_factor": [2.0 ** (i / 2) for i in range(8)]}  # fmt: skip
    return made(tokenizer, "Phi3Config", **SIZES | {"num_key_value_heads": 2}, rope_parameters=rope,
                original_max_position_embeddings=ORIGINAL, sliding_window=None)  # fmt: skip


def test_a_long_text_is_read_again_once(tiny_tokenizer, monkeypatch):
    """Past the switch each new token is one position again."""
    language, read = phi3(tiny_tokenizer), []
    forward = language.decoder.forward
    monkeypatch.setattr(
        language.decoder, "forward", lambda **x: read.append(x["inputs_embeds"].shape[1]) or forward(**x)
    )
    cache = language.new_cache()
    for part in torch.randn(1, 18, 32).split([11, *[1] * 7], dim=1):
        language.forward(part, cache)
    assert read == [11, 1, 1, ORIGINAL + 1, 1, 1, 1, 1]


def test_reading_again_interrupted_changes_nothing(tiny_tokenizer, tiny_parts, monkeypatch):
    language = phi3(tiny_tokenizer)
    model = Fromage.from_parts(language, tiny_parts[1], FromageConfig("lm", "encoder", retrieval_dim=8))
    state, embeds = DecodingState(model), torch.randn(1, 20, 32)
    state.feed(embeds[:, :12])
    with monkeypatch.context() as patch:
        patch.setattr(language.decoder.layers[1], "forward", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            state.feed(embeds[:, 3:9])
    assert state.length == 12
    found = state.feed(embeds[:, 12:]).hidden
    expected = copy.deepcopy(language.model.model)(inputs_embeds=embeds, use_cache=False).last_hidden_state
    torch.testing.assert_close(found, expected[:, 12:], atol=1e-5, rtol=1e-4)


def test_the_query_of_a_caption_as_long_as_the_switch(tiny_tokenizer, tiny_parts):
    """`[RET]` is read behind the cached caption, and is the position that changes the scaling."""
    language = phi3(tiny_tokenizer)
    model = Fromage.from_parts(language, tiny_parts[1], FromageConfig("lm", "encoder", retrieval_dim=8))
    ids = torch.randint(10, language.vocab_size, (1, ORIGINAL))
    labels = torch.cat([ids, torch.tensor([[language.ret_token_id]])], dim=1)
    queries = model.retrieval_forward(ids, torch.ones_like(ids, dtype=torch.bool), labels).queries
    embeds = model.token_embeds(labels[0].tolist())
    expected = copy.deepcopy(language.model.model)(inputs_embeds=embeds, use_cache=False).last_hidden_state[:, -1]
    torch.testing.assert_close(queries, model.bridge.query_embeds([expected]), atol=1e-5, rtol=1e-4)
    queries.sum().backward()
    assert model.bridge.ret_row.grad is not None and model.bridge.ret_row.grad.abs().sum() > 0
