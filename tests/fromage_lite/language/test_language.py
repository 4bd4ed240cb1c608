import pytest
import torch

from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.language.loading import load_language_model
from fromage_lite.placement import Placement


def test_bfloat16_files_are_computed_in_float32_on_the_cpu(tiny_lm_dir):
    language = load_language_model(str(tiny_lm_dir))
    assert language.dtype == torch.float32
    assert load_language_model(str(tiny_lm_dir), Placement(dtype=torch.bfloat16)).dtype == torch.bfloat16


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
    language = load_language_model(str(tiny_lm_dir), rows=300)
    assert language.ret_token_id == 300
    hidden = torch.randn(2, language.head_dim)
    assert language.logits(hidden, torch.zeros(language.head_dim)).shape == (2, 301)
    with pytest.raises(ConfigError, match="lm_rows"):
        load_language_model(str(tiny_lm_dir), rows=10**6)


def test_unknown_layer(tiny_parts):
    with pytest.raises(ConfigError, match="text_emb_layers"):
        tiny_parts[0].layer_dim(3)


def test_missing_and_damaged_models(tmp_path):
    with pytest.raises(CheckpointError, match="no model folder"):
        load_language_model("../gone", base_dir=tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="could not be loaded"):
        load_language_model(str(tmp_path))
