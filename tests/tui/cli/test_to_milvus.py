"""`fromage-lite to-milvus`, commands over an index in Milvus, and the words of `index --engine ray`."""

from __future__ import annotations

import json

import pytest

from tests.tui.command_line import assert_refused, call

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite", reason="pip install --no-deps milvus-lite")


@pytest.fixture
def index(tmp_path, album, tiny_checkpoint):
    out = tmp_path / "index"
    assert (
        call("index", str(album), "--out", str(out), "--model", str(tiny_checkpoint), "--device", "cpu").exit_code == 0
    )
    return out


def test_an_index_in_milvus_is_searched_as_the_folder_is(index, tmp_path):
    file = tmp_path / "album.db"
    loaded = call("to-milvus", str(index), str(file), "--device", "cpu")
    assert loaded.exit_code == 0 and "23 pictures (23 new). Index: FLAT." in loaded.stdout
    assert "23 pictures (nothing new)" in call("to-milvus", str(index), str(file), "--device", "cpu").stdout
    answers = [
        json.loads(call("search", "red", "--index", str(place), "--device", "cpu", "--folder", "one", "--json").stdout)
        for place in (index, file)
    ]
    found, in_milvus = ([(hit["path"], round(hit["score"], 4)) for hit in answer["images"]] for answer in answers)
    assert found == in_milvus and len(found) == 5


def test_wrong_addresses_and_indexes_are_told(index, tmp_path):
    assert_refused(call("to-milvus", str(index), "milvus://host"), "is no address of a collection in Milvus")
    assert_refused(call("to-milvus", str(index), "milvus://127.0.0.1:1/album"), "does not answer")
    assert_refused(call("to-milvus", str(tmp_path / "no"), str(tmp_path / "a.db")), "There is no feature store at")
    assert_refused(
        call("to-milvus", str(index), str(tmp_path / "a.db"), "--kind", "BALLS"), "no index of the kind BALLS"
    )
    assert_refused(call("search", "red", "--index", str(tmp_path / "no.db")), "There is no index", "to-milvus INDEX")


def test_options_of_a_cluster_need_one(album, tmp_path):
    words = ("index", str(album), "--out", str(tmp_path / "index"))
    assert_refused(call(*words, "--num-actors", "2"), "are for --engine ray")
    assert_refused(call(*words, "--engine", "ray", "--watch"), "without --watch")
