"""An index in Milvus against brute force and FAISS: a Milvus Lite file, and a server that stops."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from index.errors import FingerprintError, StoreError
from index.milvus.rows import narrowed
from index.milvus.server import MilvusAddress, connect, index_name, is_milvus
from index.pictures.facts import Facts
from index.search.derive import derive_index
from index.search.faiss_index import ImageIndex
from index.search.hits import Catalogue, Retriever
from index.store.feature_store import FeatureStore, FeatureStoreWriter
from index.store.filters import Filters

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite", reason="pip install --no-deps milvus-lite")

from index.milvus.load import load_collection  # noqa: E402
from index.milvus.milvus_index import MilvusIndex, expression  # noqa: E402

COUNT, DIM, WIDTH = 1200, 12, 8
REMOVED = [0, 17, 18, 1199]
MATRIX = np.random.default_rng(2).normal(size=(DIM, WIDTH)).astype(np.float32)


def project(features):
    vectors = features @ MATRIX
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rows(first, last):
    return [{"source": f"/p/{id}.png", "caption": f"picture {id}", "stamp": (id, 10 * id)} for id in range(first, last)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """1,200 pictures whose files are gone; every fifth has no thumbnail either."""
    path = tmp_path_factory.mktemp("store")
    features = np.random.default_rng(1).normal(size=(COUNT, DIM))
    with FeatureStoreWriter(path, DIM, "encoder") as writer:
        writer.append(features, rows(0, COUNT), [b"jpeg %d" % id if id % 5 else b"" for id in range(COUNT)])
        writer.remove(REMOVED)
    derive_index(path, project, "bridge", path, kind="IDMap2,Flat")
    return path


@pytest.fixture(scope="module")
def lite(store, tmp_path_factory):
    """A Milvus Lite file with these pictures."""
    file = tmp_path_factory.mktemp("milvus") / "pictures.db"
    report = load_collection(store, project, "bridge", file, model="tiny")
    assert (report.added, report.removed, report.total, report.kind) == (COUNT - 4, 0, COUNT - 4, "FLAT")
    return file


@pytest.fixture(scope="module")
def index(lite):
    opened = MilvusIndex.open(lite, "bridge")
    yield opened
    opened.close()


@pytest.fixture
def queries(normalise):
    return normalise(np.random.default_rng(3).normal(size=(6, WIDTH)))


def nearest(store, queries, k, exclude=(), among=None):
    """[(id, score)] by sorting every product, of those that can be shown."""
    features = np.fromfile(store / "features.bin", dtype=np.float16).reshape(-1, DIM).astype(np.float64)
    vectors = features @ MATRIX.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    barred = set(REMOVED) | set(exclude) | set(range(0, COUNT, 5))
    allowed = (set(range(COUNT)) if among is None else set(np.asarray(among).tolist())) - barred
    answers = []
    for query in queries.astype(np.float64):
        scores = vectors @ query
        answers.append([(int(id), scores[id]) for id in np.argsort(-scores) if int(id) in allowed][:k])
    return answers


@pytest.mark.parametrize("exclude", [(), (5, 6, 7), range(0, COUNT, 2), [1, 10**9, -1], range(900)])
@pytest.mark.parametrize("among", [None, np.arange(100, 700), np.array([3, 999, 8, 8, 44, 10**9, -3]), np.arange(0)])
@pytest.mark.parametrize("k", [1, 10, 400])
def test_search_agrees_with_brute_force(store, index, queries, k, exclude, among):
    found = index.search(queries, k, exclude, among)
    for hits, wanted in zip(found, nearest(store, queries, k, exclude, among), strict=True):
        assert [hit.id for hit in hits] == [id for id, _ in wanted]
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in wanted], abs=1e-5)
        assert all((hit.source, hit.caption) == (f"/p/{hit.id}.png", f"picture {hit.id}") for hit in hits)
        assert all(hit.gone for hit in hits)


def test_it_answers_as_faiss_does(store, index, queries):
    faiss_index = ImageIndex.open(store)
    for options in ({}, {"exclude": range(0, COUNT, 3)}, {"among": np.arange(200, 400)}):
        ours, theirs = index.search(queries, 25, **options), faiss_index.search(queries, 25, **options)
        assert [[hit.id for hit in hits] for hits in ours] == [[hit.id for hit in hits] for hits in theirs]


@pytest.mark.slow
def test_of_twenty_thousand_it_finds_what_an_exact_search_finds(tmp_path, normalise):
    vectors = normalise(np.random.default_rng(7).normal(size=(20_000, 256)))
    with FeatureStoreWriter(tmp_path / "store", 256, "encoder") as writer:
        writer.append(vectors, [{"source": f"/p/{id}.png", "caption": ""} for id in range(20_000)], [b"jpeg"] * 20_000)
    derive_index(tmp_path / "store", normalise, "bridge", kind="IDMap2,Flat")
    load_collection(tmp_path / "store", normalise, "bridge", tmp_path / "many.db")
    ours, theirs = MilvusIndex.open(tmp_path / "many.db"), ImageIndex.open(tmp_path / "store")
    queries = normalise(np.random.default_rng(8).normal(size=(20, 256)))
    for options in ({}, {"exclude": range(0, 20_000, 2)}, {"among": np.arange(3, 20_000, 7), "exclude": [3, 10]}):
        found, wanted = ours.search(queries, 10, **options), theirs.search(queries, 10, **options)
        assert [[hit.id for hit in hits] for hits in found] == [[hit.id for hit in hits] for hits in wanted]
    ours.close()


def test_more_than_one_request_gives(store, index, queries, monkeypatch):
    monkeypatch.setattr("index.milvus.milvus_index.MOST_AT_ONCE", 7)
    found = index.search(queries, 100)
    assert [[hit.id for hit in hits] for hits in found] == [
        [id for id, _ in row] for row in nearest(store, queries, 100)
    ]


def test_it_is_a_whole_retriever(index):
    assert isinstance(index, Retriever) and len(index) == COUNT - 4 and index.dim == WIDTH
    assert index.row(7) == ("/p/7.png", "picture 7")
    assert index.thumbnail(7) == b"jpeg 7" and index.thumbnail(5) == b""
    with pytest.raises(StoreError, match="has no picture 17"):
        index.row(17)
    with pytest.raises(StoreError, match="has no picture 5000"):
        index.thumbnail(5000)


@pytest.fixture(scope="module")
def dated(tmp_path_factory):
    """A store of pictures of many sizes, dates and folders, and the same in Milvus."""
    path = tmp_path_factory.mktemp("dated")
    known = []
    for id in range(60):
        folder = ("/p/holiday", "/p/holiday 100%", "/p/other/my_holiday", "/q")[id % 4]
        taken = f"20{10 + id % 12}-0{1 + id % 9}-03T14:22:05" if id % 3 else None
        facts = Facts(100 * (id % 7 + 1), 300, 1000 * id, taken, id - 30)
        caption = ("Two dogs at the Straße", "a hotdog", "", "dogs")[id % 5 % 4]
        stamp = (1000 * id, 1_500_000_000_000_000_000 + id * 10**16)
        row = {"source": f"{folder}/{id}.png", "caption": caption, "stamp": stamp, "content": bytes([id] * 32)}
        known.append({**row, "facts": facts})
    with FeatureStoreWriter(path, DIM, "encoder") as writer:
        writer.append(np.random.default_rng(9).normal(size=(60, DIM)), known, [b"jpeg"] * 60)
        writer.remove([5])
    file = tmp_path_factory.mktemp("milvus") / "dated.db"
    load_collection(path, project, "bridge", file)
    index = MilvusIndex.open(file)
    yield FeatureStore.open(path), index
    index.close()


@pytest.mark.parametrize(
    "filters, narrows",
    [
        ({"folder": "/p/holiday"}, True),
        ({"folder": "/p"}, True),
        ({"folder": "holiday"}, False),
        ({"folder": "my_holiday"}, False),
        ({"date": "2015"}, True),
        ({"after": "2013-05", "before": "2020"}, True),
        ({"caption": "dogs"}, False),
        ({"caption": "strasse two"}, False),
        ({"min_size": "500px"}, False),
        ({"max_size": "20kb"}, False),
        ({"orientation": "landscape"}, True),
        ({"orientation": "square", "folder": "/q", "caption": "dogs"}, True),
        ({"folder": '/"nothing\\'}, True),
    ],
)
def test_filters_mean_the_same_as_in_a_store(dated, filters, narrows):
    store, index = dated
    wanted = store.select(Filters(**filters))
    assert index.select(Filters(**filters)).tolist() == wanted.tolist()
    assert bool(narrowed(Filters(**filters))) == narrows
    assert len(wanted) < 59 and (len(wanted) or "nothing" in str(filters))


def test_it_knows_the_facts_that_a_store_knows(dated):
    store, index = dated
    assert isinstance(index, Catalogue) and index.features([1]) is None
    assert index.facts([1, 3, 59]) == store.facts([1, 3, 59])


def test_wrong_queries_are_refused(index, queries):
    with pytest.raises(StoreError, match="width 8"):
        index.search(queries[:, :3], 5)
    with pytest.raises(StoreError, match="unit norm"):
        index.search(2 * queries, 5)
    assert index.search(queries, 0) == [[]] * 6 and index.search(queries[:0], 5) == []


def test_another_model_is_refused(lite, store):
    with pytest.raises(FingerprintError, match="made with another model, tiny.*--model other --replace"):
        MilvusIndex.open(lite, "another bridge", "other")
    with pytest.raises(FingerprintError, match="Another model made the index"):
        load_collection(store, project, "another bridge", lite)


def test_an_index_that_is_refused_lets_go_of_its_file(lite, monkeypatch):
    clients = []

    def kept(place):
        clients.append(connect(place))
        monkeypatch.setattr(clients[0], "close", lambda close=clients[0].close: (closed.append(True), close()))
        return clients[0]

    closed = []
    monkeypatch.setattr("index.milvus.milvus_index.connect", kept)
    with pytest.raises(FingerprintError):
        MilvusIndex.open(lite, "another bridge")
    assert closed == [True]


def test_a_load_goes_on_and_follows_the_store(tmp_path, monkeypatch):
    """The first load breaks off after some blocks; the store then loses pictures and gets new ones."""
    monkeypatch.setattr("index.milvus.load.BLOCK", 50)
    path, file = tmp_path / "store", tmp_path / "here.db"
    features = np.random.default_rng(5).normal(size=(300, DIM))
    with FeatureStoreWriter(path, DIM, "encoder") as writer:
        writer.append(features[:260], rows(0, 260), [b"jpeg"] * 260)

    def breaks_off(done, total):
        if done >= 120:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_collection(path, project, "bridge", file, progress=breaks_off)
    with pytest.raises(StoreError, match="unfinished.*fromage-lite to-milvus INDEX"):
        MilvusIndex.open(file)
    assert load_collection(path, project, "bridge", file).added == 110
    with FeatureStoreWriter(path, DIM, "encoder") as writer:
        writer.append(features[260:], rows(260, 300), [b"jpeg"] * 40)
        writer.remove([0, 7, 258])
    report = load_collection(path, project, "bridge", file)
    assert (report.added, report.removed, report.total) == (40, 3, 297)
    index = MilvusIndex.open(file)
    vectors = project(features.astype(np.float16).astype(np.float32))
    found = {hit.id: hit.score for hit in index.search(vectors[:1], 300)[0]}
    assert set(found) == set(range(300)) - {0, 7, 258}
    assert all(found[id] == pytest.approx(float(vectors[id] @ vectors[0]), abs=1e-5) for id in found)
    index.close()


def test_a_collection_of_other_pictures_is_not_mixed_with_these(tmp_path, store):
    file = tmp_path / "other.db"
    with FeatureStoreWriter(tmp_path / "store", DIM, "encoder") as writer:
        writer.append(np.ones((2, DIM)), rows(0, 2), [b""] * 2)
    load_collection(tmp_path / "store", project, "bridge", file)
    with pytest.raises(StoreError, match="was loaded from .*--replace"):
        load_collection(store, project, "bridge", file)
    assert load_collection(store, project, "bridge", file, again=True, thumbnails=False).total == COUNT - 4
    index = MilvusIndex.open(file)
    assert index.thumbnail(7) == b""
    index.close()


def test_a_file_that_is_not_there_is_told_and_not_made(tmp_path):
    with pytest.raises(StoreError, match=r"There is no index .*no\.db.*to-milvus INDEX .*no\.db"):
        MilvusIndex.open(tmp_path / "no.db")
    assert not (tmp_path / "no.db").exists()


@pytest.mark.parametrize(
    "text, uri, collection",
    [
        ("milvus://pictures.example:20000/holiday", "http://pictures.example:20000", "holiday"),
        ("milvus:/pictures.example/holiday", "http://pictures.example:19530", "holiday"),
        ("milvus+https://10.0.0.1:443/h_1/", "https://10.0.0.1:443", "h_1"),
        ("milvus://[::1]:19530/h", "http://[::1]:19530", "h"),
        ("/data/all.db", "/data/all.db", "pictures"),
    ],
)
def test_addresses(text, uri, collection):
    address = MilvusAddress.parse(text)
    assert is_milvus(text) and (address.uri, address.collection) == (uri, collection)
    assert MilvusAddress.parse(index_name(address_as_path(address))) == address


def address_as_path(address):
    """As the chat keeps it."""
    return Path(str(address))


@pytest.mark.parametrize(
    "text", ["milvus://host", "milvus://host/9", "milvus://u:p@host/c", "milvus:host/c", "milvus://"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(StoreError, match="is no address of a collection"):
        MilvusAddress.parse(text)


def test_a_folder_is_not_in_milvus(tmp_path):
    (tmp_path / "a.db").mkdir()
    assert is_milvus(tmp_path / "a.db") and not is_milvus(tmp_path) and not is_milvus("C:/pictures")
    (tmp_path / "a.db" / "index.json").write_text("{}")
    assert not is_milvus(tmp_path / "a.db")


def test_neighbouring_ids_become_ranges():
    assert expression(np.array([1, 2, 5, 6, 7, 8, 20])) == "(id >= 5 and id <= 8) or id in [1,2,20]"
    assert expression(np.array([4])) == "id in [4]"
    assert expression(np.arange(3)) == "(id >= 0 and id <= 2)"


@pytest.fixture
def server(tmp_path):
    """A Milvus Lite server: its address, what stops it, and what starts it again."""
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    running, data, port = start_server_in_thread(data_dir=str(tmp_path / "data"), host="127.0.0.1", port=0)

    def stop():
        running.stop(grace=0).wait()
        data.close()

    def start():
        nonlocal running, data
        running, data, _ = start_server_in_thread(data_dir=str(tmp_path / "data"), host="127.0.0.1", port=port)

    yield f"milvus://127.0.0.1:{port}/album", stop, start
    stop()


def test_a_server_that_is_lost_is_told_in_a_sentence_and_found_when_it_is_back(server, store, queries):
    address, stop, start = server
    assert load_collection(store, project, "bridge", address).total == COUNT - 4
    index = MilvusIndex.open(address, "bridge")
    assert [hit.id for hit in index.search(queries[:1], 3)[0]] == [id for id, _ in nearest(store, queries[:1], 3)[0]]
    stop()
    for ask in (
        lambda: index.search(queries[:1], 3),
        lambda: index.row(7),
        lambda: index.thumbnail(7),
        lambda: MilvusIndex.open(address),
        lambda: load_collection(store, project, "bridge", address),
    ):
        with pytest.raises(StoreError, match=r"The Milvus server at http://127\.0\.0\.1:\d+ does not answer"):
            ask()
    start()
    assert _when_connected(lambda: index.thumbnail(7)) == b"jpeg 7", "the collection is loaded again"
    assert [hit.id for hit in index.search(queries[:1], 3)[0]] == [id for id, _ in nearest(store, queries[:1], 3)[0]]


def _when_connected(ask):
    """gRPC tries a server that it has lost again after a second."""
    for _ in range(100):
        try:
            return ask()
        except StoreError:
            time.sleep(0.1)
    return ask()
