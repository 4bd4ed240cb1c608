"""The benchmarks run, on models of a toy's shape, and measure what they say."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from fromage_lite.bench import models
from fromage_lite.bench.baselines import rerun
from fromage_lite.bench.captions import caption_lengths
from fromage_lite.bench.decoding import measure_decoding
from fromage_lite.bench.plain_training import PADDED, PlainTraining, Savings
from fromage_lite.bench.training import (
    OURS_CACHED,
    OURS_PLAIN,
    ROWS,
    gradient_error,
    make_batches,
    measure_training,
)
from fromage_lite.bench.training_figures import flat
from fromage_lite.config import GenerationSettings
from fromage_lite.errors import ConfigError
from fromage_lite.model.decoding import DecodingState, stream
from fromage_lite.placement import CPU, Placement
from fromage_lite.training.recipe import Recipe


@pytest.fixture
def model(monkeypatch):
    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    monkeypatch.setitem(models.OPT_SHAPES, "tiny", tiny)
    monkeypatch.setitem(
        models.CLIP_SHAPES, "tiny", tiny | {"intermediate_size": 16, "patch_size": 112, "image_size": 224}
    )
    return models.random_model("tiny", "tiny", CPU)


def test_the_vocabulary_is_as_large_as_the_models(model):
    """More suppressed rows than a real model has would slow every token."""
    assert (model.language.vocab_size, len(model.suppressed_ids)) == (50272, 7)
    assert not model.language.eos_ids
    words = " ".join(f"word{i}" for i in (3, 50264))
    assert model.language.tokenize(words) == [3, 50264] and model.language.decode([3, 50264]).strip() == words


def test_figures_of_decoding(model, monkeypatch):
    monkeypatch.setattr("fromage_lite.bench.decoding.memory_bandwidth", lambda *_: 1e9)
    figures = measure_decoding(model, new_tokens=4, repeats=2)
    assert 0 < figures.ttft_ms < figures.reply_ms < figures.dialogue_ms
    assert figures.own_ms_per_token and 0 < figures.own_ms_per_token < figures.reply_ms
    for ratio in (figures.ratio_vs_transformers_generate, figures.ratio_vs_bare_loop, figures.speedup_64_vs_rerun):
        assert math.isfinite(ratio) and ratio > 0


def test_what_is_computed_anew_for_each_token_is_the_same_reply(model):
    """The comparison is fair only if both say the same."""
    parts = [model.prompt_embeds(["word3 word4"]), model.prompt_embeds([" word5"])]
    state, ids = DecodingState(model), []
    settings = GenerationSettings(max_new_tokens=3, ret_mode="off")
    for part in parts:
        ids += [token.id for token in stream(model, state, part, settings) if token.id is not None]
    assert rerun(model, parts, 3) == ids and len(ids) == 6


def test_an_int8_model_of_a_shape_is_rounded(model):
    rounded = models.random_model("tiny", "tiny", Placement(quantize="int8"))
    assert rounded.language.decoder.layers[0].fc1.weight.dtype == torch.int8


def test_figures_of_training(model):
    figures = measure_training(model, batch_size=4, repeats=1)
    trained = sum(p.numel() for name, p in model.trained_parameters().items()) * torch.float32.itemsize
    assert figures.trainable_bytes == trained
    width, rows = model.language.dim, model.language.vocab_size + 1
    assert figures.trainable_bytes_plain == trained + (rows - 1) * width * torch.float32.itemsize
    assert figures.optimizer_bytes == 2 * (trained - torch.float32.itemsize)  # of the temperature, a scalar, none count
    assert [row.way for row in figures.rows] == [*ROWS, OURS_PLAIN, OURS_CACHED]
    assert figures.rows[0].speedup == 1 and figures.speedup_cached_features == figures.rows[-1].speedup
    assert figures.limit_cached_features > figures.limit_plain > 1
    assert all(isinstance(value, (int, float)) for value in flat(figures).values())
    assert all(row.smooth_error <= 1e-4 for row in figures.rows)  # of captions that hardly differ to so small a model


def test_every_saving_leaves_the_gradients_as_they_are(model):
    """In double precision nothing hides behind rounding: one saving at a time, and those of the trainer together."""
    recipe = Recipe("bench", batch_size=4, concat_probability=0.0, max_tokens=PADDED)
    batch = make_batches(model, recipe)[2]
    model.bridge.double()
    model.language.model.double()
    batch = dataclasses.replace(batch, features=batch.features.double(), pixels=batch.pixels)
    expected = None
    for savings in [dataclasses.replace(savings, encoder="cached") for savings in ROWS.values()] + [
        Savings.every("cached")
    ]:
        model.bridge.zero_grad(set_to_none=True)
        training = PlainTraining(model, recipe, savings)
        training.backward(batch)
        found = training.gradients()
        expected = expected or found
        assert set(found) == set(model.trained_parameters())
        assert gradient_error(found, expected) < 1e-6, savings  # the cross-entropy is in single precision


def test_captions_are_as_long_as_those_of_cc3m():
    """Sharma et al. 2018, table 2: 10.3 words on average, with a deviation of 4.5 and a median of 9."""
    lengths = caption_lengths(200_000, np.random.default_rng(0))
    assert lengths.mean() == pytest.approx(10.3, abs=0.05) and lengths.std() == pytest.approx(4.5, abs=0.05)
    assert np.median(lengths) == 9 and lengths.min() >= 1


def test_an_unknown_shape_is_refused():
    with pytest.raises(ConfigError, match="There is no shape 'opt-1t'"):
        models.random_model("opt-1t", "clip-vit-base-patch32", CPU)
