"""`fromage-lite convert`: what it writes is a model folder like any other, with the original's numbers."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from fromage_lite.config import GenerationSettings
from fromage_lite.model.fromage import Fromage
from tui.cli.main import app

GOLDEN = Path(os.environ.get("FROMAGE_GOLDEN", Path(__file__).parents[2] / "golden"))
CASES = sorted(path.parent for path in GOLDEN.glob("*/model_args.json"))
FILES = ["README.md", "config.json", "model.safetensors"]


def call(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert "Traceback" not in result.output
    assert result.exit_code == code, (result.output, result.exception)
    if code:
        assert len(result.stderr.splitlines()) == 1 and result.stdout == ""
    return result.stdout if code == 0 else result.stderr


@pytest.fixture
def adapter(tmp_path, tiny_parts):
    """Writes an adapter file; gives its path and its tensors."""

    def write(names, rows, columns):
        torch.manual_seed(5)
        tensors = [torch.randn(rows, columns), torch.randn(rows)]
        path = tmp_path / "adapter.pt"
        torch.save(dict(zip(names, tensors, strict=True)), path)
        return path, *tensors

    return write


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_released_model_converts_to_the_same_model(case, tmp_path):
    said = call("convert", case, tmp_path / "ours")
    assert "opt-tiny" in said and f"--model {tmp_path / 'ours'}" in said
    assert sorted(path.name for path in (tmp_path / "ours").iterdir()) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["ours"], "no temporary folder stays"
    original = Fromage.from_pretrained(case, device="cpu")
    ours = Fromage.from_pretrained(tmp_path / "ours", device="cpu")
    assert ours.fingerprint() == original.fingerprint()
    prompt = ["A picture of"]
    assert torch.equal(ours.query_embeds(prompt), original.query_embeds(prompt))
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert config["lm_rows"] == original.config.lm_rows and config["lm_dim"] == original.language.dim


def test_half_precision_stays_half(tmp_path):
    shutil.copytree(CASES[0], tmp_path / "half")
    path = tmp_path / "half" / "pretrained_ckpt.pth.tar"
    state = torch.load(path, weights_only=True)["state_dict"]
    torch.save({"state_dict": {name: tensor.bfloat16() for name, tensor in state.items()}}, path)
    lm, encoder = GOLDEN / "models/facebook/opt-tinyA", GOLDEN / "models/openai/clip-tinyV-full"
    call("convert", tmp_path / "half", tmp_path / "ours", "--lm", lm, "--vision-encoder", encoder)
    call("convert", CASES[0], tmp_path / "full")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("ours", "full")]
    assert sizes[0] < 0.7 * sizes[1]
    ours = Fromage.from_pretrained(tmp_path / "ours", device="cpu")
    expected = state["model.visual_fc.weight"].bfloat16().float()
    assert torch.equal(ours.bridge.visual_fc.weight, expected)
    assert ours.vision.name.endswith("clip-tinyV-full")


def test_nothing_is_overwritten_unasked(tmp_path):
    out = tmp_path / "ours"
    out.mkdir()
    call("convert", CASES[0], out)  # an empty folder is no loss
    (out / "config.json").write_text("mine")
    assert "--force" in call("convert", CASES[0], out, code=2)
    assert (out / "config.json").read_text() == "mine"
    (out / "notes.txt").write_text("mine")
    call("convert", CASES[0], out, "--force")
    assert Fromage.from_pretrained(out, device="cpu").config.lm_rows
    assert (out / "notes.txt").read_text() == "mine"


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fromage_lite.checkpoint.convert.write_bytes", fail)
    assert "No space left" in call("convert", CASES[0], tmp_path / "ours", code=2)
    assert list(tmp_path.iterdir()) == []


def test_linear_modality_alignment(adapter, tmp_path, tiny_lm_dir, tiny_encoder_dir, tiny_parts, pictures):
    """Its adapter is one linear map of the pooled feature, cut into k tokens (its adapter_module.py)."""
    language, vision = tiny_parts
    path, weight, bias = adapter(("linear.weight", "linear.bias"), 3 * language.dim, vision.dim)
    encoder = f"open_clip:local-dir:{tiny_encoder_dir}"
    said = call("convert", path, tmp_path / "ours", "--lm", tiny_lm_dir, "--vision-encoder", encoder)
    assert "words only" in said
    model = Fromage.from_pretrained(tmp_path / "ours", device="cpu")
    config = model.config
    assert (config.n_visual_tokens, config.prompt_template, config.has_retrieval) == (3, "inst", False)
    assert (config.image_prefix, config.image_suffix) == ("\n\n<image:", ">\n\n")
    pooled = model.image_features(pictures).pooled
    expected = torch.stack([(weight @ feature + bias).view(3, language.dim) for feature in pooled])
    torch.testing.assert_close(model.visual_embeds(pooled), expected)
    again = tmp_path / "again"
    model.save_pretrained(again)
    assert Fromage.from_pretrained(again, device="cpu").fingerprint() == model.fingerprint()
    assert "pictures" not in json.loads((again / "config.json").read_text())["prompt_template"]


def test_limber_maps_each_patch(adapter, tmp_path, tiny_lm_dir, tiny_encoder_dir, tiny_parts, pictures):
    """Its projection is applied to every patch of the encoder's map (`ImagePrefix.project`)."""
    from fromage_lite.chat.agent import Agent

    language, vision = tiny_parts
    grid = vision.encode(vision.preprocess(pictures), grid=True).grid
    path, weight, bias = adapter(("weight", "bias"), language.dim, grid.shape[2])
    encoder = f"open_clip:local-dir:{tiny_encoder_dir}"
    call("convert", path, tmp_path / "ours", "--lm", tiny_lm_dir, "--vision-encoder", encoder)
    model = Fromage.from_pretrained(tmp_path / "ours", device="cpu")
    assert (model.config.visual_input, model.config.n_visual_tokens) == ("grid", grid.shape[1])
    embeds = model.visual_embeds(model.visual_features(pictures))
    expected = torch.stack([torch.stack([weight @ patch + bias for patch in image]) for image in grid])
    torch.testing.assert_close(embeds, expected)
    prompt = model.prompt_embeds([pictures[0], "what is it?"])
    words = model.language.tokenize("what is it?", add_bos=True)
    assert prompt.shape[1] == grid.shape[1] + len(words)
    # In a chat it never says [RET], and says why where a picture was asked for.
    pictures[0].save(tmp_path / "red.png")
    dialogue = Agent(model).dialogue(GenerationSettings(max_new_tokens=4, ret_mode="always"))
    events = list(dialogue.reply("what is it?", attachments=[str(tmp_path / "red.png")]))
    names = [type(event).__name__ for event in events]
    assert names[-1] == "Done" and "ImagesFound" not in names
    assert "not trained to find pictures" in events[0].message


def test_an_adapter_without_retrieval_searches_by_its_encoders_text_tower(
    adapter, album, tmp_path, tiny_lm_dir, tiny_encoder_dir, tiny_parts
):
    language, vision = tiny_parts
    path, *_ = adapter(("weight", "bias"), language.dim, vision.dim)
    encoder = f"open_clip:local-dir:{tiny_encoder_dir}"
    names = ("--lm", tiny_lm_dir, "--vision-encoder", encoder)
    call("convert", path, tmp_path / "ours", *names, "--visual-input", "pooled")
    model = ("--model", tmp_path / "ours", "--device", "cpu")
    assert "There is no index to search." in call("search", "a cat", *model, code=2)
    assert "There is no index at" in call("ask", "a cat", *model, "--index", tmp_path, code=2)
    call("index", album, "--out", tmp_path / "index", *model)
    with_index = (*model, "--index", tmp_path / "index")
    by_default = call("search", "a cat", *with_index)
    assert by_default == call("search", "a cat", *with_index, "--by", "text-tower") and len(by_default.split("\n")) == 6
    assert "can't be asked by dialogue" in call("search", "a cat", *with_index, "--by", "dialogue", code=2)
    said = json.loads(call("ask", "show me a cat", *with_index, "--max-new-tokens", 3, "--json"))
    assert [image["path"] for image in said["images"]] == [by_default.split()[2]]
    assert said["notices"] == ["Found by the image encoder's own text tower: a cat"]


def test_what_can_not_be_converted_is_one_sentence(adapter, tmp_path, tiny_lm_dir, tiny_checkpoint):
    out = tmp_path / "ours"
    assert "already in this program's format" in call("convert", tiny_checkpoint, out, code=2)
    assert "no model folder" in call("convert", tmp_path / "nothing" / "here", out, code=2)
    assert "nothing to convert" in call("convert", tiny_lm_dir.parent, out, code=2)
    (tmp_path / "text.pt").write_text("no named tensors")
    assert "text.pt" in call("convert", tmp_path / "text.pt", out, code=2)
    path, *_ = adapter(("proj.weight", "proj.bias"), 8, 8)
    assert "not an adapter in a known format" in call("convert", path, out, code=2)
    path, *_ = adapter(("weight", "bias"), 33, 8)
    assert "--vision-encoder" in call("convert", path, out, code=2)
    said = call("convert", path, out, "--vision-encoder", "timm:any", "--lm", tiny_lm_dir, code=2)
    assert "33 numbers" in said and "--lm" in said
    assert not out.exists()
