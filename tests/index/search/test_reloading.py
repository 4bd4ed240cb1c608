"""A search sees the index that a builder has put in the place of the open one."""

from __future__ import annotations

import pytest

from index.errors import StoreError
from index.search.reloading import Reopening
from index.store.manifest import INDEX_MANIFEST


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / INDEX_MANIFEST
    path.write_text("1")
    return path


def test_it_is_opened_again_once_for_each_replacement(manifest):
    opened = []
    reopening = Reopening(manifest.parent, lambda: opened.append(manifest.read_text()) or opened[-1])
    assert reopening() is None and reopening() is None
    manifest.write_text("two")
    assert reopening() == "two" and reopening() is None
    assert opened == ["two"]


def test_without_a_manifest_the_open_one_goes_on_answering(manifest):
    reopening = Reopening(manifest.parent, lambda: "opened")
    manifest.unlink()
    assert reopening() is None
    manifest.write_text("another")
    assert reopening() == "opened"


def test_what_cannot_be_opened_is_not_tried_at_each_search(manifest):
    tries = []

    def refuse():
        tries.append(1)
        raise StoreError("another model's")

    reopening = Reopening(manifest.parent, refuse)
    manifest.write_text("of another model")
    assert reopening() is None and reopening() is None and len(tries) == 1
