"""An index follows its store without being made anew, and is as good as one that was."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest

import index.search.update
from index.building.verify import verify_index
from index.errors import StoreError
from index.search.derive import derive_index
from index.search.faiss_index import ImageIndex
from index.store.feature_store import FeatureStore, FeatureStoreWriter
from index.store.manifest import IndexManifest

WIDTH, BEFORE, AFTER = 64, 1000, 1015
KINDS = ["IDMap,SQfp16", "IDMap,RR64,IVF16,RaBitQ,Refine(SQfp16)"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(index.search.update, "LEAST_UPDATED", 100)


@pytest.fixture
def vectors(normalise):
    return normalise(np.random.default_rng(5).normal(size=(3000, WIDTH)))


def append(folder, vectors, start, end, removed=()):
    with FeatureStoreWriter(folder, WIDTH, "encoder") as writer:
        rows = [{"source": f"https://h/{id}.png", "caption": ""} for id in range(start, end)]
        writer.append(vectors[start:end], rows, [b""] * len(rows))
        writer.remove(list(removed))


class Projection:
    """Counts the rows that pass through."""

    def __init__(self, normalise):
        self.normalise, self.rows = normalise, 0

    def __call__(self, features):
        self.rows += len(features)
        return self.normalise(features)


@pytest.fixture
def project(normalise):
    return Projection(normalise)


def found(folder, vectors, k=10):
    return [[hit.id for hit in hits] for hits in ImageIndex.open(folder).search(vectors[::61], k)]


def exact(folder, vectors, k=10):
    """By sorting all products of the live rows."""
    store = FeatureStore.open(folder)
    ids = store.live_ids()
    rows = np.asarray(store.features[ids], dtype=np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return ids[np.argsort(-(vectors[::61].astype(np.float64) @ rows.T), axis=1)[:, :k]]


def agree(folder, vectors):
    same = [len(set(a) & set(b)) / 10 for a, b in zip(found(folder, vectors), exact(folder, vectors), strict=True)]
    return np.mean(same)


@pytest.mark.parametrize("kind", KINDS)
def test_few_new_and_gone_pictures_go_into_a_file_beside(tmp_path, vectors, project, kind):
    append(tmp_path, vectors, 0, BEFORE)
    derive_index(tmp_path, project, "bridge", kind=kind)
    whole, before = (tmp_path / "index.faiss").stat(), project.rows
    append(tmp_path, vectors, BEFORE, AFTER, removed=[3, 61, 122, BEFORE + 2])
    manifest = derive_index(tmp_path, project, "bridge", kind=kind)
    assert (manifest.count, manifest.added, manifest.removed) == (1011, 14, 3)
    assert project.rows - before <= 15  # the new ones, and no others
    assert (tmp_path / "index.faiss").stat().st_ino == whole.st_ino
    opened = ImageIndex.open(tmp_path, "bridge")
    assert len(opened) == 1011 and verify_index(opened) == []
    assert agree(tmp_path, vectors) >= 0.95
    assert found(tmp_path, vectors[BEFORE : BEFORE + 1], 1) == [[BEFORE]]
    assert [len(hits) for hits in opened.search(vectors[:2], 5000)] == [1011, 1011]
    assert [hit.id for hit in opened.search(vectors[3:4], 3, among=np.array([3, 5, 1001, 1002]))[0]] in (
        [5, 1001],
        [1001, 5],
    )


@pytest.mark.parametrize("kind", KINDS)
def test_more_of_them_go_into_the_faiss_file_without_training(tmp_path, vectors, project, kind, monkeypatch):
    append(tmp_path, vectors, 0, BEFORE)
    derive_index(tmp_path, project, "bridge", kind=kind)
    append(tmp_path, vectors, BEFORE, AFTER, removed=[7])
    derive_index(tmp_path, project, "bridge", kind=kind)
    monkeypatch.setattr("index.search.faiss_build.train_index", lambda *arguments: pytest.fail("it was trained again"))
    before = project.rows
    append(tmp_path, vectors, AFTER, 1400, removed=[9])
    manifest = derive_index(tmp_path, project, "bridge", kind=kind)
    assert (manifest.count, manifest.added, manifest.removed) == (1398, 0, 2)
    assert project.rows - before <= 386
    assert verify_index(ImageIndex.open(tmp_path)) == [] and agree(tmp_path, vectors) >= 0.95


def test_nothing_new_leaves_everything_as_it_is(tmp_path, vectors, project):
    append(tmp_path, vectors, 0, BEFORE)
    manifest = derive_index(tmp_path, project, "bridge", kind=KINDS[0])
    before = project.rows
    assert derive_index(tmp_path, project, "bridge", kind=KINDS[0]) == manifest
    assert project.rows == before
    assert sorted(path.name for path in tmp_path.glob("*.npz")) == []


def test_a_change_that_was_taken_back_leaves_no_file(tmp_path, vectors, project):
    append(tmp_path, vectors, 0, BEFORE)
    derive_index(tmp_path, project, "bridge", kind=KINDS[0])
    append(tmp_path, vectors, BEFORE, AFTER)
    derive_index(tmp_path, project, "bridge", kind=KINDS[0])
    assert len(list(tmp_path.glob("changes-*.npz"))) == 1
    append(tmp_path, vectors, AFTER, AFTER, removed=range(BEFORE, AFTER))
    manifest = derive_index(tmp_path, project, "bridge", kind=KINDS[0])
    assert (manifest.count, manifest.changes) == (BEFORE, "") and not list(tmp_path.glob("changes-*.npz"))


@pytest.mark.parametrize("reason", ["bridge", "shrunk", "grown", "damaged", "another store", "another kind"])
def test_otherwise_it_is_made_anew(tmp_path, vectors, project, reason):
    append(tmp_path, vectors, 0, BEFORE)
    derive_index(tmp_path, project, "bridge", kind=KINDS[0])
    bridge, kind, rows = "bridge", KINDS[0], AFTER
    if reason == "bridge":
        bridge = "other"
    if reason == "damaged":
        data = bytearray((tmp_path / "index.faiss").read_bytes())
        data[5000] ^= 1
        (tmp_path / "index.faiss").write_bytes(data)
    if reason == "another kind":
        kind = KINDS[1]
    if reason == "grown":
        rows = 2500
    if reason == "another store":
        for path in [*tmp_path.glob("*.bin"), *tmp_path.glob("rows*"), tmp_path / "manifest.json"]:
            path.unlink()
        append(tmp_path, -vectors, 0, BEFORE)
    else:
        append(tmp_path, vectors, BEFORE, rows, removed=range(300) if reason == "shrunk" else ())
    before = project.rows
    manifest = derive_index(tmp_path, project, bridge, kind=kind)
    live = len(FeatureStore.open(tmp_path).live_ids())
    assert (manifest.count, manifest.added, manifest.removed) == (live, 0, 0)
    assert project.rows - before >= live
    assert verify_index(ImageIndex.open(tmp_path, bridge)) == [] and agree(tmp_path, vectors) >= 0.95


def test_a_damaged_or_foreign_changes_file_is_a_clear_error_and_mended_by_building_again(tmp_path, vectors, project):
    append(tmp_path, vectors, 0, BEFORE)
    derive_index(tmp_path, project, "bridge", kind=KINDS[0])
    append(tmp_path, vectors, BEFORE, AFTER)
    manifest = derive_index(tmp_path, project, "bridge", kind=KINDS[0])
    file = tmp_path / manifest.changes
    whole = file.read_bytes()
    for damaged in (whole[:-9], b"", whole[:200] + b"\xff" + whole[201:]):
        file.write_bytes(damaged)
        with pytest.raises(StoreError, match=f"{file.name} is damaged"):
            ImageIndex.open(tmp_path)
    data = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({**data, "changes": "../../etc/passwd"}))
    with pytest.raises(StoreError, match="damaged"):
        ImageIndex.open(tmp_path)
    file.write_bytes(b"PK\3\4, and no zip file")
    (tmp_path / "index.json").write_text(json.dumps({**data, "changes_crc": zlib.crc32(file.read_bytes())}))
    with pytest.raises(StoreError, match=f"{file.name} is damaged"):
        ImageIndex.open(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps(data))
    derive_index(tmp_path, project, "bridge", kind=KINDS[0])
    assert len(ImageIndex.open(tmp_path)) == AFTER == IndexManifest.read(tmp_path / "index.json").count


def test_an_update_that_fails_leaves_the_earlier_index(tmp_path, vectors, project, monkeypatch):
    append(tmp_path, vectors, 0, BEFORE)
    derive_index(tmp_path, project, "bridge", kind=KINDS[0])
    append(tmp_path, vectors, BEFORE, AFTER)

    def disk_full(path, data):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(index.search.update, "write_bytes", disk_full)
        with pytest.raises(StoreError, match="No space left"):
            derive_index(tmp_path, project, "bridge", kind=KINDS[0])
    assert len(ImageIndex.open(tmp_path)) == BEFORE
    assert derive_index(tmp_path, project, "bridge", kind=KINDS[0]).count == AFTER
