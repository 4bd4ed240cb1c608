"""The list of the words that a model knows."""

from __future__ import annotations

import dataclasses
import json

import pytest

from fromage_lite.checkpoint.words import MOST_BYTES, read_words, write_words
from fromage_lite.config import CONFIG_FILE
from fromage_lite.errors import CheckpointError
from fromage_lite.text.spelling import Spelling


def test_the_file_has_a_word_a_line(tmp_path):
    (tmp_path / "words.txt").write_text("Elephant\n\n-elegant\r\n", encoding="utf-8")
    spelling = read_words("words.txt", tmp_path)
    assert spelling.words == (["elephant"], ["elegant"])
    assert spelling.corrected("elefant elegant") == "elephant elegant"
    write_words(tmp_path / "again.txt", Spelling(["lion", "bear"], ["tier", "lion"]))
    assert (tmp_path / "again.txt").read_text() == "bear\nlion\n-tier\n"


@pytest.mark.parametrize(
    "content",
    [b"cat\ntwo-words", b"-----BEGIN KEY-----", b"c4t", b"\xff\xfe", b"a" * 41, b"\0", b"cat\n" * MOST_BYTES],
    ids=["hyphen", "key", "digit", "bytes", "long", "zero", "large"],
)
def test_what_is_no_list_of_words_is_refused(tmp_path, content):
    (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(CheckpointError, match="words.txt"):
        read_words("words.txt", tmp_path)


@pytest.mark.parametrize("name", ["words.txt", "."])
def test_a_missing_list_is_named(tmp_path, name):
    with pytest.raises(CheckpointError, match="list of words is missing"):
        read_words(name, tmp_path)


def test_a_model_is_loaded_with_its_words_and_takes_them_along(tiny_model, tmp_path):
    from fromage_lite.model.fromage import Fromage

    (tmp_path / "words.txt").write_text("elephant\n")
    first, second = tmp_path / "first", tmp_path / "second"
    tiny_model.save_pretrained(first)
    assert not (first / "words.txt").exists(), "it has none"
    config = json.loads((first / CONFIG_FILE).read_text())
    (first / CONFIG_FILE).write_text(json.dumps({**config, "vocabulary": "../words.txt"}))
    model = Fromage.from_pretrained(first, device="cpu")
    assert model.spelling.meant("elefant") == "elephant"
    model.save_pretrained(second)
    (tmp_path / "words.txt").unlink()
    assert Fromage.from_pretrained(second, device="cpu").spelling.meant("elefant") == "elephant"
    with pytest.raises(CheckpointError, match="words is missing"):
        Fromage.from_pretrained(first, device="cpu")


def test_a_name_that_is_none_is_refused(tiny_model):
    from fromage_lite.errors import ConfigError

    with pytest.raises(ConfigError, match="vocabulary"):
        dataclasses.replace(tiny_model.config, vocabulary=" ")
