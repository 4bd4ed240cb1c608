"""Inverted lists of a bit a number with a second look: tuning, filters, opening, files of earlier programs."""

from __future__ import annotations

import dataclasses

import faiss
import numpy as np
import pytest

import index.search.faiss_build
from index.errors import StoreError
from index.search.centroids import two_level_kmeans
from index.search.derive import derive_index
from index.search.faiss_build import fill
from index.search.faiss_index import ImageIndex
from index.search.finding import DiskRows
from index.search.policy import IndexOptions, Plan
from index.store.feature_store import FeatureStoreWriter
from index.store.manifest import IndexManifest

COUNT, WIDTH = 3000, 64
KIND = "RR64,IVF32,RaBitQ,Refine(SQfp16)"
REMOVED = np.arange(0, COUNT, 50)


@pytest.fixture(scope="module")
def vectors():
    """60 clusters of 50."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(60, WIDTH))
    rows = centres[rng.integers(60, size=COUNT)] + 0.6 * rng.normal(size=(COUNT, WIDTH))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    return rows


@pytest.fixture(scope="module")
def folder(vectors, tmp_path_factory):
    path = tmp_path_factory.mktemp("store")
    with FeatureStoreWriter(path, WIDTH, "encoder") as writer:
        writer.append(vectors, [{"source": f"https://h/{id}.png", "caption": ""} for id in range(COUNT)], [b""] * COUNT)
        writer.remove(REMOVED.tolist())
    derive_index(path, unit, "bridge", kind=KIND)
    return path


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def queries(vectors):
    rng = np.random.default_rng(2)
    return unit(vectors[rng.integers(COUNT, size=40)] + 0.05 * rng.normal(size=(40, WIDTH))).astype(np.float32)


def nearest(vectors, queries, k, allowed):
    ids = np.array(sorted(set(map(int, allowed)) - set(REMOVED.tolist())))
    return ids[np.argsort(-(queries @ vectors[ids].T), axis=1)[:, :k]] if len(ids) else np.empty((len(queries), 0))


def share(found, truth):
    pairs = zip(found, truth, strict=True)
    return np.mean([len({hit.id for hit in hits} & set(row)) / len(row) for hits, row in pairs])


def test_it_finds_what_it_was_tuned_to_and_its_manifest_says_how(folder, vectors, queries):
    manifest = IndexManifest.read(folder / "index.json")
    assert 1 <= manifest.probes <= 32 and manifest.factor >= 1
    assert manifest.recall >= manifest.wished_recall == 0.98
    assert f"{manifest.probes} of 32 searched" in manifest.reason and "by name" in manifest.reason
    found = ImageIndex.open(folder).search(queries, 10)
    assert share(found, nearest(vectors, queries, 10, range(COUNT))) >= 0.95
    for query, hits in zip(queries, found, strict=True):  # scores are those of the exact vectors
        assert [hit.score for hit in hits] == pytest.approx([float(query @ vectors[hit.id]) for hit in hits], abs=2e-3)


@pytest.mark.parametrize("among", [None, range(0, COUNT, 2), range(5, COUNT, 300), range(COUNT - 40, COUNT), []])
@pytest.mark.parametrize("exclude", [(), range(30), range(0, COUNT, 3)])
@pytest.mark.parametrize("k", [1, 25])
def test_filters_are_exact_and_all_that_is_asked_for_comes(folder, vectors, queries, among, exclude, k):
    allowed = set(range(COUNT) if among is None else among) - set(exclude)
    wanted = nearest(vectors, queries, k, allowed)
    ids = None if among is None else np.array(among, dtype=np.int64)
    found = ImageIndex.open(folder).search(queries, k, exclude, ids)
    for hits, row in zip(found, wanted, strict=True):
        assert len(hits) == len(row) == len({hit.id for hit in hits})
        assert {hit.id for hit in hits} <= allowed - set(REMOVED.tolist())
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    if wanted.size:
        assert share(found, wanted) >= 0.9


def test_all_there_are_can_be_asked_for(folder, queries):
    found = ImageIndex.open(folder).search(queries[:2], 5000)
    assert [len(hits) for hits in found] == [2940, 2940]


def test_opened_compactly_it_reads_exact_vectors_from_disk_and_finds_the_same(folder, queries):
    index = ImageIndex.open(folder)
    path = folder / "index.json"
    manifest = index.manifest
    dataclasses.replace(manifest, is_compact=True).write(path)
    compact = ImageIndex.open(folder)
    manifest.write(path)
    assert isinstance(compact._parts[0].finder.rows, DiskRows)
    assert compact.search(queries, 10) == index.search(queries, 10)


def test_where_lists_would_miss_too_many_the_index_is_exact_and_says_so(vectors, queries, monkeypatch):
    monkeypatch.setattr(index.search.faiss_build, "tune", lambda *arguments: index.search.faiss_build.Tuned(32, 8, 0.5))
    plan = Plan(f"IDMap,{KIND}", "Many.", 0.98)
    built = fill(plan, np.arange(COUNT), [vectors], vectors)
    assert built.plan.kind == "IDMap,Flat" and "50.0% of the nearest ten at most" in built.plan.reason
    scores, ids = built.index.search(queries, 10)
    assert ids.tolist() == np.argsort(-(queries @ vectors.T), axis=1)[:, :10].tolist()
    kept = fill(dataclasses.replace(plan, is_compact=True), np.arange(COUNT), [vectors], vectors)
    assert kept.plan.kind == plan.kind and kept.tuned.recall == 0.5


def test_lists_of_an_earlier_program_whose_positions_are_ids_are_searched(folder, vectors, queries, tmp_path):
    old = faiss.index_factory(WIDTH, "IVF32_HNSW32,SQ8", faiss.METRIC_INNER_PRODUCT)
    ids = np.setdiff1d(np.arange(COUNT), REMOVED)
    old.train(vectors)
    old.add_with_ids(vectors[ids], ids)
    faiss.write_index(old, str(tmp_path / "index.faiss"))
    new = IndexManifest.read(folder / "index.json")
    names = "dim count bridge_fingerprint encoder_fingerprint faiss_version".split()
    manifest = IndexManifest(
        kind="IVF32_HNSW32,SQ8",
        file_bytes=(tmp_path / "index.faiss").stat().st_size,
        store=str(folder),
        file_crc=0,
        **{name: getattr(new, name) for name in names},
    )
    manifest.write(tmp_path / "index.json")
    opened = ImageIndex.open(tmp_path)
    wanted = nearest(vectors, queries, 10, range(100, COUNT, 2))
    found = opened.search(queries, 10, exclude=range(100), among=np.arange(0, COUNT, 2))
    assert share(found, wanted) >= 0.9 and all(hit.id % 2 == 0 and hit.id >= 100 for hits in found for hit in hits)
    assert [len(hits) for hits in opened.search(queries[:2], 5000)] == [2940, 2940]


@pytest.mark.parametrize("kind", ["nonsense", "IVF2999,Flat", "PQ7"])
def test_a_kind_that_can_not_be_made_is_a_clear_error(folder, tmp_path, kind):
    with pytest.raises(StoreError, match="FAISS can't make|need at least as many pictures"):
        derive_index(folder, unit, "bridge", tmp_path, options=IndexOptions(kind=kind))
    assert not (tmp_path / "index.json").exists()


@pytest.mark.parametrize("kind", ["HNSW16", "PQ16x4", "IVF16,PQ16x4,RFlat"])
def test_experts_kinds_give_as_many_as_are_asked_for(folder, queries, tmp_path, kind):
    derive_index(folder, unit, "bridge", tmp_path, kind=kind)
    opened = ImageIndex.open(tmp_path)
    assert [len(hits) for hits in opened.search(queries[:3], 300, range(500))] == [300] * 3
    assert opened.manifest.recall > 0


def test_centroids_of_two_levels_are_as_many_as_wished_and_of_unit_norm(vectors):
    for count in (7, 600, 1000):
        centroids = two_level_kmeans(vectors, count)
        assert centroids.shape == (count, WIDTH)
        np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-3)
