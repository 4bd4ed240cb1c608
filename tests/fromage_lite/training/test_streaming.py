"""Pictures streamed from tars: each once a pass, divided among processes, in an order that the seed decides."""

from __future__ import annotations

import dataclasses
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from fromage_lite.errors import ConfigError, DataError
from fromage_lite.text.interleaving import IGNORED, IMAGE_SLOT
from fromage_lite.training.data import streaming
from fromage_lite.training.data.streaming import (
    StreamBatches,
    StreamOptions,
    own_tars,
    random_crop,
    stream_data,
    tars_of,
)
from fromage_lite.training.options import RunOptions
from fromage_lite.training.recipe import Recipe
from tests.fromage_lite.training.test_sources import encoded, picture
from tests.fromage_lite.training.test_train import fit
from tests.index.sources.test_tars import write_tar

RECIPE = Recipe("stream", steps=12, batch_size=4, learning_rate=1e-2, warmup_steps=0, save_every=3, validate_every=6)


@pytest.fixture
def tars(tmp_path):
    """Six tars of six pictures each."""
    for tar in range(6):
        members = []
        for number in range(6 * tar, 6 * tar + 6):
            members += [(f"{number:04d}.png", encoded(number)), (f"{number:04d}.txt", f"picture {number}".encode())]
        write_tar(tmp_path / "tars" / f"{tar:05d}.tar", members)
    return tmp_path / "tars"


def captions(batches, model, steps):
    """The captions of each step, as texts."""
    found = []
    for step in steps:
        batch = batches.step(step).retrieval
        found.append(
            [model.language.decode(ids[mask].tolist()) for ids, mask in zip(batch.ids, batch.mask, strict=True)]
        )
    return found


def test_processes_share_the_tars_of_each_pass(tars):
    paths = tars_of(tars)
    assert len(paths) == 6
    passes = []
    for epoch in range(2):
        parts = [own_tars(paths, epoch, StreamOptions(seed=3, rank=rank, world=4)) for rank in range(4)]
        assert sorted(tar for part in parts for tar in part) == paths
        passes.append(parts)
    assert passes[0] != passes[1]
    assert passes[0][1] == own_tars(paths, 0, StreamOptions(seed=3, rank=1, world=4))
    assert passes[0] != [own_tars(paths, 0, StreamOptions(seed=4, rank=rank, world=4)) for rank in range(4)]
    with pytest.raises(DataError, match="6 tars can't be divided among 7"):
        own_tars(paths, 0, StreamOptions(world=7))


def test_a_pass_has_every_picture_once_with_its_own_feature(tiny_model, tars, monkeypatch):
    monkeypatch.setattr(streaming, "POOL_STEPS", 3)  # so that a pass ends with a pool
    batches = StreamBatches(tars_of(tars), tiny_model, RECIPE, StreamOptions())
    seen = captions(batches, tiny_model, range(9))
    assert sorted(text for step in seen for text in step) == sorted(f"picture {number}" for number in range(36))
    assert [text for step in seen for text in step] != [f"picture {number}" for number in range(36)]
    batch = batches.step(9)
    (texts,) = captions(batches, tiny_model, [9])
    expected = tiny_model.image_features([picture(int(text.split()[1])) for text in texts]).pooled
    torch.testing.assert_close(batch.retrieval.features, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(batch.captioning.features, expected, atol=1e-4, rtol=1e-4)


def test_captions_are_encoded_as_the_recipe_says(tiny_model, tars):
    """The beginning of text before the picture, unlearnt, and the end after the caption, learnt."""
    recipe = dataclasses.replace(RECIPE, begin_first=True, learn_end=True, concat_probability=0.0)
    batch = StreamBatches(tars_of(tars), tiny_model, recipe, StreamOptions()).step(0).captioning
    (begin,), (end,) = tiny_model.language.beginning, tiny_model.language.eos_ids
    for ids, labels in zip(batch.ids.tolist(), batch.labels.tolist(), strict=True):
        assert ids[0] == begin and labels[0] == IGNORED and IMAGE_SLOT in ids[1:]
        learnt = [label for label in labels if label != IGNORED]
        assert learnt[-1] == end and begin not in learnt[:-1]


def test_what_comes_at_a_step_depends_on_the_step_alone(tiny_model, tars, monkeypatch):
    monkeypatch.setattr(streaming, "POOL_STEPS", 2)
    monkeypatch.setattr(streaming, "BUFFER", 5)
    make = lambda **options: StreamBatches(tars_of(tars), tiny_model, RECIPE, StreamOptions(**options))  # noqa: E731
    whole = captions(make(), tiny_model, range(12))
    assert captions(make(), tiny_model, [11, 4, 5]) == [whole[11], whole[4], whole[5]]
    assert captions(make(seed=1), tiny_model, range(12)) != whole
    halves = [captions(make(rank=rank, world=2), tiny_model, range(3)) for rank in range(2)]
    assert not {t for step in halves[0] for t in step} & {t for step in halves[1] for t in step}
    assert all(len(step) == 2 for half in halves for step in half)


def test_a_streamed_run_resumes_exactly(tiny_parts, tiny_checkpoint, tars, tmp_path, tiny_model):
    from fromage_lite.config import WEIGHTS_FILE
    from fromage_lite.files import read_tensors
    from fromage_lite.model.bridge import load_bridge

    options = StreamOptions(crop=0.5)
    data = stream_data(tars, tiny_model, None, options.crop)
    assert len(data.captions) == 6

    def run(out, **more):
        load_bridge(tiny_model.bridge, read_tensors(tiny_checkpoint / WEIGHTS_FILE), tiny_checkpoint)
        source = StreamBatches(tars_of(tars), tiny_model, RECIPE, options)
        return fit(tiny_model, out, RECIPE, data=data, source=source, **more)[1]

    whole = run(tmp_path / "whole")
    assert run(tmp_path / "parts", max_steps=5) | run(tmp_path / "parts", resume=True) == whole


def test_a_picture_that_cannot_be_read_is_counted_and_its_place_is_taken(tiny_model, tars):
    write_tar(tars / "00006.tar", [("a.png", b"broken"), ("a.txt", b"a broken one"), ("b.png", encoded(1))])
    batches = StreamBatches(tars_of(tars), tiny_model, RECIPE, StreamOptions())
    seen = captions(batches, tiny_model, range(10))
    assert all(len(step) == 4 for step in seen) and not any("broken" in text for step in seen for text in step)
    assert batches.causes.total() >= 2 and batches.causes["no caption"] >= 1


def test_a_stream_of_bad_pictures_ends_the_run(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "_ENOUGH", 3)
    members = [(f"{n:03d}.{kind}", b"no picture") for n in range(40) for kind in ("png", "txt")]
    write_tar(tmp_path / "bad" / "0.tar", [*members, ("z.png", encoded(1)), ("z.txt", b"good")])
    batches = StreamBatches(tars_of(tmp_path / "bad"), tiny_model, RECIPE, StreamOptions())
    with pytest.raises(DataError, match="--max-bad-share"):
        list(islice(map(batches.step, range(20)), 20))


def test_a_random_crop_has_the_pictures_proportions_and_at_least_its_share():
    image = PILImage.new("RGB", (200, 100))
    sizes = {random_crop(image, 0.25, np.random.default_rng(seed)).size for seed in range(50)}
    assert len(sizes) > 20 and all(abs(width - 2 * height) <= 1 for width, height in sizes)
    assert all(0.24 <= width * height / 20_000 <= 1 for width, height in sizes)
    assert random_crop(image, 1.0, np.random.default_rng(0)) is image


def test_only_tars_are_streamed_and_only_streams_are_cropped(tiny_model, tmp_path):
    encoded_file = tmp_path / "pictures" / "a.png"
    encoded_file.parent.mkdir()
    encoded_file.write_bytes(encoded(1))
    with pytest.raises(DataError, match="can't be streamed"):
        tars_of(encoded_file.parent)
    with pytest.raises(ConfigError, match="--crop needs --stream"):
        RunOptions(data=Path("x"), crop=0.5)
    with pytest.raises(ConfigError, match="--stream takes tars"):
        RunOptions(stream=True)
    with pytest.raises(DataError, match="neither dialogues nor extra negatives"):
        more = dataclasses.replace(RECIPE, extra_negatives=3)
        StreamBatches([encoded_file], tiny_model, more, StreamOptions())
