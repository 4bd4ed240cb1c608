"""The training loop: it learns, touches nothing frozen, and can be stopped anywhere."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fromage_lite.errors import CheckpointError
from fromage_lite.files import read_tensors
from fromage_lite.model.bridge import Whitening, load_bridge
from fromage_lite.model.fromage import Fromage
from fromage_lite.text.templates import TEMPLATES
from fromage_lite.training.data.interleaved import Image, Ret, TrainingData, dialogue_example
from fromage_lite.training.optimizing import learning_rate
from fromage_lite.training.recipe import Recipe
from fromage_lite.training.run import as_text, parameter_table
from fromage_lite.training.state import has_checkpoint
from fromage_lite.training.trainer import Trainer, TrainingError

REPOSITORY = Path(__file__).parents[3]
RECIPE = Recipe(
    "tiny",
    steps=12,
    batch_size=4,
    dialogue_batch_size=2,
    extra_negatives=3,
    learning_rate=1e-2,
    warmup_steps=3,
    validate_every=6,
    save_every=4,
)
NAMES = ["cat", "dog", "tree", "lion", "car", "apple"]


def make_data(model, held_out: bool = True) -> TrainingData:
    rng = np.random.default_rng(5)
    features = rng.normal(size=(6, model.vision.dim)).astype(np.float32)
    captions = [(f"a {name}", row) for row, name in enumerate(NAMES)]
    dialogues = [
        dialogue_example(
            TEMPLATES["qa"],
            [((Image(row), "what is this?"), (f"a {name}.",)), ((f"show me a {name}.",), ("here.", Ret(row)))],
        )
        for row, name in enumerate(NAMES)
    ]
    validation = TrainingData(features, captions[:4], dialogues[:2]) if held_out else None
    return TrainingData(features, captions, dialogues, validation=validation, fingerprint="made-up")


def fit(model, out, recipe=RECIPE, resume=False, max_steps=None, data=None, **options):
    """Runs a trainer; returns its result and the losses of each step."""
    seen = {}
    trainer = Trainer(
        model,
        data or make_data(model),
        recipe,
        out,
        show_progress=False,
        tensorboard=False,
        on_step=lambda step, losses: seen.__setitem__(step, losses),
        **options,
    )
    return trainer.fit(resume=resume, max_steps=max_steps), seen


@pytest.fixture
def make_model(tiny_parts, tiny_checkpoint):
    """Models with equal bridges: the second one stands for a new process."""
    from fromage_lite.config import WEIGHTS_FILE, read_config

    def make() -> Fromage:
        model = Fromage.from_parts(*tiny_parts, read_config(tiny_checkpoint), base_dir=tiny_checkpoint)
        load_bridge(model.bridge, read_tensors(tiny_checkpoint / WEIGHTS_FILE), tiny_checkpoint)
        return model

    return make


def test_it_learns_and_changes_nothing_frozen(make_model, tmp_path):
    model = make_model()
    before = {name: value.clone() for name, value in model.language.model.state_dict().items()}
    result, seen = fit(model, tmp_path, Recipe.from_dict({**RECIPE.to_dict(), "steps": 40}))
    assert not result.interrupted and result.state.step == 40
    for name in ("captioning", "retrieval", "contrastive", "dialogue", "dialogue_contrastive"):
        assert np.mean([seen[step][name] for step in range(36, 41)]) < seen[1][name], name
    assert seen[40]["total"] < 0.8 * seen[1]["total"]
    after = model.language.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    # [RET] keeps the mean length of the LM's rows.
    rows = model.language.model.get_input_embeddings().weight
    assert model.bridge.ret_row.norm().item() == pytest.approx(rows.float().norm(dim=1).mean().item(), rel=1e-5)


def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(make_model, tmp_path):
    whole, losses = fit(make_model(), tmp_path / "whole")
    first, before = fit(make_model(), tmp_path / "parts", max_steps=5)
    assert first.state.step == 5 and not first.interrupted
    second, after = fit(make_model(), tmp_path / "parts", resume=True)
    assert sorted(before) == [1, 2, 3, 4, 5] and sorted(after) == list(range(6, 13))
    assert before | after == losses  # to the last bit
    assert second.state.metrics == whole.state.metrics
    for folder in ("last", "best"):
        one, other = (load_file(tmp_path / run / folder / "model.safetensors") for run in ("whole", "parts"))
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_interruption_saves_and_the_run_goes_on_from_there(make_model, tmp_path):
    _, losses = fit(make_model(), tmp_path / "whole")
    model = make_model()
    trainer = Trainer(model, make_data(model), RECIPE, tmp_path / "parts", show_progress=False, tensorboard=False)

    def press_ctrl_c(step, _):
        if step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    trainer.on_step = press_ctrl_c
    before = signal.getsignal(signal.SIGINT)
    result = trainer.fit()
    assert result.interrupted and result.state.step == 7
    assert signal.getsignal(signal.SIGINT) is before
    _, after = fit(make_model(), tmp_path / "parts", resume=True)
    assert after == {step: losses[step] for step in range(8, 13)}


def test_a_run_without_validation_has_a_last_checkpoint_only(make_model, tmp_path):
    model = make_model()
    fit(model, tmp_path, data=make_data(model, held_out=False))
    assert has_checkpoint(tmp_path / "last") and not has_checkpoint(tmp_path / "best")


@pytest.mark.parametrize("stop", [1, 3])
def test_a_run_that_stops_before_its_first_validation_leaves_a_best_checkpoint(make_model, tmp_path, stop):
    late = dataclasses.replace(RECIPE, validate_every=1000)
    fit(make_model(), tmp_path, late, max_steps=stop)
    assert has_checkpoint(tmp_path / "best")
    model = Fromage.from_pretrained(tmp_path / "best", device="cpu")
    assert set(model.trained_parameters()) == set(make_model().trained_parameters())


def test_the_bar_ends_where_the_run_does(make_model, tmp_path, capsys):
    model = make_model()
    Trainer(model, make_data(model), RECIPE, tmp_path, tensorboard=False).fit(max_steps=3)
    drawn = capsys.readouterr().err
    assert "3/3" in drawn and f"/{RECIPE.steps} " not in drawn


def test_the_checkpoint_is_a_model_with_metrics(make_model, tmp_path):
    model = make_model()
    result, seen = fit(model, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "last" / "metrics.jsonl").read_text().splitlines()]
    assert lines == result.state.metrics
    assert [line["step"] for line in lines] == [1, 6, 10, 12, 12]
    assert lines[0]["captioning"] == seen[1]["captioning"]
    validations = [line for line in lines if "validation/total" in line]
    assert 0 <= validations[-1]["validation/recall@1"] <= validations[-1]["validation/recall@5"] <= 1
    assert result.state.best_loss == min(line["validation/total"] for line in validations)
    loaded = Fromage.from_pretrained(tmp_path / "last", device="cpu")
    assert loaded.fingerprint() == model.fingerprint()


def test_an_interrupted_write_leaves_the_old_checkpoint(make_model, tmp_path, monkeypatch):
    fit(make_model(), tmp_path, max_steps=4)
    rename = Path.rename

    def dies_between_the_two_renames(self, target):
        if self.name == ".last.new":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", dies_between_the_two_renames)
    with pytest.raises(KeyboardInterrupt):
        fit(make_model(), tmp_path, resume=True, max_steps=8)
    monkeypatch.undo()
    result, seen = fit(make_model(), tmp_path, resume=True)
    assert min(seen) == 5 and result.state.step == 12


def test_resuming_with_other_settings_is_refused_by_name(make_model, tmp_path):
    fit(make_model(), tmp_path, max_steps=2)
    other = Recipe.from_dict({**RECIPE.to_dict(), "learning_rate": 3e-3})
    with pytest.raises(CheckpointError, match=r"recipe\.learning_rate was 0\.01, is 0\.003"):
        fit(make_model(), tmp_path, other, resume=True)
    with pytest.raises(CheckpointError, match="seed was 0, is 1"):
        fit(make_model(), tmp_path, resume=True, seed=1)
    with pytest.raises(CheckpointError, match="no run to resume"):
        fit(make_model(), tmp_path / "elsewhere", resume=True)
    (tmp_path / "last" / "training_state.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        fit(make_model(), tmp_path, resume=True)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_checkpoint(make_model, tmp_path):
    fit(make_model(), tmp_path, max_steps=4)
    model = make_model()
    data = make_data(model)
    data.features[:] = np.nan
    with pytest.raises(TrainingError, match="no longer a number at step 5"):
        fit(model, tmp_path, resume=True, data=data)
    assert all(value.isfinite().all() for value in load_file(tmp_path / "last" / "model.safetensors").values())


def test_learning_rate_rises_then_falls():
    recipe = Recipe("r", steps=110, warmup_steps=10, learning_rate=1.0, final_learning_rate=0.1)
    assert learning_rate(recipe, 0) == pytest.approx(0.1)  # never 0, unlike the reference's first step
    assert learning_rate(recipe, 9) == 1.0
    assert learning_rate(recipe, 60) == pytest.approx(0.1 + 0.9 / 2)
    assert learning_rate(recipe, 110) == pytest.approx(0.1)
    constant = Recipe("r", steps=110, warmup_steps=10, learning_rate=1.0, schedule="constant")
    assert learning_rate(constant, 100) == 1.0


def test_the_map_to_visual_tokens_learns_at_its_own_rate(make_model, tmp_path):
    """Adam's first step moves every number by the learning rate, whatever the gradient."""
    before = {name: p.detach().clone() for name, p in make_model().trained_parameters().items()}
    recipe = Recipe.from_dict({**RECIPE.to_dict(), "visual_rate": 0.02, "warmup_steps": 0, "clip_norm": 1e9})
    model = make_model()
    fit(model, tmp_path, recipe, max_steps=1)
    moved = {name: (p - before[name]).abs().median().item() for name, p in model.trained_parameters().items()}
    assert moved["visual_embeddings.weight"] == pytest.approx(0.02 * recipe.learning_rate, rel=0.02)
    assert moved["visual_fc.weight"] == pytest.approx(recipe.learning_rate, rel=0.02)


def test_a_run_on_whitened_features_resumes_exactly_and_writes_a_plain_bridge(make_model, tmp_path):
    def whitened() -> Fromage:
        model = make_model()
        model.bridge.whiten(Whitening.of(torch.from_numpy(make_data(model).features)))
        return model

    whole = whitened()
    _, expected = fit(whole, tmp_path / "whole", max_steps=8)
    fit(whitened(), tmp_path / "parts", max_steps=4)
    again = whitened()
    _, seen = fit(again, tmp_path / "parts", max_steps=8, resume=True)
    assert [seen[step]["total"] for step in range(5, 9)] == [expected[step]["total"] for step in range(5, 9)]
    features = torch.from_numpy(make_data(whole).features)
    plain = make_model()
    load_bridge(plain.bridge, read_tensors(tmp_path / "whole" / "last" / "model.safetensors"), tmp_path)
    torch.testing.assert_close(plain.visual_embeds(features), whole.visual_embeds(features), atol=1e-4, rtol=1e-4)


def test_temperature_is_capped(make_model, tmp_path):
    model = make_model()
    with torch.no_grad():
        model.bridge.logit_scale.fill_(10)
    fit(model, tmp_path, max_steps=1)
    assert model.bridge.logit_scale.item() == pytest.approx(math.log(100))


def test_bf16_trains_too(make_model, tmp_path):
    _, exact = fit(make_model(), tmp_path / "a", max_steps=1)
    mixed = Recipe.from_dict({**RECIPE.to_dict(), "mixed_precision": "bf16"})
    _, rounded = fit(make_model(), tmp_path / "b", mixed, max_steps=1)
    assert rounded[1]["total"] == pytest.approx(exact[1]["total"], rel=0.03)
    assert rounded[1]["total"] != exact[1]["total"]


def test_tensorboard_gets_every_loss_by_its_name(make_model, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = make_model()
    Trainer(model, make_data(model), RECIPE, tmp_path, show_progress=False).fit()
    (folder,) = {path.parent for path in tmp_path.rglob("events.out.tfevents.*")}
    log = EventAccumulator(str(folder)).Reload()
    names = set(log.Tags()["scalars"])
    assert {
        "captioning",
        "retrieval",
        "contrastive",
        "dialogue",
        "dialogue_contrastive",
        "total",
        "learning_rate",
        "gradient_norm",
        "validation/total",
        "validation/recall@1",
    } <= names
    assert [event.step for event in log.Scalars("validation/total")] == [6, 12]


def test_the_table_counts_trained_and_frozen_numbers(make_model):
    model = make_model()
    text = as_text(parameter_table(model))
    dim, width, retrieval, visual = model.vision.dim, model.language.dim, 16, 2
    by_hand = (dim + 1) * visual * width + (dim + 1) * retrieval + (width + 1) * retrieval + width + 1
    assert f"{by_hand:,}" in text
    frozen = sum(parameter.numel() for parameter in model.language.model.parameters())
    assert f"{frozen:,}" in text and "frozen" in text
