"""The store on disk: round trips, growth, interruptions at every step, damage."""

from __future__ import annotations

import json
import os
import sqlite3
import threading

import numpy as np
import pytest

import index.store.writer
from index.errors import FingerprintError, StoreError
from index.store.feature_store import FeatureStore, FeatureStoreWriter


def rows(start, stop):
    return [{"source": f"/pictures/{number}.png", "caption": f"picture {number}"} for number in range(start, stop)]


def features(start, stop, dim=5):
    return (np.arange(start * dim, stop * dim).reshape(-1, dim) / 16).astype(np.float16)


def thumbnails(start, stop):
    return [b"thumbnail %d" % number * (number % 3) for number in range(start, stop)]


def add(writer, start, stop):
    return writer.append(features(start, stop), rows(start, stop), thumbnails(start, stop))


@pytest.fixture
def store_path(tmp_path):
    with FeatureStoreWriter(tmp_path / "store", 5, "encoder-a") as writer:
        add(writer, 0, 3)
        add(writer, 3, 10)
    return tmp_path / "store"


def check_store(path, count):
    store = FeatureStore.open(path)
    assert (len(store), store.dim, store.encoder_fingerprint) == (count, 5, "encoder-a")
    assert store.features.dtype == np.float16
    assert (np.asarray(store.features) == features(0, count)).all()
    for number in range(count):
        assert store.row(number) == (f"/pictures/{number}.png", f"picture {number}")
        assert store.thumbnail(number) == b"thumbnail %d" % number * (number % 3)
    assert [id for id, _, _ in store.iter_rows(block=4)] == list(range(count))
    store.close()


def test_what_was_written_is_read(store_path):
    check_store(store_path, 10)
    store = FeatureStore.open(store_path)
    assert isinstance(store.features, np.memmap)
    assert store.find("/pictures/7.png") == 7
    assert store.find("/pictures/70.png") is None
    assert store.live_ids().tolist() == list(range(10))


def test_a_store_grows(store_path):
    with FeatureStoreWriter(store_path, 5, "encoder-a") as writer:
        assert len(writer) == 10
        assert add(writer, 10, 14) == range(10, 14)
    check_store(store_path, 14)


def test_a_reader_keeps_its_view_while_a_writer_adds(store_path):
    with FeatureStoreWriter(store_path, None, "encoder-a") as writer:
        add(writer, 10, 14)
        check_store(store_path, 10)
    check_store(store_path, 14)


def test_removed_rows_keep_their_ids(store_path):
    with FeatureStoreWriter(store_path, 5, "encoder-a") as writer:
        writer.remove([2, 4])
        writer.set_caption(5, "new words")
        changed = {"source": "/pictures/6.png", "caption": "", "replaces": 6}
        assert writer.append(np.ones((1, 5)), [changed], [b"x"]) == range(10, 11)
    store = FeatureStore.open(store_path)
    assert len(store) == 11
    assert store.live_ids().tolist() == [0, 1, 3, 5, 7, 8, 9, 10]
    assert store.find("/pictures/2.png") is None
    assert store.find("/pictures/6.png") == 10
    assert store.row(2) == ("/pictures/2.png", "picture 2")
    assert store.row(5)[1] == "new words"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("step", [0, 1])
def test_an_append_that_fails_midway_leaves_no_trace(store_path, monkeypatch, step, error):
    """Step 0 fails after the features are written, step 1 after the thumbnails: before the rows are committed."""
    steps = []
    write = index.store.writer._write_through

    def failing(file, start, data):
        write(file, start, data)
        steps.append(1)
        if len(steps) == step + 1:
            raise error

    monkeypatch.setattr(index.store.writer, "_write_through", failing)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else StoreError):
        with FeatureStoreWriter(store_path, 5, "encoder-a") as writer:
            add(writer, 10, 14)
    check_store(store_path, 10)
    monkeypatch.undo()
    with FeatureStoreWriter(store_path, 5, "encoder-a") as writer:
        add(writer, 10, 14)
    check_store(store_path, 14)


def test_what_a_killed_writer_left_behind_is_cut_off(store_path):
    for name in ("features.bin", "thumbnails.bin"):
        with (store_path / name).open("ab") as file:
            file.write(b"half a batch")
    check_store(store_path, 10)
    with FeatureStoreWriter(store_path, 5, "encoder-a") as writer:
        add(writer, 10, 12)
    check_store(store_path, 12)


def test_two_writers_keep_out_of_each_others_way(store_path, monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **{**options, "timeout": 0.0}))
    with FeatureStoreWriter(store_path, 5, "encoder-a") as writer:
        with pytest.raises(StoreError, match="Another build"):
            FeatureStoreWriter(store_path, 5, "encoder-a")
        add(writer, 10, 12)
    check_store(store_path, 12)


def test_the_store_can_be_read_from_other_threads(store_path):
    store, found = FeatureStore.open(store_path), []
    threads = [threading.Thread(target=lambda id=id: found.append(store.row(id)[1])) for id in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [f"picture {number}" for number in range(8)]


def test_another_encoder_is_refused(store_path):
    with pytest.raises(FingerprintError, match="another image encoder"):
        FeatureStoreWriter(store_path, 5, "encoder-b")
    with pytest.raises(StoreError, match="width 5, not 6"):
        FeatureStoreWriter(store_path, 6, "encoder-a")


def test_wrong_input_is_refused_and_changes_nothing(store_path):
    with FeatureStoreWriter(store_path, 5, "encoder-a") as writer:
        for block, reason in [
            (np.ones((2, 6)), "width 5, not 6"),
            (np.ones((3, 5)), "belong together"),
            (np.full((2, 5), np.nan), "not a number"),
            (np.full((2, 5), 1e6), "range of fp16"),
        ]:
            with pytest.raises(StoreError, match=reason):
                writer.append(block, rows(10, 12), thumbnails(10, 12))
        with pytest.raises(StoreError, match="already"):
            writer.append(features(9, 11), rows(9, 11), thumbnails(9, 11))
    check_store(store_path, 10)


def test_missing_rows_are_refused(store_path):
    store = FeatureStore.open(store_path)
    for id in (-1, 10, 10**12):
        with pytest.raises(StoreError, match="no row"):
            store.row(id)


def test_no_store_and_an_unfinished_store_are_told_apart(tmp_path):
    with pytest.raises(StoreError, match="no feature store"):
        FeatureStore.open(tmp_path / "nothing")
    writer = FeatureStoreWriter(tmp_path / "begun", 5, "encoder-a")
    add(writer, 0, 3)
    writer.close()
    with pytest.raises(StoreError, match="unfinished: only 3 pictures are.*Go on where it stopped: fromage-lite index"):
        FeatureStore.open(tmp_path / "begun")
    with FeatureStoreWriter(tmp_path / "begun", 5, "encoder-a") as writer:
        assert len(writer) == 3
    check_store(tmp_path / "begun", 3)


def edit(path, **changes):
    manifest = json.loads((path / "manifest.json").read_text())
    manifest.update(changes)
    (path / "manifest.json").write_text(json.dumps({k: v for k, v in manifest.items() if v is not None}))


DAMAGE = {
    "no JSON": (lambda path: (path / "manifest.json").write_bytes(b"\x00\xff{"), "damaged"),
    "empty manifest": (lambda path: (path / "manifest.json").write_bytes(b""), "damaged"),
    "other JSON": (lambda path: (path / "manifest.json").write_text("[1]"), "damaged"),
    "newer version": (lambda path: edit(path, version=99), "version 99"),
    "missing field": (lambda path: edit(path, dim=None), "dim"),
    "unknown field": (lambda path: edit(path, colour="red"), "colour"),
    "wrong type": (lambda path: edit(path, count="10"), "count can't be '10'"),
    "negative": (lambda path: edit(path, count=-1), "count can't be -1"),
    "too many": (lambda path: edit(path, count=11), "damaged"),
    "features cut": (lambda path: os.truncate(path / "features.bin", 50), "features.bin is damaged"),
    "features gone": (lambda path: (path / "features.bin").unlink(), "features.bin"),
    "thumbnails cut": (lambda path: os.truncate(path / "thumbnails.bin", 5), "thumbnails.bin is damaged"),
    "rows gone": (lambda path: (path / "rows.sqlite").unlink(), "rows.sqlite"),
    "rows no database": (lambda path: (path / "rows.sqlite").write_bytes(b"x" * 9000), "rows.sqlite"),
    "rows empty": (lambda path: (path / "rows.sqlite").write_bytes(b""), "rows.sqlite"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_a_clear_error(store_path, name):
    damage, reason = DAMAGE[name]
    damage(store_path)
    with pytest.raises(StoreError, match=reason):
        FeatureStore.open(store_path)


def test_a_writer_refuses_damaged_files(store_path):
    os.truncate(store_path / "features.bin", 50)
    with pytest.raises(StoreError, match="damaged: 50 bytes, 100 expected"):
        FeatureStoreWriter(store_path, 5, "encoder-a")


def test_a_place_that_can_not_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file", tmp_path / "file" / "store", "/proc/store"):
        with pytest.raises(StoreError, match="write to"):
            FeatureStoreWriter(path, 5, "encoder-a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_a_clear_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="permission"):
        FeatureStoreWriter(tmp_path / "store", 5, "encoder-a")


def test_a_store_in_a_read_only_folder_can_be_read(store_path):
    for path in [*store_path.iterdir(), store_path]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    check_store(store_path, 10)
    store_path.chmod(0o755)
