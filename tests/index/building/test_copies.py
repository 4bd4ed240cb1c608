"""Copies, moved files and files that were only touched: the encoder's pictures are counted."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from index.building.build import build_store
from index.building.verify import compare_pictures, verify_store
from index.search.derive import derive_index
from index.search.faiss_index import ImageIndex
from index.sources.readers import FolderReader
from index.store.feature_store import FeatureStore


class Counting:
    """An encoder that counts its pictures, and fails at a given call."""

    def __init__(self, encode, fail_at=None):
        self.encode, self.fail_at, self.calls, self.pictures = encode, fail_at, 0, 0

    def __call__(self, images):
        self.calls += 1
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        self.pictures += len(images)
        return self.encode(images)


def build(reader, embed, out, **options):
    return build_store(reader, embed, out, encoder_fingerprint="mean-colour", batch_size=4, **options)


def contents(path):
    store = FeatureStore.open(path)
    rows = [(*store.row(int(id)), store.thumbnail(int(id))) for id in store.live_ids()]
    return store.features[store.live_ids()].tobytes(), rows


def test_moved_files_keep_their_feature(album, tmp_path, encode):
    build(FolderReader(album), encode, tmp_path / "out")
    before = {Path(row[0]).name: row[2] for row in contents(tmp_path / "out")[1]}
    (album / "one").rename(album / "renamed")
    (album / "two" / "deep" / "00.png").rename(album / "zero.png")
    counting = Counting(encode)
    report = build(FolderReader(album), counting, tmp_path / "out")
    assert counting.calls == 0
    assert (report.reused, report.removed, report.added, report.total) == (12, 12, 0, 23)
    after = {Path(row[0]).name: row[2] for row in contents(tmp_path / "out")[1]}
    assert after.pop("zero.png") == before.pop("00.png") and after == before
    store = FeatureStore.open(tmp_path / "out")
    assert verify_store(store) == [] and compare_pictures(store, encode).differing == ()
    assert store.row(store.find(str(album / "renamed" / "01.png")))[1] == "picture number 1"  # its caption moved along


def test_copies_are_embedded_once(album, tmp_path, encode, normalise):
    for number in range(3):
        shutil.copytree(album / "one", album / f"copy {number}")
    counting = Counting(encode)
    report = build(FolderReader(album), counting, tmp_path / "out")
    assert (counting.pictures, report.added, report.reused, report.total) == (23, 23, 33, 56)
    store = FeatureStore.open(tmp_path / "out")
    for id, source, _ in store.iter_rows():
        same = store.find(str(album / "one" / Path(source).name))
        if same is not None:
            assert (store.features[id] == store.features[same]).all() and store.thumbnail(id) == store.thumbnail(same)
    assert verify_store(store) == [] and compare_pictures(store, encode).differing == ()
    derive_index(tmp_path / "out", lambda features: normalise(features[:, :3]), "bridge")
    assert len(ImageIndex.open(tmp_path / "out", "bridge")) == 56


@pytest.mark.parametrize("fail_at", [1, 2, 4, 6])
def test_copies_amid_an_interruption_change_nothing(album, tmp_path, encode, fail_at):
    for name in ("a", "b"):
        shutil.copytree(album / "two", album / name)
    for number in range(70):  # more than wait for one picture
        shutil.copy(album / "one" / "01.png", album / "one" / f"01 copy {number}.png")
    whole = Counting(encode)
    build(FolderReader(album), whole, tmp_path / "whole")
    broken, rest = Counting(encode, fail_at), Counting(encode)
    with pytest.raises(KeyboardInterrupt):
        build(FolderReader(album), broken, tmp_path / "resumed")
    build(FolderReader(album), rest, tmp_path / "resumed")
    assert whole.pictures == broken.pictures + rest.pictures == 23
    assert contents(tmp_path / "resumed") == contents(tmp_path / "whole")


def test_a_file_that_was_only_touched_is_not_embedded(album, tmp_path, encode):
    build(FolderReader(album), encode, tmp_path / "out")
    for path in album.rglob("*.png"):
        os.utime(path, ns=(1, 1))
    counting = Counting(encode)
    report = build(FolderReader(album), counting, tmp_path / "out")
    assert (counting.calls, report.unchanged, report.reused, report.changed) == (0, 23, 0, 0)
    (album / "one" / "01.txt").write_text("other words")
    assert compare_pictures(FeatureStore.open(tmp_path / "out"), encode).changed == 0
    assert len(FeatureStore.open(tmp_path / "out")) == 23  # no new row, either
    build(FolderReader(album), counting, tmp_path / "out")
    assert counting.calls == 0


def test_a_picture_that_comes_back_is_not_embedded_again(album, tmp_path, encode):
    build(FolderReader(album), encode, tmp_path / "out")
    (album / "one").rename(tmp_path / "one")
    assert build(FolderReader(album), encode, tmp_path / "out").removed == 11
    (tmp_path / "one").rename(album / "one")
    counting = Counting(encode)
    report = build(FolderReader(album), counting, tmp_path / "out")
    assert (counting.calls, report.reused, report.total) == (0, 11, 23)


def test_a_picture_that_is_overwritten_by_a_copy_of_another_takes_its_feature(album, tmp_path, encode):
    build(FolderReader(album), encode, tmp_path / "out")
    shutil.copy(album / "one" / "05.png", album / "one" / "07.png")
    counting = Counting(encode)
    report = build(FolderReader(album), counting, tmp_path / "out")
    assert (counting.calls, report.reused, report.total) == (0, 1, 23)
    store = FeatureStore.open(tmp_path / "out")
    ids = [store.find(str(album / "one" / name)) for name in ("05.png", "07.png")]
    assert (store.features[ids[0]] == store.features[ids[1]]).all()


def test_copies_of_a_bad_picture_are_bad(album, tmp_path, encode):
    for name in ("0.png", "1.png", "2.png"):
        (album / name).write_text("no picture")
    for name in ("white 1.png", "white 2.png"):
        shutil.copy(album / "one" / "01.png", album / name)
    (album / "one" / "01.png").unlink()

    def embed(images):
        features = encode(images)
        features[[image.width == 21 for image in images]] = np.nan
        return features

    report = build(FolderReader(album), embed, tmp_path / "out")
    assert (report.total, report.failed) == (22, 5)
    causes = {cause.cause: cause.count for cause in report.causes}
    assert causes == {"copy of a bad picture": 3, "not a picture": 1, "no finite feature": 1}
    assert f"{album}/1.png is a copy of {album}/0.png, which can't be used." in [bad.reason for bad in report.bad]


def test_a_store_of_an_earlier_version_is_continued(album, tmp_path, encode):
    build(FolderReader(album), encode, tmp_path / "out")
    rows = sqlite3.connect(tmp_path / "out" / "rows.sqlite")
    rows.executescript("DROP INDEX row_content; ALTER TABLE rows DROP COLUMN content; DROP TABLE failed")
    rows.close()
    shutil.copy(album / "one" / "01.png", album / "one" / "a copy.png")
    counting = Counting(encode)
    report = build(FolderReader(album), counting, tmp_path / "out")
    assert (report.unchanged, report.added, counting.pictures) == (23, 1, 1)  # whose bytes nobody knew
    shutil.copy(album / "one" / "01.png", album / "one" / "a second copy.png")
    assert build(FolderReader(album), counting, tmp_path / "out").reused == 1
