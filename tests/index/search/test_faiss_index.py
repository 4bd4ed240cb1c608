"""Search against brute force in numpy."""

from __future__ import annotations

import os

import numpy as np
import pytest

import index.search.faiss_build
import index.search.faiss_index
from index.errors import FingerprintError, StoreError
from index.search.derive import derive_index
from index.search.faiss_build import build_index
from index.search.faiss_index import ImageIndex
from index.store.feature_store import FeatureStore, FeatureStoreWriter

DIM, WIDTH = 12, 8
REMOVED = [0, 17, 18, 399]


@pytest.fixture(scope="module")
def store_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("store")
    features = np.random.default_rng(1).normal(size=(400, DIM))
    with FeatureStoreWriter(path, DIM, "encoder") as writer:
        rows = [{"source": f"/p/{id}.png", "caption": f"picture {id}"} for id in range(400)]
        writer.append(features, rows, [b"jpeg %d" % id for id in range(400)])
        writer.remove(REMOVED)
    return path


MATRIX = np.random.default_rng(2).normal(size=(DIM, WIDTH)).astype(np.float32)


def project(features):
    vectors = features @ MATRIX
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def queries(normalise):
    return normalise(np.random.default_rng(3).normal(size=(6, WIDTH)))


def brute_force(store_path, queries, k, exclude=(), among=range(400)):
    """[(id, score)] by sorting every product; fp64, the store's file read as raw numbers."""
    features = np.fromfile(store_path / "features.bin", dtype=np.float16).reshape(-1, DIM).astype(np.float64)
    vectors = features @ MATRIX.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    answers = []
    for query in queries.astype(np.float64):
        scores = vectors @ query
        allowed = [id for id in np.argsort(-scores) if id in set(among) - set(REMOVED) - set(exclude)]
        answers.append([(int(id), scores[id]) for id in allowed[:k]])
    return answers


@pytest.mark.parametrize("kind, tolerance", [("IDMap2,Flat", 1e-5), ("IDMap2,SQfp16", 2e-3)])
@pytest.mark.parametrize("exclude", [(), (5, 6, 7), range(0, 400, 2), [1, 10**9, -1]])
def test_search_agrees_with_brute_force(store_path, tmp_path, queries, kind, tolerance, exclude):
    derive_index(store_path, project, "bridge", tmp_path, kind=kind, block_size=150)
    found = ImageIndex.open(tmp_path, "bridge").search(queries, 10, exclude)
    for hits, wanted in zip(found, brute_force(store_path, queries, 10, exclude), strict=True):
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in wanted], abs=tolerance)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        if tolerance < 1e-4:
            assert [hit.id for hit in hits] == [id for id, _ in wanted]
        assert not {hit.id for hit in hits} & {*exclude, *REMOVED}
        assert all((hit.source, hit.caption) == (f"/p/{hit.id}.png", f"picture {hit.id}") for hit in hits)


def test_inverted_lists_find_nearly_all_and_respect_exclusion(store_path, tmp_path, queries):
    derive_index(store_path, project, "bridge", tmp_path, kind="IVF8_HNSW32,SQ8")
    index = ImageIndex.open(tmp_path)
    wanted = brute_force(store_path, queries, 10, range(100))
    found = index.search(queries, 10, exclude=range(100))
    same = [len({h.id for h in hits} & {id for id, _ in row}) for hits, row in zip(found, wanted, strict=True)]
    assert sum(same) >= 54  # of 60; 8 bits a number may swap the last few
    assert min(hit.id for hits in found for hit in hits) >= 100


@pytest.mark.parametrize("kind, tolerance", [("IVF128,Flat", 1e-5), ("IVF128_HNSW32,SQ8", 3e-2)])
@pytest.mark.parametrize("k", [1, 10, 150, 250, 396, 5000])
@pytest.mark.parametrize("exclude", [(), range(0, 400, 2), range(5, 400), range(400)])
def test_inverted_lists_give_as_many_as_are_asked_for(store_path, tmp_path, queries, kind, tolerance, k, exclude):
    """The 64 lists searched at first hold about half of the pictures."""
    derive_index(store_path, project, "bridge", tmp_path, kind=kind)
    found = ImageIndex.open(tmp_path).search(queries, k, exclude)
    for hits, wanted in zip(found, brute_force(store_path, queries, k, exclude), strict=True):
        assert len(hits) == len(wanted) == len({hit.id for hit in hits})
        assert not {hit.id for hit in hits} & {*exclude, *REMOVED}
        if len(wanted) < k or k == 396:  # all there are
            assert {hit.id for hit in hits} == {id for id, _ in wanted}
            assert [hit.score for hit in hits] == pytest.approx([score for _, score in wanted], abs=tolerance)


@pytest.mark.parametrize("kind", ["IDMap2,Flat", "IDMap2,SQfp16", "IVF128,Flat", "IVF128_HNSW32,SQ8"])
@pytest.mark.parametrize("among", [range(400), range(1, 400, 7), [399, 30, 5, 30], [-1, 399, 10**12], []])
@pytest.mark.parametrize("exclude", [(), range(0, 400, 2)])
def test_only_ids_among_the_given_ones_are_found_and_all_of_them(store_path, tmp_path, queries, kind, among, exclude):
    derive_index(store_path, project, "bridge", tmp_path, kind=kind)
    found = ImageIndex.open(tmp_path).search(queries, 40, exclude, among=np.array(among, dtype=np.int64))
    for hits, wanted in zip(found, brute_force(store_path, queries, 40, exclude, among), strict=True):
        assert len(hits) == len(wanted) == len({hit.id for hit in hits})
        assert {hit.id for hit in hits} <= set(among) - set(exclude) - set(REMOVED)
        if len(wanted) < 40:
            assert {hit.id for hit in hits} == {id for id, _ in wanted}


def test_more_wanted_than_there_are(store_path, tmp_path, queries):
    derive_index(store_path, project, "bridge", tmp_path)
    index = ImageIndex.open(tmp_path)
    assert len(index) == 396
    assert [len(hits) for hits in index.search(queries, 5000)] == [396] * 6
    assert [len(hits) for hits in index.search(queries, 5000, exclude=range(390))] == [9] * 6
    assert index.search(queries, 3, exclude=range(400)) == [[]] * 6
    assert index.search(queries, 0) == [[]] * 6
    assert index.search(queries[:0], 3) == []
    scores, ids = index.search_ids(queries, 3, exclude=range(398))
    assert ids.tolist() == [[398, -1, -1]] * 6
    assert index.thumbnail(398) == b"jpeg 398"


def test_wrong_queries_are_clear_errors(store_path, tmp_path, queries):
    derive_index(store_path, project, "bridge", tmp_path)
    index = ImageIndex.open(tmp_path)
    for wrong, reason in [
        (queries[:, :5] / np.linalg.norm(queries[:, :5], axis=1, keepdims=True), "width 5.*width 8"),
        (queries * 2, "unit norm"),
        (queries * np.nan, "unit norm"),
        (queries[0], r"shape \(count, width\)"),
    ]:
        with pytest.raises(StoreError, match=reason):
            index.search(wrong, 3)


def test_another_bridge_is_refused_with_the_command_that_rebuilds(store_path, tmp_path):
    derive_index(store_path, project, "bridge-a", tmp_path)
    assert len(ImageIndex.open(tmp_path, "bridge-a")) == 396
    with pytest.raises(FingerprintError) as raised:
        ImageIndex.open(tmp_path, "bridge-b", model="runs/b")
    assert f"Rebuild it: fromage-lite index --model runs/b --out {tmp_path}" in str(raised.value)
    derive_index(store_path, project, "bridge-b", tmp_path)
    assert len(ImageIndex.open(tmp_path, "bridge-b")) == 396


def test_a_store_of_another_encoder_is_refused(store_path, tmp_path):
    derive_index(store_path, project, "bridge", tmp_path / "index")
    with FeatureStoreWriter(tmp_path / "other", 2, "encoder-b") as writer:
        writer.append(np.ones((1, 2)), [{"source": "/x.png", "caption": ""}], [b""])
    manifest = tmp_path / "index" / "index.json"
    store = os.path.relpath(store_path.resolve(), (tmp_path / "index").resolve())
    manifest.write_text(manifest.read_text().replace(store, "../other"))
    with pytest.raises(FingerprintError, match="different encoders"):
        ImageIndex.open(tmp_path / "index")


def test_vectors_that_do_not_fit_are_refused(store_path, tmp_path, normalise):
    store = FeatureStore.open(store_path)
    rng = np.random.default_rng(4)
    sound = normalise(rng.normal(size=(396, WIDTH)))
    for blocks, reason in [
        ([sound[:395]], "396 live rows"),
        ([sound, sound[:1]], "396 live rows"),
        ([sound[:10], normalise(rng.normal(size=(386, 3)))], "don't fit"),
        ([], "don't fit"),
        ([sound * 3], "unit norm; one has norm 3"),
    ]:
        with pytest.raises(StoreError, match=reason):
            build_index(store, store.live_ids(), blocks, "bridge", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_or_damaged_index_is_a_clear_error(store_path, tmp_path):
    with pytest.raises(StoreError, match="There is no index"):
        ImageIndex.open(tmp_path / "nowhere")
    wanted = f"pictures are embedded, but there is no index.*: fromage-lite index --model m --out {store_path}$"
    with pytest.raises(StoreError, match=f"index at {store_path} is unfinished.*{wanted}"):
        ImageIndex.open(store_path, model="m")
    derive_index(store_path, project, "bridge", tmp_path)
    file = tmp_path / "index.faiss"
    whole = file.read_bytes()
    for damaged in (whole[:-1], b"", b"x" * len(whole), whole[:4] + b"\xff" * 40 + whole[44:]):
        file.write_bytes(damaged)
        with pytest.raises(StoreError, match="damaged"):
            ImageIndex.open(tmp_path)
    file.unlink()
    with pytest.raises(StoreError, match="index.faiss"):
        ImageIndex.open(tmp_path)


def test_a_build_that_fails_leaves_the_old_index(store_path, tmp_path, monkeypatch):
    derive_index(store_path, project, "bridge-a", tmp_path)

    def disk_full(index, path):
        raise RuntimeError("write error")

    monkeypatch.setattr(index.search.faiss_build.faiss, "write_index", disk_full)
    with pytest.raises(StoreError, match="disk full"):
        derive_index(store_path, project, "bridge-b", tmp_path)
    assert len(ImageIndex.open(tmp_path, "bridge-a")) == 396
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "index.faiss", "index.json"]


def test_a_place_that_can_not_be_written_is_a_clear_error(store_path, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="write to"):
        derive_index(store_path, project, "bridge", tmp_path / "file" / "index")


def test_an_open_index_survives_its_replacement(store_path, tmp_path, queries):
    derive_index(store_path, project, "bridge-a", tmp_path)
    old = ImageIndex.open(tmp_path)
    before = old.search(queries, 5)
    derive_index(store_path, lambda features: -project(features), "bridge-b", tmp_path)
    assert old.search(queries, 5) == before
    assert ImageIndex.open(tmp_path).search(queries, 5) != before


@pytest.fixture
def pictures(tmp_path, normalise):
    """Six rows on a line away from the query: kept files, files that are gone with and without a thumbnail, a URL."""
    files = [tmp_path / "pictures" / f"{id}.png" for id in range(6)]
    files[0].parent.mkdir()
    for id in (0, 4, 5):
        files[id].touch()
    sources = [*map(str, files[:3]), "https://example.org/3.png", *map(str, files[4:])]
    thumbnails = [b"jpeg", b"", b"jpeg", b"", b"", b"jpeg"]
    with FeatureStoreWriter(tmp_path / "store", 2, "encoder") as writer:
        writer.append([[1.0, id / 4] for id in range(6)], [{"source": s, "caption": ""} for s in sources], thumbnails)
    derive_index(tmp_path / "store", normalise, "bridge")
    return tmp_path / "store"


EAST = np.array([[1.0, 0.0]], np.float32)


def test_a_picture_that_is_gone_is_found_only_with_its_thumbnail_and_marked(pictures):
    index = ImageIndex.open(pictures)
    (hits,) = index.search(EAST, 6)
    assert [(hit.id, hit.gone) for hit in hits] == [(0, False), (2, True), (3, False), (4, False), (5, False)]
    (hits,) = index.search(EAST, 2)
    assert [hit.id for hit in hits] == [0, 2]  # the next takes the place of 1
    (hits,) = index.search(EAST, 2, exclude=[0, 2])
    assert [hit.id for hit in hits] == [3, 4]


def test_where_all_pictures_are_gone_a_search_ends(tmp_path, normalise, monkeypatch):
    monkeypatch.setattr(index.search.faiss_index, "GONE_LIMIT", 20)
    with FeatureStoreWriter(tmp_path, 2, "encoder") as writer:
        gone = [{"source": f"/nowhere/{id}.png", "caption": ""} for id in range(50)]
        writer.append([[1.0, id / 4] for id in range(50)], gone, [b""] * 50)
    derive_index(tmp_path, normalise, "bridge")
    assert ImageIndex.open(tmp_path).search(EAST, 3) == [[]]
