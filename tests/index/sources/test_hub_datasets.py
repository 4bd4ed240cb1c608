"""Data sets that are streamed by name, from a folder in the layout that the Hub has."""

from __future__ import annotations

import tarfile
from itertools import islice
from pathlib import Path

import pytest

from index.building.build import build_store
from index.building.verify import compare_pictures
from index.errors import StoreError
from index.pictures.images import is_gone
from index.sources.hub_datasets import HubReader, is_dataset_name
from index.sources.recognise import SourceOptions, open_source
from index.store.feature_store import FeatureStore
from index.store.filters import Filters

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
datasets = pytest.importorskip("datasets")


@pytest.fixture
def birds(tmp_path, painter, monkeypatch):
    """The data set `birds`, ten rows of training in two files and one of test, as the Hub has them."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "birds" / "data"
    data.mkdir(parents=True)
    pictures = [painter(tmp_path / "p" / f"{n}.png", n / 11, (20 + n, 16)).read_bytes() for n in range(11)]
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    for name, rows in (
        ("train-00000-of-00002", (0, 1, 2, 3, 4)),
        ("train-00001-of-00002", (5, 6, 7, 8, 9)),
        ("test-00000-of-00001", (10,)),
    ):
        columns = {
            "image": [{"bytes": pictures[row], "path": f"{row}.png"} for row in rows],
            "caption": [f"bird {row}" for row in rows],
        }
        datasets.Dataset.from_dict(columns, features=features).to_parquet(data / f"{name}.parquet")
    return str(tmp_path / "birds")


def build(reader, encode, out):
    return build_store(reader, encode, out, encoder_fingerprint="mean-colour", batch_size=4)


def test_the_rows_of_a_split_are_indexed_with_their_captions(birds, encode, tmp_path):
    report = build(HubReader(birds, "train"), encode, tmp_path / "out")
    assert (report.total, report.captioned, report.failed) == (10, 10, 0)
    store = FeatureStore.open(tmp_path / "out")
    assert store.row(7) == (f"hf://datasets/{birds}/train#image:7", "bird 7")
    assert store.has_thumbnail(7) and not is_gone(store.row(7)[0])
    assert not len(store.select(Filters(before="2000"))), "nobody knows when it was taken"
    compared = compare_pictures(store, encode)
    assert (compared.compared, compared.gone) == (0, 0), "it is not here, and not gone"


class Broken:
    """A stream whose shard, a tar, ends after three rows."""

    def __init__(self, rows):
        self.rows, self.features, self.info = rows, rows.features, rows.info

    def cast_column(self, column, feature):
        return Broken(self.rows.cast_column(column, feature))

    def select_columns(self, columns):
        return Broken(self.rows.select_columns(columns))

    def __iter__(self):
        yield from islice(self.rows, 3)
        raise tarfile.ReadError("unexpected end of data")


def test_a_stream_that_breaks_off_is_a_failure_and_removes_nothing(birds, encode, tmp_path, monkeypatch):
    build(HubReader(birds, "train"), encode, tmp_path / "out")
    load = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda *words, **options: Broken(load(*words, **options)))
    report = build(HubReader(birds, "train"), encode, tmp_path / "out")
    assert (report.total, report.unchanged, report.failed, report.removed) == (10, 3, 1, 0)
    assert "can't be read on after 3 rows: unexpected end of data" in report.bad[0].reason


def test_the_same_rows_are_known_and_changed_ones_are_embedded_again(birds, encode, tmp_path):
    build(HubReader(birds, "train"), encode, tmp_path / "out")
    assert build(HubReader(birds, "train"), encode, tmp_path / "out").unchanged == 10
    data = tmp_path / "birds" / "data"
    (data / "test-00000-of-00001.parquet").replace(data / "train-00000-of-00002.parquet")
    report = build(HubReader(birds, "train"), encode, tmp_path / "out")
    assert (report.changed, report.reused) == (1, 5), "row 0 is the picture of the test, the next are known ones"


def test_another_split_is_read_where_it_is_named(birds, encode, tmp_path):
    assert build(HubReader(birds, "test"), encode, tmp_path / "out").total == 1
    with pytest.raises(StoreError, match=r"The data set .*birds \(validation\) can't be had: .*Check its name"):
        HubReader(birds, "validation")


def test_without_pictures_it_is_refused(tmp_path):
    data = tmp_path / "texts"
    data.mkdir()
    parquet.write_table(pyarrow.table({"text": ["a"], "label": [1]}), data / "train.parquet")
    with pytest.raises(StoreError, match="has no column of pictures, but text, label"):
        HubReader(str(data), "train")


@pytest.mark.parametrize(
    ("name", "is_name"),
    [
        ("owner/name", True),
        ("owner/name-1.0_x", True),
        ("name", False),
        ("a/b/c", False),
        (".a/b", False),
        ("~/b", False),
    ],
)
def test_what_looks_like_the_name_of_a_data_set(name, is_name):
    assert is_dataset_name(Path(name)) is is_name


def test_what_is_in_a_folder_here_is_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album").mkdir()
    assert not is_dataset_name(Path("album/mistyped"))
    with pytest.raises(StoreError, match="There is no folder or file album/mistyped"):
        open_source(Path("album/mistyped"), SourceOptions(split="train"))


def test_a_mistyped_folder_is_not_asked_for_in_the_network(monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("it was asked for"))
    with pytest.raises(StoreError, match=r"There is no folder or file album/mistyped\. .* needs --split, as in"):
        open_source(Path("album/mistyped"))


def test_without_a_network_it_says_what_to_do(monkeypatch):
    def offline(name, **options):
        raise ConnectionError(f"Couldn't reach '{name}' on the Hub (ConnectionError)")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(StoreError) as caught:
        open_source(Path("owner/name"), SourceOptions(split="validation"))
    assert str(caught.value) == (
        "There is no folder owner/name here, and the data set owner/name (validation) can't be had: "
        "Couldn't reach 'owner/name' on the Hub (ConnectionError). Check its name and --split, and the network."
    )
