import copy

import pytest
import torch

from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.language import LanguageModel

FAMILIES = ["opt", "opt_350m", "gpt2", "llama", "mistral", "gemma"]


@pytest.fixture(params=FAMILIES)
def language(request, tiny_tokenizer):
    """Tiny random models that differ in what matters here: tying, projections, scaling, positions, windows."""
    import transformers as t

    torch.manual_seed(7)
    vocab = len(tiny_tokenizer)
    rotary = {"vocab_size": vocab, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
              "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 64,
              "initializer_range": 0.3}  # fmt: skip
    opt = {"vocab_size": vocab, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
           "max_position_embeddings": 64, "init_std": 0.3}  # fmt: skip
    config = {
        "opt": lambda: t.OPTConfig(**opt, word_embed_proj_dim=32),
        "opt_350m": lambda: t.OPTConfig(**opt, word_embed_proj_dim=16, do_layer_norm_before=False),
        "gpt2": lambda: t.GPT2Config(vocab_size=vocab, n_embd=32, n_layer=2, n_head=2, n_positions=64,
                                     initializer_range=0.3),
        "llama": lambda: t.LlamaConfig(**rotary, tie_word_embeddings=False),
        "mistral": lambda: t.MistralConfig(**rotary, sliding_window=6, tie_word_embeddings=False),
        "gemma": lambda: t.GemmaConfig(**rotary),
    }[request.param]()  # fmt: skip
    return LanguageModel(t.AutoModelForCausalLM.from_config(config), tiny_tokenizer, request.param)


def rows(language, seed=0):
    generator = torch.Generator().manual_seed(seed)
    row = torch.randn(language.dim, generator=generator)
    return row, row if language.is_tied else torch.randn(language.head_dim, generator=generator)


def ids_with_ret(language, length=20):
    ids = torch.randint(2, language.vocab_size, (1, length), generator=torch.Generator().manual_seed(3))
    ids[0, [5, length - 1]] = language.ret_token_id
    return ids


def test_virtual_ret_equals_a_really_resized_model(language):
    row, output_row = rows(language)
    resized = copy.deepcopy(language.model)
    resized.resize_token_embeddings(language.vocab_size + 1, mean_resizing=False)
    resized.get_input_embeddings().weight.data[-1] = row
    resized.get_output_embeddings().weight.data[-1] = output_row
    ids = ids_with_ret(language)
    with torch.no_grad():
        expected = resized(input_ids=ids, output_hidden_states=True)
        output = language.forward(language.embed(ids, row), layers=(-1, 1))
        logits = language.logits(output.hidden, output_row)
    torch.testing.assert_close(logits, expected.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.layers[0], expected.hidden_states[-1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.layers[1], expected.hidden_states[1], atol=1e-5, rtol=1e-5)
    assert [state.shape[-1] for state in output.layers] == [language.layer_dim(-1), language.layer_dim(1)]


@torch.no_grad()
def test_cached_steps_equal_the_full_pass_and_cropping_equals_a_fresh_run(language):
    row, _ = rows(language)
    embeds = language.embed(ids_with_ret(language), row)
    other = language.embed(ids_with_ret(language, 13) * 0 + 9, row)
    full = language.forward(embeds).hidden
    cache = language.new_cache()
    parts = [language.forward(embeds[:, :9], cache).hidden]
    language.forward(other, cache)  # a detour that is undone
    cache.crop(-13)
    parts += [language.forward(embeds[:, i : i + 1], cache).hidden for i in range(9, 20)]
    torch.testing.assert_close(torch.cat(parts, dim=1), full, atol=1e-5, rtol=1e-4)


def test_only_the_ret_row_has_a_gradient(language):
    row = rows(language)[0].requires_grad_()
    language.forward(language.embed(ids_with_ret(language), row)).hidden.sum().backward()
    assert row.grad.norm() > 0
    assert all(parameter.grad is None for parameter in language.model.parameters())


def test_bfloat16_files_are_computed_in_float32_on_the_cpu(tiny_lm_dir):
    language = LanguageModel.load(str(tiny_lm_dir))
    assert language.dtype == torch.float32
    assert LanguageModel.load(str(tiny_lm_dir), dtype=torch.bfloat16).dtype == torch.bfloat16


def test_text_and_ids(tiny_parts):
    language = tiny_parts[0]
    ids = language.tokenize("a cat [RET]\nQ:", add_bos=True)
    assert ids[0] == language.tokenizer.bos_token_id
    assert ids.count(language.ret_token_id) == 1
    assert language.decode(ids) == "a cat\nQ:"  # the blank before [RET] is dropped
    assert language.tokenize("") == []
    assert language.tokenize("", add_bos=True) == [language.bos_id]
    text = "naïve 你好 🙂\n two  blanks"
    assert language.decode(language.tokenize(text)) == text


def test_a_typed_end_of_text_is_plain_text(tiny_parts):
    language = tiny_parts[0]
    ids = language.tokenize("a</s>b")
    assert not set(ids) & language.eos_ids
    assert language.decode(ids) == "a</s>b"


def test_rows_limits_the_words(tiny_lm_dir):
    language = LanguageModel.load(str(tiny_lm_dir), rows=300)
    assert language.ret_token_id == 300
    hidden = torch.randn(2, language.head_dim)
    assert language.logits(hidden, torch.zeros(language.head_dim)).shape == (2, 301)
    with pytest.raises(ConfigError, match="lm_rows"):
        LanguageModel.load(str(tiny_lm_dir), rows=10**6)


def test_unknown_layer(tiny_parts):
    with pytest.raises(ConfigError, match="text_emb_layers"):
        tiny_parts[0].layer_dim(3)


def test_missing_and_damaged_models(tmp_path):
    with pytest.raises(CheckpointError, match="no model folder"):
        LanguageModel.load("../gone", base_dir=tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="could not be loaded"):
        LanguageModel.load(str(tmp_path))
