"""Decoding into a cache of fixed size, compiled or not, gives what one pass over everything gives."""

import shutil

import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
)

from fromage_lite.errors import ConfigError
from fromage_lite.language.model import LanguageModel

SIZES = {
    "vocab_size": 200,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}


LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 7,
            "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}  # fmt: skip


def language_of(kind, tiny_parts):
    torch.manual_seed(0)
    model = {
        "opt": lambda: OPTForCausalLM(OPTConfig(**SIZES, word_embed_proj_dim=32, ffn_dim=64)),
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=1, intermediate_size=64)),
        "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=4)),
        "phi3": lambda: Phi3ForCausalLM(Phi3Config(
            **SIZES, intermediate_size=64, rope_parameters=LONGROPE, original_max_position_embeddings=7,
            sliding_window=None, pad_token_id=0)),
        "dynamic": lambda: LlamaForCausalLM(LlamaConfig(
            **SIZES, intermediate_size=64, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4})),
    }[kind]()  # fmt: skip
    return LanguageModel(model, tiny_parts[0].tokenizer, kind)


@torch.inference_mode()
def compare(language):
    embeds = torch.randn(1, 20, 32)
    expected = language.forward(embeds).hidden
    language.compile_decoding()
    cache = language.new_cache()
    read = [language.forward(embeds[:, :8], cache).hidden]
    read += [language.forward(embeds[:, i : i + 1], cache).hidden for i in range(8, 20)]
    assert torch.allclose(torch.cat(read, 1), expected, atol=1e-5)
    cache.crop(-10)  # undo, and go on
    read = [language.forward(embeds[:, 10:14], cache).hidden]
    read += [language.forward(embeds[:, i : i + 1], cache).hidden for i in range(14, 20)]
    assert torch.allclose(torch.cat(read, 1), expected[:, 10:], atol=1e-5)


@pytest.mark.parametrize("kind", ["opt", "llama", "phi3"])
def test_a_cache_of_fixed_size_changes_nothing(kind, tiny_parts, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    compare(language_of(kind, tiny_parts))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch compiles with a C++ compiler")
def test_compiled_decoding_changes_nothing(tiny_parts):
    compare(language_of("opt", tiny_parts))


@torch.inference_mode()
def test_a_scaling_that_changes_is_read_again_into_a_cache_of_fixed_size(tiny_parts, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    language, embeds = language_of("phi3", tiny_parts), torch.randn(1, 20, 32)
    expected = {end: language.forward(embeds[:, :end]).hidden[:, -1] for end in (5, 6, 8, 9, 20)}
    language.compile_decoding()
    cache = language.new_cache()
    for begin, end in ((0, 5), (5, 6), (6, 8), (8, 9), (9, 20)):
        torch.testing.assert_close(language.forward(embeds[:, begin:end], cache).hidden[:, -1], expected[end])
    cache.crop(-15)
    torch.testing.assert_close(language.forward(embeds[:, 5:6], cache).hidden[:, -1], expected[6])


@pytest.mark.parametrize("kind", ["mistral", "dynamic"])
def test_what_can_not_be_compiled_is_refused(tiny_parts, kind):
    with pytest.raises(ConfigError, match="can't be compiled"):
        language_of(kind, tiny_parts).compile_decoding()
