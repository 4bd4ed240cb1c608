"""The original FROMAGe's own files. That what they make equals the original is shown in `test_parity`."""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from fromage_lite.checkpoint.locate import checkpoint_folder
from fromage_lite.checkpoint.released import read_released
from fromage_lite.config import FromageConfig
from fromage_lite.errors import CheckpointError
from fromage_lite.model.fromage import Fromage

GOLDEN = Path(os.environ.get("FROMAGE_GOLDEN", Path(__file__).parents[2] / "golden"))
CASES = sorted(path.parent for path in GOLDEN.glob("*/model_args.json"))
SCRIPT_OUTPUT = "pretrained_ckpt_script_output.pth.tar"

# What the two published models say of themselves; the older file has keys of experiments.
PUBLISHED = {
    1: {
        "opt_version": "facebook/opt-6.7b",
        "task": "multitask",
        "freeze_lm": True,
        "visual_encoder": "openai/clip-vit-large-patch14",
        "freeze_vm": True,
        "pretrained_visual": True,
        "use_pooler": True,
        "n_visual_tokens": 1,
        "image_embed_dropout_prob": 0.0,
        "text_embed_dropout_prob": 0.0,
        "shared_emb_dim": 256,
        "text_emb_layers": [-1],
        "append_retrieval_token": True,
        "num_appended_retrieval_tokens": 1,
        "input_prompt": "A picture of",
        "add_input_to_ret": True,
        "tunable_prompt_length": 0,
        "retrieval_token_idx": 50266,
    },
    4: {
        "opt_version": "facebook/opt-6.7b",
        "freeze_lm": True,
        "visual_encoder": "openai/clip-vit-large-patch14",
        "freeze_vm": True,
        "n_visual_tokens": 4,
        "use_image_embed_norm": False,
        "image_embed_dropout_prob": 0.0,
        "use_text_embed_layernorm": False,
        "text_embed_dropout_prob": 0.0,
        "shared_emb_dim": 256,
        "text_emb_layers": [-1],
        "retrieval_token_idx": 50266,
    },
}


@pytest.fixture
def released(tmp_path):
    """A copy of the first case, whose frozen models stay where they are."""
    folder = tmp_path / "released"
    folder.mkdir()
    for name in ("model_args.json", "pretrained_ckpt.pth.tar"):
        shutil.copy(CASES[0] / name, folder)
    change_args(folder, **{key: str(GOLDEN / read_args(folder)[key]) for key in ("opt_version", "visual_encoder")})
    return folder


def read_args(folder):
    return json.loads((folder / "model_args.json").read_text())


def change_args(folder, **changes):
    args = {key: value for key, value in {**read_args(folder), **changes}.items() if value is not None}
    (folder / "model_args.json").write_text(json.dumps(args))


def change_checkpoint(folder, change):
    path = folder / "pretrained_ckpt.pth.tar"
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint["state_dict"])
    torch.save(checkpoint, path)


def test_there_are_cases():
    assert CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_pruning_scripts_own_output_is_the_same_model(case, tmp_path):
    """U6: the original's script leaves the LM's embedding matrix in."""
    if not (case / SCRIPT_OUTPUT).exists():
        pytest.skip("this case has no such file")
    shutil.copy(case / "model_args.json", tmp_path)
    shutil.copy(case / SCRIPT_OUTPUT, tmp_path / "pretrained_ckpt.pth.tar")
    (_, expected), (_, found) = read_released(case), read_released(tmp_path)
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("tokens", PUBLISHED)
def test_both_published_variants_are_understood(released, tokens):
    (released / "model_args.json").write_text(json.dumps(PUBLISHED[tokens]))
    config, _ = read_released(released)
    assert config == FromageConfig(
        language_model="facebook/opt-6.7b",
        vision_encoder="openai/clip-vit-large-patch14",
        n_visual_tokens=tokens,
        retrieval_dim=256,
        text_emb_layers=(-1,),
        tie_ret=True,
        lm_rows=50266,
    )


def test_half_precision_is_computed_in_full(released):
    _, exact = read_released(released)
    change_checkpoint(released, lambda state: state.update({k: v.bfloat16() for k, v in state.items()}))
    _, rounded = read_released(released)
    for name, tensor in exact.items():
        assert rounded[name].dtype == torch.float32
        assert torch.equal(rounded[name], tensor.bfloat16().float())


def test_frozen_models_may_be_named_from_the_folders_around(tmp_path, monkeypatch):
    """The original's relative names count from where it is started, which nobody knows later."""
    repository = tmp_path / "fromage"
    (repository / "fromage_model" / "vis4").mkdir(parents=True)
    (repository / "models").mkdir()
    args = read_args(CASES[0])
    shutil.copy(CASES[0] / "pretrained_ckpt.pth.tar", repository / "fromage_model" / "vis4")
    shutil.copytree(GOLDEN / args["opt_version"], repository / "models" / "lm")
    shutil.copytree(GOLDEN / args["visual_encoder"], repository / "models" / "encoder")
    args |= {"opt_version": "models/lm", "visual_encoder": "models/encoder"}
    (repository / "fromage_model" / "vis4" / "model_args.json").write_text(json.dumps(args))
    monkeypatch.chdir(tmp_path)
    config, _ = read_released(repository / "fromage_model" / "vis4")
    assert (config.language_model, config.vision_encoder) == ("../../models/lm", "../../models/encoder")
    model = Fromage.from_pretrained("fromage/fromage_model/vis4", device="cpu")
    assert model.fingerprint() == Fromage.from_pretrained(CASES[0], device="cpu").fingerprint()


@pytest.mark.parametrize("missing", ["model_args.json", "pretrained_ckpt.pth.tar"])
def test_a_missing_file_is_named(released, missing):
    (released / missing).unlink()
    with pytest.raises(CheckpointError, match=f"{missing} is missing"):
        Fromage.from_pretrained(released)


def test_a_folder_of_nothing_names_both_formats(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json is missing.*released FROMAGe"):
        Fromage.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"opt_version": None, "retrieval_token_idx": None}, "does not say opt_version, retrieval_token_idx"),
        ({"use_text_embed_layernorm": True}, "use_text_embed_layernorm = True"),
        ({"use_pooler": False}, "use_pooler = False"),
        ({"n_visual_tokens": "four"}, "n_visual_tokens must be"),
        ({"n_visual_tokens": 3}, "visual_embeddings.weight is"),
        ({"text_emb_layers": [-1, 1]}, "missing text_hidden_fcs.1.bias"),
    ],
)
def test_arguments_that_do_not_fit_are_named(released, changes, words):
    change_args(released, **changes)
    with pytest.raises(Exception, match=words.replace("[", r"\[")) as refused:
        Fromage.from_pretrained(released, device="cpu")
    assert type(refused.value).__name__ in ("CheckpointError", "ConfigError")


def test_keys_are_strict(released):
    change_checkpoint(released, lambda state: state.update({"model.lm.head.weight": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match=r"not part of FROMAGe: model\.lm\.head\.weight"):
        read_released(released)
    change_checkpoint(released, lambda state: state.pop("ret_input_embeddings.weight"))
    with pytest.raises(CheckpointError, match="prune"):
        read_released(released)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize("form", ["hostile", "text", "pointer", "empty", "list"])
def test_a_checkpoint_of_something_else_is_refused_and_not_run(released, tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    path = released / "pretrained_ckpt.pth.tar"
    if form == "hostile":
        torch.save({"state_dict": {"ret_input_embeddings.weight": Hostile()}}, path)
    elif form == "list":
        torch.save([torch.zeros(2)], path)
    else:
        path.write_text(
            {
                "text": "no checkpoint",
                "empty": "",
                "pointer": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            }[form]
        )
    with pytest.raises(CheckpointError) as refused:
        Fromage.from_pretrained(released)
    assert "\n" not in str(refused.value) and "pretrained_ckpt.pth.tar" in str(refused.value)
    assert ("git lfs pull" in str(refused.value)) == (form == "pointer")
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub of local folders: {(repository, type): folder}; notes what was asked for."""
    from huggingface_hub.errors import RepositoryNotFoundError

    repositories, asked = {}, []

    def snapshot_download(repository, *, repo_type=None, allow_patterns, revision=None, **_):
        asked.append((repository, repo_type, revision))
        if (repository, repo_type) not in repositories:
            error = RepositoryNotFoundError.__new__(RepositoryNotFoundError)
            Exception.__init__(error, f"there is no {repository}")
            raise error
        source, target = repositories[repository, repo_type], tmp_path / "cache" / str(repo_type)
        target.mkdir(parents=True, exist_ok=True)
        for path in source.rglob("*"):
            name = path.relative_to(source).as_posix()
            if path.is_file() and any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target / name)
        return str(target)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return repositories, asked


@pytest.mark.parametrize("kind", [None, "space"])
@pytest.mark.parametrize("inside", ["", "fromage_vis4"])
@pytest.mark.parametrize("root", ["", "fromage_model"])
def test_released_files_come_from_the_hub(released, hub, tmp_path, kind, inside, root):
    repository = tmp_path / "repository"
    shutil.copytree(released, repository / root / inside)
    (repository / root / inside / "cc3m_embeddings.pkl").write_text("3 GB")
    repositories, asked = hub
    repositories["somebody/fromage", kind] = repository
    name = "/".join(["somebody/fromage", *([inside] if inside else [])])
    model = Fromage.from_pretrained(name, device="cpu", revision="main")
    assert model.config.lm_rows == read_args(released)["retrieval_token_idx"]
    assert {revision for *_, revision in asked} == {"main"}
    assert not list((tmp_path / "cache").rglob("*.pkl")), "nothing but the model is fetched"


def test_our_own_format_is_preferred_and_asked_for_once(hub, tiny_checkpoint):
    repositories, asked = hub
    repositories["somebody/ours", None] = tiny_checkpoint
    assert (checkpoint_folder("somebody/ours") / "config.json").exists()
    assert len(asked) == 1


def test_a_name_that_is_nowhere_is_one_sentence(hub):
    with pytest.raises(CheckpointError, match="is not a folder here, and"):
        checkpoint_folder("somebody/nothing")
    with pytest.raises(CheckpointError, match="There is no model folder"):
        checkpoint_folder("/a/b/c")
