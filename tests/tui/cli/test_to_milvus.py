"""`fromage-lite to-milvus`, commands over an index in Milvus, and the words of `index --engine ray`."""

from __future__ import annotations

import json

import pytest

from tests.fromage_lite.text_towers import TOWERS
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


def test_the_doctor_looks_at_an_index_in_milvus(index, tmp_path):
    file = tmp_path / "album.db"
    call("to-milvus", str(index), str(file), "--device", "cpu")
    assert "23 pictures, made with fingerprint" in call("doctor", "--index", str(file), "--device", "cpu").stdout
    lost = call("doctor", "--model", "playground", "--index", "milvus://127.0.0.1:1/album", "--device", "cpu").stdout
    assert "BAD  index" in lost and "does not answer" in lost


def test_what_an_encoder_alone_made_is_searched_in_milvus_too(album, tmp_path):
    encoder, out, file = TOWERS["clip"]().save(tmp_path / "encoder"), tmp_path / "index", tmp_path / "album.db"
    call("index", str(album), "--out", str(out), "--model", encoder, "--device", "cpu")
    call("to-milvus", str(out), str(file), "--device", "cpu")
    in_folder, in_milvus = (
        json.loads(call("search", "red", "--index", str(place), "--device", "cpu", "--all", "--json").stdout)["images"]
        for place in (out, file)
    )
    assert len(in_milvus) == 5
    assert [round(hit["score"], 2) for hit in in_milvus] == [round(hit["score"], 2) for hit in in_folder]
    assert_refused(call("ask", "hi", "--index", str(file), "--device", "cpu"), "bridge to chat with")


def test_a_bridges_index_in_milvus_keeps_no_features_for_a_text_tower(index, tmp_path):
    file = tmp_path / "album.db"
    call("to-milvus", str(index), str(file), "--device", "cpu")
    asked = call("search", "red", "--by", "text-tower", "--index", str(file), "--device", "cpu")
    assert_refused(asked, "keeps no features", "Ask by ret")


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
