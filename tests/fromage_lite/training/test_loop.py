"""What a run offers round its steps: checkpoints kept, an early end, trackers, trials, pictures of how it goes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from fromage_lite.errors import CheckpointError, ConfigError, DataError
from fromage_lite.text.interleaving import IGNORED
from fromage_lite.training import samples
from fromage_lite.training.curves import draw_run
from fromage_lite.training.data.encoding import SequenceEncoder
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.find_lr import search_rate
from fromage_lite.training.pace import Ahead, Waiting
from fromage_lite.training.processes import check_trackers, make_accelerator, tracker_names
from fromage_lite.training.samples import draw, take_samples
from fromage_lite.training.trainer import Trainer
from tests.fromage_lite.training.test_train import RECIPE, fit, make_data

PNG = b"\x89PNG"


def test_the_newest_checkpoints_on_the_way_are_kept(tiny_model, tmp_path):
    recipe = dataclasses.replace(RECIPE, save_every=2)
    fit(tiny_model, tmp_path, recipe, keep=3)
    assert sorted(path.name for path in (tmp_path / "steps").iterdir()) == ["0000008", "0000010", "0000012"]
    last = (tmp_path / "last" / "model.safetensors").read_bytes()
    assert (tmp_path / "steps" / "0000012" / "model.safetensors").read_bytes() == last
    assert (tmp_path / "steps" / "0000010" / "model.safetensors").read_bytes() != last


def test_a_run_ends_early_when_the_held_out_loss_no_longer_falls(tiny_model, tmp_path):
    stuck = dataclasses.replace(RECIPE, steps=40, learning_rate=1e-30, validate_every=2, warmup_steps=0)
    result, _ = fit(tiny_model, tmp_path, stuck, patience=3)
    first = min(e["step"] for e in result.state.metrics if "validation/total" in e)
    assert result.exhausted and not result.interrupted
    assert result.state.step == first + 2 * 3  # the first is the best, and three more are not
    again, seen = fit(tiny_model, tmp_path, stuck, resume=True, patience=3)
    assert again.exhausted and not seen
    learning = dataclasses.replace(RECIPE, steps=12, validate_every=2)
    result, _ = fit(tiny_model, tmp_path / "other", learning, patience=4)
    assert not result.exhausted and result.state.step == 12


def test_one_batch_is_learnt_by_heart(tiny_model, tmp_path):
    recipe = dataclasses.replace(RECIPE, steps=60, learning_rate=3e-2, validate_every=100, warmup_steps=5)
    _, one = fit(tiny_model, tmp_path, recipe, overfit=True)
    assert one[60]["contrastive"] < 0.1 < 0.5 < one[1]["contrastive"]  # each caption finds its picture
    assert one[60]["total"] < 0.7 * one[1]["total"]
    with pytest.raises(CheckpointError, match="overfit"):
        fit(tiny_model, tmp_path, recipe, resume=True)


def test_trackers_are_named_and_unknown_or_missing_ones_refused():
    assert tracker_names("tensorboard, wandb") == ("tensorboard", "wandb") and tracker_names("none") == ()
    with pytest.raises(ConfigError, match="no tracker 'tensorbord'.*tensorboard"):
        check_trackers(("tensorbord",))
    with pytest.raises(ConfigError, match="tracker clearml is not installed"):
        check_trackers(("clearml",))


def test_tensorboard_gets_the_papers_losses_and_pictures_of_what_is_said_and_found(tiny_model, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    data = make_data(tiny_model)
    colours = [PILImage.new("RGB", (40, 30), (40 * row, 0, 0)) for row in range(6)]
    shown = dataclasses.replace(data.validation, picture=lambda row: colours[row].copy())
    data = dataclasses.replace(data, validation=shown)
    Trainer(tiny_model, data, RECIPE, tmp_path, show_progress=False).fit(max_steps=6)
    (folder,) = {path.parent for path in tmp_path.rglob("events.out.tfevents.*")}
    log = EventAccumulator(str(folder)).Reload()
    value = {name: log.Scalars(name)[0].value for name in log.Tags()["scalars"]}
    assert value["paper/L_c"] == value["captioning"] and value["paper/L"] == value["total"]
    assert (value["paper/L_t2i"] + value["paper/L_i2t"]) / 2 == pytest.approx(value["contrastive"], rel=1e-5)
    assert 0 <= value["waiting_for_data"] <= 1
    assert set(log.Tags()["images"]) == {"samples/captions", "samples/retrieval"}
    assert [image.step for image in log.Images("samples/captions")] == [6]
    assert (tmp_path / "curves.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("begin_first", [False, True])
@pytest.mark.parametrize("prefix", ["", " is"])
def test_a_sample_caption_is_asked_for_as_it_was_learnt(tiny_model, monkeypatch, begin_first, prefix):
    """After the same positions: all that is no label in training, and the beginning of the text where that is one."""
    asked = []
    monkeypatch.setattr(samples, "stream", lambda _model, _state, embeds, *_, **__: asked.append(embeds) or iter(()))
    data = make_data(tiny_model)
    caption, row = data.captions[0]
    take_samples(
        tiny_model,
        dataclasses.replace(data, captions=[(caption, row)]),
        dataclasses.replace(RECIPE, begin_first=begin_first, input_prefix=prefix, caption_separator=""),
    )
    encoder = SequenceEncoder(tiny_model.language, tiny_model.config)
    learnt = encoder.captioned_image(caption, row, input_prefix=prefix, begin_first=begin_first)
    begins_late = bool(prefix) and not begin_first  # else it stands before `image_prefix`
    given = int((learnt.labels == IGNORED).sum()) + begins_late
    features = torch.from_numpy(np.asarray(data.features[[row]], dtype=np.float32))
    with torch.no_grad():
        expected = tiny_model.sequence_embeds(torch.from_numpy(learnt.ids[:given])[None], features)
    torch.testing.assert_close(asked[0], expected)


def test_samples_are_of_the_held_out_pictures_and_their_captions(tiny_model):
    data = make_data(tiny_model).validation
    data = dataclasses.replace(data, picture=lambda row: PILImage.new("RGB", (10, 10), (0, 40 * row, 255)))
    taken = take_samples(tiny_model, data, RECIPE)
    assert taken.rows == [0, 1, 2, 3] and taken.captions == ["a cat", "a dog", "a tree", "a lion"]
    assert all(len(set(found)) == 3 and set(found) <= {0, 1, 2, 3} for found in taken.found)
    sheet = draw(taken, data)["samples/retrieval"]
    for line, rows in enumerate(taken.found):
        assert sheet.getpixel((128 + 5, 128 * line + 5)) == (0, 40 * rows[1], 255)


def test_the_rate_at_which_the_loss_falls_fastest_is_found():
    """A loss that falls round 1e-3 and rises from 1e-1 on."""
    seen = []

    def step(number, rate):
        seen.append(rate)
        return 2 / (1 + rate / 1e-3) + (rate / 0.1) ** 2

    found = search_rate(step)
    assert seen == sorted(seen) and len(seen) < 100  # it ends where it diverges
    assert 2e-4 < found.suggestion < 2e-2


def test_a_search_for_a_rate_ends_where_the_loss_is_no_number(tmp_path):
    found = search_rate(lambda number, rate: math.nan if number > 10 else 20.0 - number)
    assert len(found.rates) == 11
    table, picture = found.write(tmp_path)
    assert len(table.read_text().splitlines()) == 12 and picture.read_bytes().startswith(PNG)


def test_without_a_step_there_are_no_curves(tmp_path):
    assert not draw_run([], tmp_path / "curves.png") and not (tmp_path / "curves.png").exists()


def test_batches_made_ahead_are_those_of_the_step_and_tell_their_errors():
    made = []

    def make(step):
        made.append(step)
        if step == 3:
            raise DataError("Step 3 is broken.")
        return step

    with Ahead(make) as batches:
        assert [batches(step) for step in (0, 1, 7, 2)] == [0, 1, 7, 2]
        with pytest.raises(DataError, match="Step 3"):
            batches(3)
    assert {0, 1, 2, 7} <= set(made)


def test_waiting_is_a_share_of_all_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("fromage_lite.training.pace.time.perf_counter", lambda: now[0])
    waiting = Waiting()
    now[0] = 6.0
    with waiting.here():
        now[0] = 8.0
    assert waiting.share() == 0.25
    now[0] = 9.0
    assert waiting.share() == 0  # since the last question


def test_patches_of_a_grid_are_what_becomes_visual_tokens():
    from fromage_lite.training.data.batches import Collator
    from fromage_lite.training.data.encoding import Encoded

    pooled, grid = np.arange(6.0).reshape(3, 2), np.arange(24.0).reshape(3, 4, 2)
    collate = Collator(TrainingData(pooled, [("a", 0)], grid=grid))
    example = Encoded(np.array([1, 2]), np.array([1, 2]), (2,), (1,))
    batch = collate.sequences([example])
    assert batch.features.tolist() == [grid[2].tolist()] and batch.ret_features.tolist() == [pooled[1].tolist()]


def test_a_run_knows_its_processes(tmp_path):
    assert make_accelerator(RECIPE, tmp_path).num_processes == 1
