"""The benchmark of building an index builds one, and its figures say what they should."""

from __future__ import annotations

import pytest

from fromage_lite.bench import models
from fromage_lite.bench.index_build import measure_index_build
from fromage_lite.placement import CPU


def test_figures_of_a_small_build(monkeypatch):
    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape = tiny | {"intermediate_size": 16, "patch_size": 112, "image_size": 224}
    monkeypatch.setitem(models.CLIP_SHAPES, "tiny", shape)
    vision = models.random_encoder("tiny", CPU)
    figures = measure_index_build(vision, pictures=6, small=4, large=8, distinct=3, batch_size=4, repeats=1)
    share = figures.pictures_per_second / figures.encoder_pictures_per_second
    assert figures.share_of_encoder_throughput == pytest.approx(share)
    assert figures.encoder_pictures_per_second < figures.network_pictures_per_second
    assert 10 < figures.memory_small_mb < 2000
    assert figures.memory_growth_mb == pytest.approx(figures.memory_large_mb - figures.memory_small_mb)
