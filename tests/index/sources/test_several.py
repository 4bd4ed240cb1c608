"""Several sources in one index."""

from __future__ import annotations

import pytest

from index.building.build import build_store
from index.errors import StoreError
from index.sources.recognise import open_sources
from index.store.feature_store import FeatureStore


def build(paths, encode, out):
    return build_store(open_sources(paths), encode, out, encoder_fingerprint="mean-colour", batch_size=4)


def test_folders_and_pictures_make_one_index_and_each_picture_comes_once(album, encode, tmp_path):
    paths = [album / "one", album / "two" / "deep" / "02.png", album / "one" / "03.png"]
    report = build(paths, encode, tmp_path / "out")
    assert (report.total, report.duplicates) == (12, 1)
    store = FeatureStore.open(tmp_path / "out")
    assert [store.row(id)[0].rpartition("/")[2] for id in (0, 10, 11)] == ["01.png", "21.png", "02.png"]


def test_what_left_one_of_the_folders_leaves_the_index_and_what_is_not_named_stays(album, encode, tmp_path):
    build([album / "one", album / "two"], encode, tmp_path / "out")
    (album / "one" / "01.png").unlink()
    report = build([album / "one"], encode, tmp_path / "out")
    assert (report.total, report.removed) == (22, 1)


def test_one_of_them_that_is_missing_is_named_before_anything_is_read(album, tmp_path):
    with pytest.raises(StoreError, match="There is no folder or file .*nothing"):
        open_sources([album, tmp_path / "nothing"])
    with pytest.raises(StoreError, match="There are no pictures"):
        open_sources([])
