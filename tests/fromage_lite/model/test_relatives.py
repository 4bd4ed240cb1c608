"""Bridges of FROMAGe's relatives: what they compute, what one step changes, and what is kept of them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from fromage_lite.config import FromageConfig, GenerationSettings
from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.language.loading import load_language_model
from fromage_lite.model.beams import beam_search_batch
from fromage_lite.model.bridge import Bridge
from fromage_lite.model.decoding import DecodingState, stream
from fromage_lite.model.fromage import Fromage
from fromage_lite.model.likelihood import continuation_log_likelihoods
from fromage_lite.model.projection import fingerprint_without_lm
from fromage_lite.training.data.batches import Batches
from fromage_lite.training.data.encoding import SequenceEncoder
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.losses import step_losses
from fromage_lite.training.optimizing import image_dropout, make_optimizer, optimizer_step
from fromage_lite.training.recipe import Recipe, Weights

CAPTIONS_ONLY = Weights(retrieval=0, contrastive=0, dialogue=0, dialogue_contrastive=0)
RELATIVES = {
    "limber": {"visual_input": "grid", "has_retrieval": False},
    "lma": {"n_visual_tokens": 3, "has_retrieval": False},
    "epalm": {"n_visual_tokens": 1, "inject_layers": (1,), "soft_prompt": 3, "has_retrieval": False},
    "epalm-mlp": {"inject_layers": (0, 1), "soft_prompt": 2, "soft_prompt_mlp": True, "has_retrieval": False},
    "git-llm": {
        "visual_input": "grid",
        "visual_norm": True,
        "image_attention": "both",
        "lora_rank": 2,
        "has_retrieval": False,
    },
    "fromage-lora": {"lora_rank": 2, "soft_prompt": 2, "retrieval_dim": 8},
}


@pytest.fixture
def make(tiny_lm_dir, tiny_encoder_dir, tiny_parts):
    """Makes a relative with a language model of its own, since it may be changed."""

    def make(name, **more):
        torch.manual_seed(7)
        config = FromageConfig(
            language_model=str(tiny_lm_dir),
            vision_encoder=f"open_clip:local-dir:{tiny_encoder_dir}",
            **{**RELATIVES[name], **more},
        )
        model = Fromage.from_parts(load_language_model(str(tiny_lm_dir)), tiny_parts[1], config)
        for parameter in model.trained_parameters().values():  # LoRA begins as nothing
            parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
        return model

    return make


@pytest.fixture(params=list(RELATIVES))
def model(request, make):
    return make(request.param)


def losses_of(model, recipe, pictures):
    with torch.no_grad():
        pooled, features = model.image_features(pictures).pooled.numpy(), model.visual_features(pictures).numpy()
    captions = [("a cat", 0), ("a big dog", 1), ("two cats", 2), ("a tree", 3)]
    data = TrainingData(pooled, captions, grid=None if features.ndim == 2 else features)
    batch = Batches(data, SequenceEncoder(model.language, model.config), recipe).step(0)
    return step_losses(model, batch, recipe.weights)


def recipe_of(model, **values):
    weights = Weights(dialogue=0, dialogue_contrastive=0) if model.config.has_retrieval else CAPTIONS_ONLY
    return Recipe("tiny", weights=weights, batch_size=4, concat_probability=0.0, max_tokens=30, **values)


# --- training ---


def test_one_step_changes_what_is_trained_and_nothing_else(model, pictures):
    recipe = recipe_of(model, warmup_steps=0)
    optimizer = make_optimizer(model, recipe)
    named = {name: p.clone() for name, p in model.trained_parameters().items()}
    everything = {
        **model.language.model.state_dict(),
        **{f"bridge.{n}": t for n, t in model.bridge.state_dict().items()},
    }
    before = {name: value.clone() for name, value in everything.items()}
    losses_of(model, recipe, pictures)["total"].backward()
    optimizer_step(model, optimizer, recipe)
    for name, old in named.items():
        assert not torch.equal(old, model.trained_parameters()[name]), name
    after = {**model.language.model.state_dict(), **{f"bridge.{n}": t for n, t in model.bridge.state_dict().items()}}
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    trained = {f"bridge.{name}" for name in named if not name.startswith("adapters.")}
    inside = {name for name in before if "lora_" in name}
    assert changed - {"bridge.ret_row", "bridge.ret_output_row"} <= trained | inside and inside <= changed


def test_parts_with_rate_zero_stay_and_the_others_have_their_rates(make):
    recipe = Recipe("tiny", weights=CAPTIONS_ONLY, visual_rate=0.0, prompt_rate=0.5, adapter_rate=3.0)
    model = make("epalm", lora_rank=2)
    groups = {group["rate"]: group["params"] for group in make_optimizer(model, recipe).param_groups}
    assert set(groups) == {0.0, 0.5, 3.0}
    assert not any(p.requires_grad for p in groups[0.0]) and len(groups[0.0]) == 2
    assert groups[0.5] == [model.bridge.soft_prompt.tokens]
    assert all(p.requires_grad for p in groups[3.0]) and len(groups[3.0]) == 8  # 2 layers, q and v, A and B


def test_image_dropout_leaves_out_its_share_and_keeps_the_mean(make):
    model = make("lma")
    features = torch.randn(200, model.vision.dim)
    with torch.no_grad():
        whole = model.visual_embeds(features)
        with image_dropout(model, 0.25, seed=1, step=5):
            dropped = model.visual_embeds(features)
        with image_dropout(model, 0.25, seed=1, step=5):
            assert torch.equal(dropped, model.visual_embeds(features))
        assert torch.equal(whole, model.visual_embeds(features))
    zero = dropped == 0
    assert 0.23 < zero.float().mean() < 0.27
    torch.testing.assert_close(dropped[~zero], whole[~zero] / 0.75)


# --- what is computed ---


def test_maps_of_their_own_are_as_many_linear_layers():
    bridge = Bridge(visual_dim=6, lm_dim=4, layer_dims=[4], visual_width=5, n_maps=3)
    features = torch.randn(2, 3, 6)
    parts = zip(bridge.visual_embeddings.weight.split(5), bridge.visual_embeddings.bias.split(5), strict=True)
    expected = torch.stack([F.linear(features[:, i], *part) for i, part in enumerate(parts)], dim=1)
    torch.testing.assert_close(bridge.visual_embeds(features), expected)


@torch.no_grad()
def test_training_and_prompts_see_the_same(model, pictures):
    """A caption's loss in a batch is its likelihood in a prompt."""
    features = model.visual_features(pictures)
    encoder = SequenceEncoder(model.language, model.config)
    example = encoder.captioned_image("a big dog", 1)
    output = model.caption_forward(torch.tensor(example.ids)[None], features[1:2], torch.tensor(example.labels)[None])
    kept = model.bridge.soft_prompt is not None  # with it the first label follows something in the prompt, too
    loss = F.cross_entropy(output.logits.float(), output.labels)
    prompt = model.prompt_embeds([features[1], "a big dog"])
    hidden = model.language.forward(prompt).hidden[0]
    count = len(output.labels)
    logits = model.language.logits(hidden[-count - 1 : -1], model.bridge.output_row)
    if not model.config.has_retrieval:
        logits = logits[:, :-1]
    assert float(loss) == pytest.approx(float(F.cross_entropy(logits.float(), output.labels)), rel=2e-2), kept


@torch.no_grad()
def test_replies_go_on_from_the_cache_as_from_the_whole_text_and_undo_equals_never(model, pictures):
    settings = GenerationSettings(max_new_tokens=6, ret_mode="off")
    features = model.visual_features(pictures)
    state, whole, length = DecodingState(model), [], 0
    turns = [[features[0], "a cat"], [" and", features[1], " a dog"]]
    for number, turn in enumerate(turns):
        prompt = model.prompt_embeds(turn, add_bos=number == 0)
        whole.append(prompt)
        ids = [token.id for token in stream(model, state, prompt, settings) if token.id is not None]
        expected, context = [], torch.cat(whole, dim=1)
        for _ in ids:
            hidden = model.language.forward(context).hidden[:, -1]
            logits = model.next_logits(hidden)[0]
            logits[model.language.ret_token_id] = float("-inf")
            expected.append(int(logits.argmax()))
            context = torch.cat([context, model.token_embeds(expected[-1:])], dim=1)
        assert ids == expected, number
        whole.append(model.token_embeds(ids))
        length = state.length if number == 0 else length
    state.crop(length)
    again = list(stream(model, state, model.prompt_embeds(turns[1], add_bos=False), settings))
    assert [token.id for token in again if token.id is not None] == ids


@torch.no_grad()
def test_beams_and_likelihoods_of_answers_are_those_of_the_whole_text(model, pictures):
    settings = GenerationSettings(max_new_tokens=4, ret_mode="off")
    features = model.visual_features(pictures)
    prompts = [model.prompt_embeds([feature, "what is it?"]) for feature in features[:2]]
    found = beam_search_batch(model, torch.cat(prompts), n_beams=1, max_new_tokens=4)
    for prompt, (beam,) in zip(prompts, found, strict=True):
        tokens = stream(model, DecodingState(model), prompt, settings)
        said = "".join(token.text for token in tokens)
        assert said.strip(" \ufffd") == beam.text.strip(" \ufffd")  # a character that isn't whole at the end
    answers = [model.language.tokenize(text) for text in (" a cat", " two big dogs", " no")]
    scores = continuation_log_likelihoods(model, prompts[0], answers, batch_size=2)
    for ids, score in zip(answers, scores.tolist(), strict=True):
        hidden = model.language.forward(torch.cat([prompts[0], model.token_embeds(ids)], dim=1)).hidden
        logits = model.language.logits(hidden[0, -len(ids) - 1 : -1], model.bridge.output_row).float()
        assert score == pytest.approx(-float(F.cross_entropy(logits, torch.tensor(ids), reduction="sum")), rel=1e-3)


def test_a_prompt_is_as_long_as_it_says(model, pictures):
    segments = ["look:", pictures[0], "and", pictures[1]]
    with torch.no_grad():
        assert model.prompt_length(segments) == model.prompt_embeds(segments).shape[1]


# --- what is kept ---


def test_a_saved_model_is_the_same_again(model, tmp_path, pictures):
    model.save_pretrained(tmp_path / "saved")
    again = Fromage.from_pretrained(tmp_path / "saved", device="cpu")
    assert set(again.trained_parameters()) == set(model.trained_parameters())
    with torch.no_grad():
        features = model.visual_features(pictures)
        for one in (["a", features[0], "b"], [features[1]]):
            old, new = (m.language.forward(m.prompt_embeds(one)).hidden for m in (model, again))
            torch.testing.assert_close(old, new)
    assert again.fingerprint() == model.fingerprint()
    if model.config.has_retrieval:
        assert fingerprint_without_lm(tmp_path / "saved", "cpu")[0] == model.fingerprint()


def test_adapters_are_in_pefts_own_format(make, tmp_path, tiny_lm_dir):
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    model = make("git-llm")
    model.save_pretrained(tmp_path / "saved")
    base = AutoModelForCausalLM.from_pretrained(tiny_lm_dir, dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(base, str(tmp_path / "saved" / "adapters")).eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model.language.model(ids).logits)
    assert str(tmp_path) not in (tmp_path / "saved" / "adapters" / "adapter_config.json").read_text()


def test_what_does_not_fit_is_refused(make, tmp_path):
    with pytest.raises(ConfigError, match="layers named no_such"):
        make("git-llm", lora_targets=("no_such",))
    with pytest.raises(ConfigError, match="layers 0 to 1"):
        make("epalm", inject_layers=(5,))
    with pytest.raises(ConfigError, match="no class tokens"):
        make("epalm", visual_input="layers", encoder_layers=(-1,))
    with pytest.raises(ConfigError, match="encoder_layers"):
        dataclasses.replace(make("lma").config, encoder_layers=(-1,))
    model = make("git-llm")
    model.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "adapters" / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="missing"):
        Fromage.from_pretrained(tmp_path / "saved", device="cpu")
