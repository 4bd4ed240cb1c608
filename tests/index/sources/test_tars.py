"""Tars as WebDataset and img2dataset write them, made here byte for byte with the standard library."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index.building.build import build_store
from index.building.verify import compare_pictures, verify_store
from index.errors import ImageError
from index.pictures.containers import container_of, picture_name, place_inside, read_inside, split_place, stamp_of
from index.pictures.images import open_image
from index.search.derive import derive_index
from index.search.faiss_index import ImageIndex
from index.sources.recognise import open_source
from index.sources.tars import TarReader
from index.sources.thumbnails import picture_thumbnail
from index.store.feature_store import FeatureStore


def jpeg(hue, size=(24, 16)):
    data = io.BytesIO()
    Image.new("HSV", size, (hue, 255, 255)).convert("RGB").save(data, "JPEG", quality=95)
    return data.getvalue()


def write_tar(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            if isinstance(data, tarfile.TarInfo):
                tar.addfile(data)
                continue
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


def shard(path, first, count, hue=7):
    """A shard as img2dataset writes it."""
    members = []
    for number in range(first, first + count):
        key = f"{number:09d}"
        url = f"https://pictures.example/{number}.jpg"
        fields = {"caption": f"caption {number}", "url": url, "key": key, "status": "success", "error_message": None}
        members += [
            (f"{key}.jpg", jpeg((number * hue) % 256)),
            (f"{key}.json", json.dumps(fields).encode()),
            (f"{key}.txt", f"caption {number}".encode()),
        ]
    return write_tar(path, members)


def build(reader, embed, out, **options):
    return build_store(reader, embed, out, encoder_fingerprint="mean-colour", batch_size=4, **options)


@pytest.fixture
def shards(tmp_path):
    folder = tmp_path / "cc3m"
    shard(folder / "00000.tar", 0, 5)
    shard(folder / "00001.tar", 10_000, 3, hue=11)
    return folder


def test_img2dataset_shards_are_indexed_found_and_shown(shards, tmp_path, encode, normalise):
    reader = open_source(shards)
    assert isinstance(reader, TarReader) and reader.at_once == 4
    report = build(reader, encode, tmp_path / "out")
    assert (report.added, report.captioned, report.failed) == (8, 8, 0)
    store = FeatureStore.open(tmp_path / "out")
    assert [store.row(id) for id in (0, 5)] == [
        (f"{shards}/00000.tar#000000000.jpg", "caption 0"),
        (f"{shards}/00001.tar#000010000.jpg", "caption 10000"),
    ]
    derive_index(tmp_path / "out", lambda features: normalise(features[:, :3]), "bridge")
    red = np.array([[1.0, 0.0, 0.0]])
    (hit,) = ImageIndex.open(tmp_path / "out", "bridge").search(normalise(red), 1)[0]
    assert hit.source.endswith("00000.tar#000000000.jpg") and not hit.gone  # hue 0
    assert open_image(hit.source).size == (24, 16)  # the whole picture, from within the tar
    assert open_image(picture_thumbnail(hit.source)).getpixel((5, 5))[0] > 240
    found = compare_pictures(store, encode)
    assert (found.compared, found.gone, found.changed, found.differing) == (8, 0, 0, ())
    assert verify_store(store) == []


def test_a_second_run_opens_nothing_and_a_tar_that_left_takes_its_pictures_along(shards, tmp_path, encode):
    build(open_source(shards), encode, tmp_path / "out")
    assert build(open_source(shards), lambda images: 1 / 0, tmp_path / "out").unchanged == 8
    (shards / "00001.tar").rename(tmp_path / "away.tar")
    report = build(open_source(shards), lambda images: 1 / 0, tmp_path / "out")
    assert (report.removed, report.total) == (3, 5)
    store = FeatureStore.open(tmp_path / "out")
    assert compare_pictures(store, encode).gone == 0
    (shards / "00000.tar").unlink()
    assert compare_pictures(store, encode).gone == 5
    assert stamp_of(f"{shards}/00000.tar#000000000.jpg") is None
    with pytest.raises(ImageError, match="There is no file"):
        open_image(f"{shards}/00000.tar#000000000.jpg")


def test_a_picture_of_a_tar_that_left_is_gone_but_its_small_copy_is_found(shards, tmp_path, encode, normalise):
    build(open_source(shards), encode, tmp_path / "out")
    derive_index(tmp_path / "out", lambda features: normalise(features[:, :3]), "bridge")
    (shards / "00000.tar").unlink()
    hits = ImageIndex.open(tmp_path / "out", "bridge").search(normalise([[1.0, 0.0, 0.0]]), 8)[0]
    assert {Path(hit.source).name.partition("#")[0]: hit.gone for hit in hits} == {
        "00000.tar": True,
        "00001.tar": False,
    }


def test_webdataset_samples_of_several_pictures_and_captions_in_json(tmp_path):
    path = write_tar(
        tmp_path / "train-0000.tar",
        [
            ("a/001.left.png", b"x"),
            ("a/001.right.JPG", b"y"),
            ("a/001.cls", b"7"),
            ("a/001.json", b'{"text": "two views", "n": 1}'),
            ("b/001.jpg", b"z"),
            ("b/001.json", b"not json"),
            ("b/002.webp", b"w"),
            ("b/002.txt", "Füße\n".encode()),
            ("b/003.txt", b"a caption of no picture"),
            ("b/._004.jpg", b"attributes that a Mac keeps"),
            ("b/004.jpg", b"v"),
            ("b/004.txt", b"\xff\xff"),
        ],
    )
    pictures = list(open_source(path))
    named = [(picture_name(p.source), p.caption) for p in pictures if not p.problem]
    assert named == [
        ("001.left.png", "two views"),
        ("001.right.JPG", "two views"),
        ("001.jpg", ""),
        ("002.webp", "Füße"),
        ("004.jpg", ""),
    ]
    assert [p.read() for p in pictures if not p.problem] == [b"x", b"y", b"z", b"w", b"v"]
    assert [p.cause for p in pictures if p.problem] == ["caption that can't be read"] * 2


def test_what_img2dataset_could_not_fetch_is_counted_by_cause(shards, tmp_path, encode):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {
        "key": [f"{number:09d}" for number in range(5)],
        "url": [f"https://pictures.example/{number}.jpg" for number in range(5)],
        "status": ["success", "failed_to_download", "failed_to_download", "failed_to_resize", "success"],
        "error_message": [None, "HTTP Error 404: Not Found", "HTTP Error 404: Not Found", "image decoding error", None],
    }
    parquet.write_table(pyarrow.table(columns), shards / "00000.parquet")
    (shards / "00001.parquet").write_bytes(b"PAR1 and nothing else")
    report = build(open_source(shards), encode, tmp_path / "out")
    assert (report.total, report.failed) == (8, 4)
    assert [(cause.cause, cause.count, cause.example) for cause in report.causes] == [
        ("HTTP Error 404: Not Found", 2, "https://pictures.example/1.jpg"),
        ("image decoding error", 1, "https://pictures.example/3.jpg"),
        ("table of img2dataset that can't be read", 1, f"{shards}/00001.parquet"),
    ]


HOSTILE = ["../../outside.png", "/etc/passwd.png", "..", "a#b.png", "x\x1b[31m.png", "ü/%2e%2e/.png", "ab.tar#c.png"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_inside_a_tar_never_become_paths(tmp_path, encode, name):
    inner = tmp_path / "inner"
    path = write_tar(inner / "deep" / "evil.tar", [(name, jpeg(0)), ("good.jpg", jpeg(90))])
    place = place_inside(path, name)
    assert Path(os.path.normpath(place)).parent == path.parent and split_place(place) == (str(path), name)
    assert read_inside(place) == jpeg(0) and container_of(place) == str(path)
    (tmp_path / "outside.png").write_bytes(b"secret")
    before = sorted(tmp_path.rglob("*"))
    report = build(open_source(path), encode, tmp_path / "out")
    assert report.failed == 0
    assert sorted(p for p in tmp_path.rglob("*") if tmp_path / "out" not in (p, *p.parents)) == before


def test_links_devices_and_folders_in_a_tar_are_passed_over(tmp_path, encode):
    secret = tmp_path / "secret.png"
    secret.write_bytes(jpeg(200))
    headers = []
    for kind, name in [(tarfile.SYMTYPE, "a.png"), (tarfile.LNKTYPE, "b.png"), (tarfile.FIFOTYPE, "c.png")]:
        header = tarfile.TarInfo(name)
        header.type, header.linkname = kind, str(secret)
        headers.append((name, header))
    folder = tarfile.TarInfo("d.png")
    folder.type = tarfile.DIRTYPE
    path = write_tar(tmp_path / "links.tar", [*headers, ("d.png", folder), ("e.jpg", jpeg(9))])
    assert [picture_name(picture.source) for picture in open_source(path)] == ["e.jpg"]
    with pytest.raises(ImageError, match=r"There is no a\.png in"):
        open_image(f"{path}#a.png")


@pytest.mark.parametrize(
    ("damage", "whole", "words"),
    [
        (lambda data: data[:2000], 1, "0.tar: it is damaged after 1 files."),
        (lambda data: data[:2300], 1, "0.tar: it is no readable tar after 1 files: unexpected end of data."),
        (lambda data: data[:1536] + b"\xff" * 512 + data[2048:], 1, "is damaged after 1 files"),
        (lambda data: b"", 0, "is no readable tar"),
        (lambda data: b"\x1f\x8b" + data, 0, "is no readable tar"),
        (lambda data: b"no tar at all" * 100, 0, "is no readable tar"),
    ],
)
def test_a_damaged_tar_gives_what_is_whole_and_is_named(tmp_path, encode, damage, whole, words):
    small = [(f"{number}.jpg", jpeg(number)) for number in range(3)]
    path = write_tar(tmp_path / "shards" / "0.tar", small)
    assert len(small[0][1]) < 1024  # with its header in the first three blocks
    write_tar(tmp_path / "shards" / "1.tar", [("other.jpg", jpeg(100))])
    path.write_bytes(damage(path.read_bytes()))
    report = build(open_source(path.parent), encode, tmp_path / "out")
    assert report.total == whole + 1
    (bad,) = [bad for bad in report.bad if bad.cause == "damaged tar"]
    assert words in bad.reason and bad.source == str(path)


def test_a_picture_that_lies_about_its_size_is_refused(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "a.tar", [("big.jpg", jpeg(0))])
    monkeypatch.setattr("index.pictures.containers.MOST_BYTES", 100)
    with pytest.raises(ImageError, match="too large"):
        open_image(f"{path}#big.jpg")


def test_of_equal_names_the_first_is_shown(tmp_path, encode):
    path = write_tar(tmp_path / "a.tar", [("a.jpg", jpeg(0)), ("b.jpg", jpeg(50)), ("a.jpg", jpeg(128))])
    report = build(open_source(path), encode, tmp_path / "out")
    assert (report.added, report.duplicates) == (2, 1)
    assert open_image(f"{path}#a.jpg").getpixel((4, 4))[0] > 240


def test_a_file_whose_name_looks_like_a_place_is_that_file(tmp_path, painter):
    path = painter(tmp_path / "a.tar#b.png", 0.5)
    assert container_of(str(path)) == str(path) and open_image(path).size == (24, 16)


def test_a_folder_of_pictures_with_a_tar_stays_a_folder_of_pictures(album, tmp_path):
    shard(album / "backup.tar", 0, 2)
    assert len(open_source(album)) == len(list(open_source(album))) == 23
