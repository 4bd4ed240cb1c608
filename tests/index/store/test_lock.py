"""Two builders of one folder: real processes, a killed one, file systems without locks; and who reads meanwhile."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import index.search.faiss_index
import index.store.writer
from index.building.build import FolderReader, build_store
from index.building.projected import import_embeddings
from index.errors import StoreError
from index.search.derive import derive_index
from index.search.faiss_index import ImageIndex
from index.store.feature_store import FeatureStore, FeatureStoreWriter
from index.store.lock import LOCK, BuilderLock

ROOT = Path(__file__).parents[3]

# Builds; before the second batch it says so, and waits for a line.
BUILDER = textwrap.dedent(f"""
    import importlib.util, sys
    from index.building.build import FolderReader, build_store
    from index.errors import FromageError
    spec = importlib.util.spec_from_file_location("helpers", {str(Path(__file__).parents[1] / "conftest.py")!r})
    helpers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(helpers)
    calls = []
    def embed(images):
        calls.append(1)
        if len(calls) == 2:
            print("begun", flush=True)
            sys.stdin.readline()
        return helpers.mean_colour(images)
    try:
        build_store(FolderReader(sys.argv[1]), embed, sys.argv[2], encoder_fingerprint="mean-colour", batch_size=4)
    except FromageError as error:
        sys.exit(str(error))
""")


def start(album, out):
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(album), str(out)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def contents(path):
    store = FeatureStore.open(path)
    rows = [(*store.row(int(id)), store.thumbnail(int(id))) for id in store.live_ids()]
    return store.features[store.live_ids()].tobytes(), rows


def test_of_two_processes_that_build_one_folder_the_second_is_refused(album, tmp_path, encode, painter, normalise):
    for number in range(9):
        painter(tmp_path / "other" / f"{number}.png", number / 9)
    first = start(album, tmp_path / "out")
    assert first.stdout.readline() == "begun\n"
    second = start(tmp_path / "other", tmp_path / "out")
    output, error = second.communicate("\n", timeout=60)
    holder = f"Another build is writing to {tmp_path / 'out'}: process {first.pid} on {socket.gethostname()}."
    assert (second.returncode, output, error.strip()) == (1, "", f"{holder} Wait for it, or use another folder.")

    build_store(FolderReader(tmp_path / "other"), encode, tmp_path / "store", encoder_fingerprint="mean-colour")
    with pytest.raises(StoreError, match=f"process {first.pid} on"):
        derive_index(tmp_path / "store", lambda features: normalise(features), "bridge", tmp_path / "out")
    with pytest.raises(StoreError, match=f"process {first.pid} on"):
        import_embeddings([(["a"], np.ones((1, 4), np.float32))], tmp_path / "out", bridge_fingerprint="bridge")
    with pytest.raises(StoreError, match=f"unfinished: process {first.pid} is building it. Wait"):
        ImageIndex.open(tmp_path / "out")

    output, error = first.communicate("\n", timeout=60)
    assert (first.returncode, error) == (0, "")
    build_store(FolderReader(album), encode, tmp_path / "alone", encoder_fingerprint="mean-colour", batch_size=4)
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


def test_a_killed_builder_blocks_nobody(album, tmp_path, encode):
    first = start(album, tmp_path / "out")
    assert first.stdout.readline() == "begun\n"
    first.kill()
    first.communicate(timeout=60)
    assert f"{first.pid}\n" in (tmp_path / "out" / LOCK).read_text()
    with pytest.raises(StoreError, match="unfinished: only 4 pictures are embedded so far"):
        ImageIndex.open(tmp_path / "out")
    report = build_store(FolderReader(album), encode, tmp_path / "out", encoder_fingerprint="mean-colour")
    assert (report.unchanged, report.added) == (4, 19)


def rows(*numbers):
    return [{"source": f"/pictures/{number}.png", "caption": ""} for number in numbers]


def test_without_locks_of_files_the_rows_of_the_other_builder_stay_whole(tmp_path, monkeypatch):
    (tmp_path / "store").mkdir()
    folders = iter((tmp_path / "one", tmp_path / "two"))
    monkeypatch.setattr(index.store.writer, "BuilderLock", lambda _: BuilderLock(next(folders)))
    first = FeatureStoreWriter(tmp_path / "store", 2, "encoder")
    first.append(np.full((2, 2), 1.0), rows(0, 1), [b"a", b"b"])
    second = FeatureStoreWriter(tmp_path / "store", 2, "encoder")
    second.append(np.full((2, 2), 2.0), rows(2, 3), [b"c", b"d"])
    with pytest.raises(StoreError, match="Another build is writing"):
        first.append(np.full((1, 2), 3.0), rows(4), [b"e"])
    with pytest.raises(StoreError, match="Another build is writing"):
        first.remove([0])
    first.close()
    second.append(np.full((1, 2), 4.0), rows(5), [b"f"])
    second.finish()
    second.close()
    store = FeatureStore.open(tmp_path / "store")
    assert np.asarray(store.features)[:, 0].tolist() == [1, 1, 2, 2, 4]
    assert [store.thumbnail(id) for id in range(5)] == [b"a", b"b", b"c", b"d", b"f"]
    assert [store.row(id)[0][10:-4] for id in range(5)] == ["0", "1", "2", "3", "5"]


def test_who_holds_the_lock_is_told_as_far_as_it_is_known(tmp_path):
    with BuilderLock(tmp_path):
        for text, who in [
            ("12\nelse\x1b[31mwhere\n", "process 12 on elsewhere"),
            ("", "another process"),
            ("\xff", "another process"),
        ]:
            (tmp_path / LOCK).write_text(text, encoding="latin-1")
            with pytest.raises(StoreError, match=f": {who}\\. Wait"):
                BuilderLock(tmp_path)
    BuilderLock(tmp_path).release()


def test_a_reader_is_not_disturbed_by_a_build(tmp_path, normalise):
    count = 30_000  # more rows than SQLite keeps in its cache by default
    with FeatureStoreWriter(tmp_path, 2, "encoder") as writer:
        writer.append(np.ones((count, 2)), rows(*range(count)), [b"x"] * count)
    derive_index(tmp_path, normalise, "bridge")
    opened = ImageIndex.open(tmp_path)
    with FeatureStoreWriter(tmp_path, 2, "encoder") as writer:
        for id in range(count):
            writer.set_caption(id, "new words")
        writer.remove(range(0, count, 2))
        assert opened.row(count - 1) == (f"/pictures/{count - 1}.png", "")
        assert len(opened.store.live_ids()) == count
        writer.append(np.full((3, 2), 5.0), rows(count, count + 1, count + 2), [b"y"] * 3)
        assert len(opened.store) == count and len(ImageIndex.open(tmp_path)) == count
        assert opened.thumbnail(count - 1) == b"x"
    assert np.asarray(opened.store.features).max() == 1.0
    assert len(FeatureStore.open(tmp_path).live_ids()) == count // 2 + 3


def test_an_index_that_is_replaced_while_it_is_opened_is_opened_whole(tmp_path, monkeypatch, normalise):
    with FeatureStoreWriter(tmp_path, 2, "encoder") as writer:
        writer.append(np.array([[1.0, 0.0], [0.0, 1.0]]), rows(0, 1), [b"x"] * 2)
    derive_index(tmp_path, normalise, "old")
    read, replaced = index.search.faiss_index.open_parts, []

    def read_later(*arguments):
        if not replaced:
            replaced.append(1)
            derive_index(tmp_path, lambda features: normalise(-features), "new")
        return read(*arguments)

    monkeypatch.setattr(index.search.faiss_index, "open_parts", read_later)
    opened = ImageIndex.open(tmp_path)
    assert opened.manifest.bridge_fingerprint == "new"
    assert opened.search(np.array([[1.0, 0.0]], np.float32), 1)[0][0].score == 0.0
