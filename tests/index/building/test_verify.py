"""Faults that are put into a store on purpose, and found."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from index.building.build import FolderReader, build_store
from index.building.verify import Comparison, compare_pictures, verify_index, verify_store
from index.errors import StoreError
from index.search.derive import derive_index
from index.search.faiss_index import ImageIndex
from index.store.feature_store import FeatureStore


@pytest.fixture
def out(album, tmp_path, encode, normalise):
    build_store(FolderReader(album), encode, tmp_path / "out", encoder_fingerprint="mean-colour", batch_size=4)
    derive_index(tmp_path / "out", lambda features: normalise(features), "bridge")
    return tmp_path / "out"


def swap_features(out, one, other):
    features = np.memmap(out / "features.bin", dtype=np.float16, mode="r+").reshape(23, 4)
    features[[one, other]] = features[[other, one]]
    features.flush()


def change(out, statement):
    with closing(sqlite3.connect(out / "rows.sqlite")) as rows, rows:
        rows.execute(statement)


def test_a_sound_store_has_no_faults(out, encode):
    assert verify_index(ImageIndex.open(out)) == []
    assert compare_pictures(FeatureStore.open(out), encode) == Comparison(23, 0, 0, 0, ())
    assert compare_pictures(FeatureStore.open(out), encode, sample=5, batch_size=2).compared == 5


def test_swapped_features_are_found_and_named(out, encode):
    swap_features(out, 3, 15)
    store = FeatureStore.open(out)
    assert set(compare_pictures(store, encode).differing) == {store.row(3)[0], store.row(15)[0]}
    (fault,) = verify_store(store)
    assert "the features of rows 0 to 3 are not those written" in fault


def test_a_store_of_an_earlier_version_has_no_checksums_and_is_compared_all_the_same(out, encode):
    change(out, "DROP TABLE blocks")
    swap_features(out, 3, 15)
    store = FeatureStore.open(out)
    assert verify_store(store) == []
    assert len(compare_pictures(store, encode).differing) == 2


def test_a_block_of_another_picture_is_in_every_sample(out, encode):
    """As two builds at once left it: a whole batch of rows with the features of others."""
    features = np.memmap(out / "features.bin", dtype=np.float16, mode="r+").reshape(23, 4)
    features[8:12] = features[0]
    features.flush()
    found = compare_pictures(FeatureStore.open(out), encode, sample=6)
    assert found.differing == (FeatureStore.open(out).row(8)[0],)


def test_features_that_are_not_finite_are_found(out, encode):
    features = np.memmap(out / "features.bin", dtype=np.float16, mode="r+").reshape(23, 4)
    features[7] = np.nan
    features.flush()
    assert len(compare_pictures(FeatureStore.open(out), encode).differing) == 1


def test_thumbnails_of_other_pictures_and_of_none_are_found(out, encode):
    change(out, "UPDATE rows SET (thumbnail_start, thumbnail_end) = "
                "(SELECT thumbnail_start, thumbnail_end FROM rows WHERE id = 20) WHERE id = 3")  # fmt: skip
    store = FeatureStore.open(out)
    assert compare_pictures(store, encode).differing == (store.row(3)[0],)
    with (out / "thumbnails.bin").open("r+b") as file:
        file.write(b"\0" * 200)
    faults = verify_store(FeatureStore.open(out))
    assert any("the thumbnail of" in fault and "is not a picture" in fault for fault in faults)


def test_files_that_are_gone_or_changed_are_counted_not_blamed(out, encode, painter):
    store = FeatureStore.open(out)
    Path(store.row(1)[0]).unlink()
    painter(Path(store.row(2)[0]), 0.9, (50, 10))
    path = Path(store.row(3)[0])
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert compare_pictures(store, encode) == Comparison(20, 1, 1, 1, ())


def test_rows_that_are_missing_are_found(out):
    change(out, "DELETE FROM rows WHERE id = 7")
    faults = verify_store(FeatureStore.open(out))
    assert any("rows are missing" in fault for fault in faults)


def test_an_update_that_was_interrupted_is_told_with_the_command(out, album, encode, painter):
    for number in range(6):
        painter(album / "zz" / f"{number}.png", 0.3, (50 + number, 9))
    calls = []

    def embed(images):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return encode(images)

    words = [str(album), "--model", "m"]
    options = {"encoder_fingerprint": "mean-colour", "batch_size": 4, "resume": words}
    with pytest.raises(KeyboardInterrupt):
        build_store(FolderReader(album), embed, out, **options)
    (fault,) = verify_index(ImageIndex.open(out))
    assert "unfinished: 4 more pictures are embedded." in fault
    assert fault.endswith(f" Go on where it stopped: fromage-lite index {album} --model m --out {out}")
    build_store(FolderReader(album), encode, out, **options)
    (fault,) = verify_index(ImageIndex.open(out))
    assert "has 23 pictures and its store 29: an update is unfinished" in fault


def test_damaged_features_are_embedded_again_by_the_next_build(out, album, encode, normalise):
    before = FeatureStore.open(out)
    sound = {source: before.features[id].tolist() for id, source, _ in before.iter_rows()}
    before.close()
    swap_features(out, 3, 15)  # of the first block and of the last but one
    calls = []

    def counted(images):
        calls.append(len(images))
        return encode(images)

    report = build_store(FolderReader(album), counted, out, encoder_fingerprint="mean-colour", batch_size=4)
    assert (report.mended, sum(calls), report.total) == (8, 8, 23)
    store = FeatureStore.open(out)
    assert {source: store.features[id].tolist() for id, source, _ in store.iter_rows()} == sound
    derive_index(out, normalise, "bridge")
    assert verify_index(ImageIndex.open(out)) == []
    again = build_store(FolderReader(album), counted, out, encoder_fingerprint="mean-colour", batch_size=4)
    assert (again.mended, again.unchanged, sum(calls)) == (0, 23, 8)


def test_a_bit_that_fell_over_in_the_faiss_file_is_found_and_mended(out, normalise):
    file = out / "index.faiss"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    (fault,) = verify_index(ImageIndex.open(out))
    assert f"{file} is damaged: its bytes are not those written. Make it again: fromage-lite index" in fault
    derive_index(out, normalise, "bridge")
    assert verify_index(ImageIndex.open(out)) == []


def test_an_index_of_an_earlier_version_has_no_checksum(out):
    manifest = json.loads((out / "index.json").read_text())
    del manifest["file_crc"]
    (out / "index.json").write_text(json.dumps(manifest))
    assert verify_index(ImageIndex.open(out)) == []


@pytest.mark.parametrize("name", ["manifest.json", "index.json"])
def test_a_damaged_manifest_is_made_again_by_the_next_build(out, album, encode, normalise, name):
    sound = (out / name).read_bytes()
    (out / name).write_bytes(sound[:40])
    with pytest.raises(StoreError, match=f"{name} is damaged.*Build it again"):
        ImageIndex.open(out)
    build_store(FolderReader(album), encode, out, encoder_fingerprint="mean-colour", batch_size=4)
    derive_index(out, normalise, "bridge")
    assert (out / name).read_bytes() == sound
