import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from fromage_lite.config import FromageConfig
from fromage_lite.errors import CheckpointError, ConfigError
from fromage_lite.model.fromage import Fromage
from fromage_lite.placement import choose_device
from fromage_lite.text.marks import MARKED_RET


@pytest.fixture
def checkpoint_copy(tiny_checkpoint, tmp_path):
    """A bridge folder of its own beside the shared frozen models."""
    for name in ("lm", "encoder"):
        (tmp_path / name).symlink_to(tiny_checkpoint.parent / name)
    return shutil.copytree(tiny_checkpoint, tmp_path / "fromage")


def test_loads_with_relative_names_from_anywhere(tiny_checkpoint, tiny_model, pictures, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    model = Fromage.from_pretrained(tiny_checkpoint, device="cpu")
    pooled = model.image_features(pictures).pooled
    assert torch.equal(model.image_embeds(pooled), tiny_model.image_embeds(pooled))
    assert model.fingerprint() == tiny_model.fingerprint()
    assert (model.config.visual_dim, model.config.lm_dim) == (24, 32)


def test_saving_and_loading_keeps_everything(tiny_model, tmp_path):
    tiny_model.bridge.logit_scale.data += 0.25
    tiny_model.save_pretrained(tmp_path / "deeper" / "saved")
    assert sorted(path.name for path in (tmp_path / "deeper" / "saved").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    loaded = Fromage.from_pretrained(tmp_path / "deeper" / "saved", device="cpu")
    assert loaded.fingerprint() == tiny_model.fingerprint()
    for name, parameter in tiny_model.trained_parameters().items():
        assert torch.equal(loaded.trained_parameters()[name], parameter)


def test_a_saved_tree_can_be_moved(checkpoint_copy, tmp_path):
    model = Fromage.from_pretrained(checkpoint_copy, device="cpu")
    model.save_pretrained(tmp_path / "again")
    config = json.loads((checkpoint_copy / "config.json").read_text())
    assert (config["language_model"], config["vision_encoder"]) == ("../lm", "open_clip:local-dir:../encoder")


def test_the_checkpoint_holds_the_bridge_and_nothing_frozen(tiny_checkpoint, tiny_model):
    tensors = load_file(tiny_checkpoint / "model.safetensors")
    assert set(tensors) == set(tiny_model.trained_parameters())
    assert set(tensors) == {
        "visual_embeddings.weight",
        "visual_embeddings.bias",
        "visual_fc.weight",
        "visual_fc.bias",
        "text_hidden_fcs.0.weight",
        "text_hidden_fcs.0.bias",
        "ret_row",
        "logit_scale",
    }


def test_a_folder_of_bridges_stands_for_the_chat_bridge(checkpoint_copy, tmp_path):
    checkpoint_copy.rename(tmp_path / "fromage-chat")
    assert Fromage.from_pretrained(tmp_path, device="cpu").config.retrieval_dim == 16


def test_missing_extra_and_misshapen_weights_are_all_named(checkpoint_copy):
    path = checkpoint_copy / "model.safetensors"
    tensors = load_file(path)
    tensors["surplus"] = tensors.pop("ret_row")
    tensors["visual_fc.bias"] = torch.zeros(3)
    save_file(tensors, path)
    with pytest.raises(CheckpointError) as caught:
        Fromage.from_pretrained(checkpoint_copy, device="cpu")
    for part in ("missing ret_row", "unexpected surplus", "visual_fc.bias is (3,) instead of (16,)"):
        assert part in str(caught.value)


def test_missing_and_damaged_checkpoints(checkpoint_copy, tmp_path):
    with pytest.raises(CheckpointError, match="no model folder"):
        Fromage.from_pretrained(tmp_path / "gone" / "away")
    with pytest.raises(CheckpointError, match="config.json is missing"):
        Fromage.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="is a file"):
        Fromage.from_pretrained(checkpoint_copy / "config.json")
    with pytest.raises(CheckpointError, match="could not be downloaded"):
        Fromage.from_pretrained("nobody/nothing")
    weights = checkpoint_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="damaged"):
        Fromage.from_pretrained(checkpoint_copy)
    weights.unlink()
    with pytest.raises(CheckpointError, match="model.safetensors is missing"):
        Fromage.from_pretrained(checkpoint_copy)


def test_a_bridge_for_another_encoder_is_refused(checkpoint_copy):
    path = checkpoint_copy / "config.json"
    path.write_text(path.read_text().replace('"visual_dim": 24', '"visual_dim": 512'))
    with pytest.raises(ConfigError, match="visual_dim 512"):
        Fromage.from_pretrained(checkpoint_copy, device="cpu")


def test_a_failed_save_keeps_the_old_weights(tiny_model, checkpoint_copy, monkeypatch):
    from pathlib import Path

    before = (checkpoint_copy / "model.safetensors").read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(CheckpointError, match="No space left"):
        tiny_model.save_pretrained(checkpoint_copy)
    assert (checkpoint_copy / "model.safetensors").read_bytes() == before
    assert not [path for path in checkpoint_copy.iterdir() if path.name.startswith(".")]


def test_only_the_bridge_is_trained(tiny_model, pictures):
    embeds = tiny_model.prompt_embeds(["a ", pictures[0], f" b{MARKED_RET}"])
    output = tiny_model.language.forward(embeds)
    loss = tiny_model.language.logits(output.hidden, tiny_model.bridge.output_row).logsumexp(-1).sum()
    loss += tiny_model.bridge.query_embeds([output.hidden[:, -1]]).sum()
    loss += tiny_model.image_embeds(tiny_model.image_features(pictures).pooled).sum()
    loss.backward()
    without = {name for name, parameter in tiny_model.trained_parameters().items() if parameter.grad is None}
    assert without == {"logit_scale"}
    frozen = [*tiny_model.language.model.parameters(), *tiny_model.vision.module.parameters()]
    assert all(not parameter.requires_grad and parameter.grad is None for parameter in frozen)


def test_image_prefix_and_suffix_are_tokenized_with_their_neighbours(tiny_model, pictures):
    language = tiny_model.language
    visual = tiny_model.visual_embeds(tiny_model.image_features(pictures[:1]).pooled)
    expected = torch.cat(
        [
            tiny_model.token_embeds(language.tokenize("Q: [", add_bos=True)),
            visual,
            tiny_model.token_embeds(language.tokenize("] what?\nA:")),
        ],
        dim=1,
    )
    found = tiny_model.prompt_embeds(["Q: ", pictures[0], " what?\nA:"])
    torch.testing.assert_close(found, expected)


def test_a_pooled_feature_stands_for_its_picture(tiny_model, pictures):
    pooled = tiny_model.image_features(pictures[:2]).pooled
    by_picture = tiny_model.prompt_embeds([pictures[0], "and", pictures[1]])
    torch.testing.assert_close(tiny_model.prompt_embeds([pooled[0], "and", pooled[1]]), by_picture)


def test_an_empty_prompt_has_no_position(tiny_model):
    assert tiny_model.prompt_embeds([]).shape == (1, 0, 32)
    assert tiny_model.prompt_embeds([""]).shape == (1, 1, 32)


@pytest.mark.parametrize("add_bos", [True, False])
@pytest.mark.parametrize("prefix", ["", "[", " ["])
def test_the_length_of_a_prompt_is_known_before_any_picture_is_opened(tiny_model, pictures, prefix, add_bos):
    tiny_model.config = dataclasses.replace(tiny_model.config, image_prefix=prefix)
    for segments in (["Q: ", pictures[0], " and ", pictures[1], " how many?[RET]\nA:"], [pictures[2]], [""], []):
        known = tiny_model.prompt_length([s if isinstance(s, str) else object() for s in segments], add_bos)
        assert known == tiny_model.prompt_embeds(segments, add_bos).shape[1]


def test_words_that_cannot_be_said(tiny_model):
    language = tiny_model.language
    assert set(language.tokenize("[") + language.tokenize(" [")) <= set(tiny_model.suppressed_ids)
    assert set(range(len(language.tokenizer), language.vocab_size)) <= set(tiny_model.suppressed_ids)
    assert language.ret_token_id not in tiny_model.suppressed_ids


def test_ret_begins_at_the_mean_norm_of_the_words(tiny_parts):
    model = Fromage.from_parts(*tiny_parts, FromageConfig("lm", "encoder"))
    norms = model.language.model.get_input_embeddings().weight.norm(dim=-1)
    assert model.bridge.ret_row.norm().item() == pytest.approx(norms.mean().item(), rel=1e-5)


def test_untied_ret_has_two_rows(tiny_parts):
    model = Fromage.from_parts(*tiny_parts, FromageConfig("lm", "encoder", tie_ret=False))
    assert {"ret_row", "ret_output_row"} <= set(model.trained_parameters())


def test_unusable_device():
    with pytest.raises(ConfigError, match="'toaster'"):
        choose_device("toaster")
    assert choose_device("cpu") == torch.device("cpu")
