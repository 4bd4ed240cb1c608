"""`fromage-lite index` on a tiny random model."""

from __future__ import annotations

import json
import os
import shlex
import socket

import numpy as np
import pytest

from fromage_lite.model.fromage import Fromage
from fromage_lite.vision import VisionEncoder
from index.errors import FingerprintError, StoreError
from index.search.faiss_index import ImageIndex
from index.store.feature_store import FeatureStore
from index.store.lock import BuilderLock
from index.store.manifest import IndexManifest
from tests.tui.command_line import call


@pytest.fixture
def run(tiny_checkpoint):
    def run(*arguments, code=0, model=True):
        named = ("--model", tiny_checkpoint, "--device", "cpu") if model else ()
        result = call("index", *map(str, (*arguments, *named)))
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return run


@pytest.fixture
def two_shipped(tmp_path, tiny_model, monkeypatch):
    """Two tiny models as the shipped ones, which differ in their bridges."""
    for name in ("photos", "playground"):
        tiny_model.bridge.logit_scale.data += 1
        tiny_model.save_pretrained(tmp_path / "shipped" / name / "fromage-chat")
    monkeypatch.setattr("fromage_lite.config.shipped_dir", lambda name: tmp_path / "shipped" / name)


@pytest.mark.parametrize(
    ("photographs", "model", "other"), [(True, "photos", "playground"), (False, "playground", "photos")]
)
def test_the_pictures_choose_the_model_and_the_index_remembers_it(
    two_shipped, album, tmp_path, monkeypatch, photographs, model, other
):
    monkeypatch.setattr("fromage_lite.playground.world.recognition.is_scene", lambda image: not photographs)
    arguments = ("index", str(album), "--out", str(tmp_path / "index"), "--device", "cpu")
    told = f"indexed with the model {model}."
    assert told in call(*arguments).stderr
    assert IndexManifest.read(tmp_path / "index" / "index.json").model == model
    monkeypatch.setattr("fromage_lite.playground.world.recognition.is_scene", lambda image: photographs)
    again = call(*arguments)
    assert again.exit_code == 0 and "23 unchanged" in again.stdout and "indexed with" not in again.stderr
    assert IndexManifest.read(tmp_path / "index" / "index.json").model == model
    # Later commands need no model: it is the one that made the index.
    found = call("search", "red", "--index", str(tmp_path / "index"), "--device", "cpu", "--top", "2")
    assert found.exit_code == 0 and len(found.stdout.splitlines()) == 2
    refused = call("search", "red", "--index", str(tmp_path / "index"), "--model", other, "--device", "cpu")
    assert (
        refused.exit_code == 2 and f"another model, {model}." in refused.stderr and f"--model {other}" in refused.stderr
    )


def test_a_named_model_is_kept_in_the_index_and_nothing_is_looked_at(
    run, album, tmp_path, tiny_checkpoint, monkeypatch
):
    monkeypatch.setattr("fromage_lite.playground.world.recognition.is_scene", lambda image: 1 / 0)
    run(album, "--out", tmp_path / "index")
    assert IndexManifest.read(tmp_path / "index" / "index.json").model == str(tiny_checkpoint)
    monkeypatch.chdir(tmp_path)
    assert call("search", "red", "--index", "index", "--device", "cpu").exit_code == 0


def test_an_index_of_an_earlier_program_is_read(run, album, tmp_path, tiny_model):
    run(album, "--out", tmp_path / "index")
    path = tmp_path / "index" / "index.json"
    data = json.loads(path.read_text())
    del data["model"]
    path.write_text(json.dumps(data))
    assert len(ImageIndex.open(tmp_path / "index", tiny_model.fingerprint())) == 23
    del data["kind"]
    path.write_text(json.dumps(data))
    with pytest.raises(StoreError, match="damaged"):
        ImageIndex.open(tmp_path / "index")


def test_a_folder_is_indexed_and_every_picture_finds_itself(run, album, tmp_path, tiny_model):
    (album / "one" / "bad.png").write_text("no picture")
    said = run(album, "--out", tmp_path / "index", "--batch-size", 5).stdout
    assert "bad.png is not a picture" in said
    assert "23 pictures, 4 with a caption (23 new); 1 bad files skipped" in said
    index = ImageIndex.open(tmp_path / "index", tiny_model.fingerprint())
    store = FeatureStore.open(tmp_path / "index")
    assert store.encoder_fingerprint == tiny_model.vision.fingerprint()

    from index.pictures.images import open_image

    pooled = tiny_model.image_features([open_image(store.row(id)[0]) for id in range(23)]).pooled
    assert np.asarray(store.features) == pytest.approx(pooled.numpy(), rel=2e-3, abs=2e-3)
    queries = tiny_model.image_embeds(pooled).detach().numpy()
    assert [hits[0].score for hits in index.search(queries, 1)] == pytest.approx([1.0] * 23, abs=1e-3)
    assert index.search(queries[:1], 1)[0][0].source == str(album / "one" / "01.png")


def test_an_interrupted_build_goes_on(run, album, tmp_path, monkeypatch):
    encode, calls = VisionEncoder.encode, []

    def interrupted(self, pixels, **options):
        calls.append(len(pixels))
        if calls.count(5) == 3:  # loading encodes single pictures
            raise KeyboardInterrupt
        return encode(self, pixels, **options)

    monkeypatch.setattr(VisionEncoder, "encode", interrupted)
    result = run(album, "--out", tmp_path / "index", "--batch-size", 5, code=130)
    assert result.stderr.splitlines()[-1] == "Interrupted; nothing is lost. Run the same command again to continue."
    monkeypatch.undo()
    assert "13 new, 10 unchanged" in run(album, "--out", tmp_path / "index", "--batch-size", 5).stdout


def test_an_interrupted_index_is_unfinished_and_names_the_command_that_goes_on(
    run, album, tmp_path, tiny_checkpoint, monkeypatch
):
    out, encode, calls = tmp_path / "my index", VisionEncoder.encode, []
    captions = tmp_path / "captions.tsv"
    captions.write_text("words\tone/01.png\n")

    def interrupted(self, pixels, **options):
        calls.append(len(pixels))
        if calls.count(5) == 3:  # loading encodes single pictures
            raise KeyboardInterrupt
        return encode(self, pixels, **options)

    monkeypatch.setattr(VisionEncoder, "encode", interrupted)
    monkeypatch.chdir(tmp_path)
    run("album", "--captions", "captions.tsv", "--out", out, "--batch-size", 5, code=130)
    monkeypatch.undo()
    command = ["fromage-lite", "index", str(album), "--captions", str(captions), "--model", str(tiny_checkpoint)]
    command += ["--out", str(out)]
    with pytest.raises(
        StoreError, match="The index at .* is unfinished: only 10 pictures are embedded so far"
    ) as error:
        ImageIndex.open(out)
    assert str(error.value).endswith(f" Go on where it stopped: {shlex.join(command)}")
    assert shlex.join(command) in run("--out", out, code=2).stderr  # without the pictures
    assert "13 new, 10 unchanged" in run(*command[2:], model=False).stdout
    assert len(ImageIndex.open(out)) == 23


def test_a_folder_that_another_builder_has_is_refused(run, album, tmp_path):
    run(album, "--out", tmp_path / "store")
    held = f"Another build is writing to {tmp_path / 'out'}: process {os.getpid()} on {socket.gethostname()}."
    with BuilderLock(tmp_path / "out"):
        for arguments in (
            (album, "--out", tmp_path / "out"),
            ("--rederive", tmp_path / "store", "--out", tmp_path / "out"),
        ):
            assert (
                run(*arguments, code=2).stderr.splitlines()[-1] == f"Error: {held} Wait for it, or use another folder."
            )
    run(album, "--out", tmp_path / "out")


def test_a_new_bridge_reindexes_without_the_pictures(run, album, tmp_path, tiny_parts, tiny_checkpoint):
    import torch

    from fromage_lite.config import read_config

    run(album, "--out", tmp_path / "index")
    for path in album.rglob("*.png"):
        path.unlink()
    torch.manual_seed(99)
    other = Fromage.from_parts(*tiny_parts, read_config(tiny_checkpoint), base_dir=tiny_checkpoint)
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(FingerprintError) as refused:
        ImageIndex.open(tmp_path / "index", other.fingerprint(), model=str(tmp_path / "other"))
    command = str(refused.value).split("fromage-lite index ")[1]
    run(*shlex.split(command), model=False)  # the very command that the error names
    assert len(ImageIndex.open(tmp_path / "index", other.fingerprint())) == 23
    # And beside the store, which it refers to.
    run("--rederive", tmp_path / "index", "--out", tmp_path / "beside")
    beside = ImageIndex.open(tmp_path / "beside")
    assert len(beside) == 23
    assert beside.thumbnail(0)[:2] == b"\xff\xd8"
    assert sorted(path.name for path in (tmp_path / "beside").iterdir()) == [".lock", "index.faiss", "index.json"]


def test_errors_are_one_sentence_and_exit_code_2(run, album, tmp_path, tiny_checkpoint):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "empty").mkdir()
    cases = [
        ((tmp_path / "nowhere", "--out", tmp_path / "x"), "There is no folder"),
        ((tmp_path / "empty", "--out", tmp_path / "x"), "There are no pictures"),
        ((album,), "Name a folder with --out"),
        ((album, "--out", tmp_path / "file"), "write to"),
        ((album, "--out", tmp_path / "x", "--rederive", album), "--rederive"),
        (("--captions", tmp_path / "file"), "--captions needs a folder"),
        ((album, "--captions", tmp_path / "nothing.tsv", "--out", tmp_path / "x"), "There is no file"),
        (("--rederive", tmp_path / "empty"), "There is no feature store"),
    ]
    for arguments, reason in cases:
        result = run(*arguments, code=2)
        assert reason in result.stderr
        assert len(result.stderr.strip().splitlines()[-1]) > 20
    result = run(album, "--out", tmp_path / "x", "--model", tmp_path / "no-model", code=2, model=False)
    assert "Error:" in result.stderr


def test_another_encoders_store_is_refused(run, tmp_path, album, encode):
    from index.building.build import FolderReader, build_store

    build_store(FolderReader(album), encode, tmp_path / "store", encoder_fingerprint="mean-colour")
    assert "another image encoder" in run(album, "--out", tmp_path / "store", code=2).stderr
    assert "another image encoder" in run("--rederive", tmp_path / "store", code=2).stderr


def test_the_playground_without_arguments(run, album, tmp_path, tiny_model, monkeypatch):
    run(album, "--out", tmp_path / "world")
    monkeypatch.setattr(
        "fromage_lite.playground.pictures.ensure_playground_index", lambda model, progress=None: tmp_path / "world"
    )
    assert "is ready" in run().stdout
    run("--out", tmp_path / "mine")
    assert len(ImageIndex.open(tmp_path / "mine", tiny_model.fingerprint())) == 23


def test_programs_get_progress_and_result_as_json(run, album, tmp_path, tiny_checkpoint):
    (album / "bad.png").write_text("no picture")
    out = tmp_path / "index"
    events = [json.loads(line) for line in run(album, "--out", out, "--json").stdout.splitlines()]
    assert {"event": "progress", "what": "Embedding", "unit": "picture", "done": 24, "total": 24, "failed": 1} in events
    done = {"event": "done", "index": str(out), "model": str(tiny_checkpoint), "pictures": 23, "changed": 23}
    assert events[-1] == {**done, "reused": 0, "bad": 1}
    (album / "copy.png").write_bytes((album / "two" / "deep" / "20.png").read_bytes())
    events = [json.loads(line) for line in run(album, "--out", out, "--json").stdout.splitlines()]
    assert events[-1] == {**done, "pictures": 24, "changed": 1, "reused": 1, "bad": 1}, "a copy is a change, too"
    assert "--json is for a folder" in run("--rederive", out, "--json", code=2).stderr
