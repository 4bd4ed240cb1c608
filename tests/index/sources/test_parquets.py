"""Parquet files with pictures, as the Hugging Face Hub and img2dataset have them."""

from __future__ import annotations

import pytest

from index.building.build import build_store
from index.building.verify import compare_pictures
from index.errors import ImageError, StoreError
from index.pictures.containers import read_inside
from index.pictures.images import open_image
from index.sources.parquets import ParquetReader
from index.sources.recognise import open_source
from index.store.feature_store import FeatureStore

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def build(reader, embed, out, **options):
    return build_store(reader, embed, out, encoder_fingerprint="mean-colour", batch_size=4, **options)


@pytest.fixture
def pictures(tmp_path, painter):
    """(bytes) of eleven pictures."""
    return [painter(tmp_path / "p" / f"{n}.png", n / 11, (20 + n, 16)).read_bytes() for n in range(11)]


@pytest.fixture
def hub(tmp_path, pictures):
    """Two files as a data set of the Hub has them, in groups of three rows."""
    folder = tmp_path / "data"
    folder.mkdir()
    for number, rows in enumerate((range(7), range(7, 11))):
        table = {
            "image": [{"bytes": pictures[row], "path": f"{row}.png"} for row in rows],
            "captions": [[f"picture {row}", "another caption"] for row in rows],
            "label": list(rows),
        }
        name = f"train-{number:05d}-of-00002.parquet"
        parquet.write_table(pyarrow.table(table), folder / name, row_group_size=3)
    return folder


def test_files_of_the_hub_are_indexed_and_their_pictures_are_found_again(hub, tmp_path, encode, pictures):
    reader = open_source(hub)
    assert isinstance(reader, ParquetReader) and len(reader) == 11
    report = build(reader, encode, tmp_path / "out")
    assert (report.added, report.captioned, report.failed) == (11, 11, 0)
    store = FeatureStore.open(tmp_path / "out")
    place = f"{hub}/train-00001-of-00002.parquet#image:1"
    assert store.row(8) == (place, "picture 8")
    assert read_inside(place) == pictures[8] and open_image(place).size == (28, 16)
    found = compare_pictures(store, encode)
    assert (found.compared, found.gone, found.changed, found.differing) == (11, 0, 0, ())
    assert build(open_source(hub), lambda images: 1 / 0, tmp_path / "out").unchanged == 11
    (hub / "train-00001-of-00002.parquet").unlink()
    assert build(open_source(hub), lambda images: 1 / 0, tmp_path / "out").removed == 4


def test_img2datasets_parquet_has_the_bytes_themselves(tmp_path, encode, pictures):
    table = {"url": ["u"] * 3, "key": ["a", "b", "c"], "caption": ["one", None, "three"], "jpg": [*pictures[:2], None]}
    parquet.write_table(pyarrow.table(table), tmp_path / "00000.parquet")
    report = build(open_source(tmp_path / "00000.parquet"), encode, tmp_path / "out")
    assert (report.added, report.captioned) == (2, 1)
    assert [(cause.cause, cause.example) for cause in report.causes] == [
        ("empty", f"{tmp_path}/00000.parquet#jpg:2"),
    ]


@pytest.mark.parametrize("name", ["image:11", "image:-1", "label:0x", "nothing:0", "label:0"])
def test_rows_that_are_not_there_are_told(hub, name):
    with pytest.raises(ImageError):
        open_image(f"{hub}/train-00000-of-00002.parquet#{name}")


def test_without_a_column_of_pictures_the_columns_are_told(tmp_path):
    parquet.write_table(pyarrow.table({"url": ["a"], "text": ["b"]}), tmp_path / "meta.parquet")
    with pytest.raises(StoreError, match=r"meta\.parquet has no column of pictures, but url, text"):
        open_source(tmp_path / "meta.parquet")


def test_a_damaged_file_is_named_and_the_others_are_read(hub, tmp_path, encode):
    path = hub / "train-00001-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:300])
    report = build(open_source(hub), encode, tmp_path / "out")
    assert report.total == 7
    (bad,) = report.bad
    assert bad.reason.startswith(f"{path}: it is no readable Parquet file: ") and bad.cause == "damaged Parquet file"


def test_damage_amid_a_file_is_one_sentence_a_row(hub, tmp_path, encode):
    path = hub / "train-00000-of-00002.parquet"
    data = bytearray(path.read_bytes())
    data[40:400] = bytes(360)
    path.write_bytes(data)
    report = build(open_source(hub), encode, tmp_path / "out")
    assert report.total + report.failed == 11 and [cause.cause for cause in report.causes] == ["damaged"]
    assert f"{path} is damaged at row 0: " in report.bad[0].reason


def test_a_group_of_rows_that_would_fill_the_memory_is_refused(hub, monkeypatch):
    monkeypatch.setattr("index.pictures.parquet_rows.LARGEST_GROUP", 100)
    with pytest.raises(ImageError, match="groups of rows that are too large"):
        open_image(f"{hub}/train-00000-of-00002.parquet#image:0")
