"""The labelled photographs: a table that means what it says, and a judge that a person would agree with."""

import hashlib
import shutil
import struct
import zlib
from pathlib import Path

from fromage_lite.photos.evaluation.photographs import Photograph, fetched, photographs
from fromage_lite.photos.world.classes import CLASSES, meaning
from fromage_lite.photos.world.saying import Saying
from scripts.fetch_photographs import qt_resources

PICTURES = Path(__file__).parents[1] / "pictures"
NUMBER = {row.name: i for i, row in enumerate(CLASSES)}


def test_there_are_enough_and_every_word_means_something():
    table = photographs()
    assert sum(photograph.known for photograph in table) >= 60
    assert sum(not photograph.known for photograph in table) >= 40
    assert all(meaning(word) for photograph in table for word in photograph.words)
    assert all(photograph.words or not photograph.known for photograph in table)
    assert len({photograph.path for photograph in table}) == len({p.sha256 for p in table}) == len(table)


CAT = Photograph("pypi:x==1", "cat.png", "", True, ("tabby", "persian cat"))
PERCH = Photograph("debian:x", "fish.png", "", True, ("fish",))
GRAVEL = Photograph("debian:x", "gravel.png", "", False, ("nature",))


def test_right_names_and_kinds():
    tabby, lynx, persian = NUMBER["tabby"], NUMBER["lynx"], NUMBER["persian cat"]
    assert CAT.is_right(Saying((tabby,), sure=True))
    assert CAT.is_right(Saying((lynx, persian), "mammal"))
    assert CAT.is_right(Saying((), "animal")) and CAT.is_right(Saying((lynx,), "mammal"))
    assert not CAT.is_right(Saying((lynx,), sure=True))
    assert not CAT.is_right(Saying((), "dog"))
    assert not CAT.is_right(Saying())


def test_of_an_unknown_kind_only_the_kind_is_right():
    assert PERCH.is_right(Saying((), "fish"))
    assert not PERCH.is_right(Saying((NUMBER["goldfish"],), sure=True))
    assert NUMBER["goldfish"] in PERCH.classes


def test_of_nothing_known_nothing_is_said():
    assert GRAVEL.is_right(Saying()) and GRAVEL.is_right(Saying((), "nature"))
    assert not GRAVEL.is_right(Saying((NUMBER["doormat"],), sure=True))


def test_only_unchanged_pictures_are_taken(tmp_path, monkeypatch):
    data = (PICTURES / "coffee.webp").read_bytes()
    table = (
        Photograph("pypi:coffee==1", "a/coffee.webp", hashlib.sha256(data).hexdigest(), True, ("espresso",)),
        Photograph("pypi:coffee==1", "a/other.webp", "0" * 64, True, ("espresso",)),
        Photograph("pypi:coffee==1", "a/missing.webp", "0" * 64, True, ("espresso",)),
    )
    monkeypatch.setattr("fromage_lite.photos.evaluation.photographs.photographs", lambda: table)
    (tmp_path / "coffee/a").mkdir(parents=True)
    for name in ("coffee.webp", "other.webp"):
        shutil.copy(PICTURES / "coffee.webp", tmp_path / "coffee/a" / name)
    assert list(fetched(tmp_path)) == [(table[0], tmp_path / "coffee/a/coffee.webp")]


def test_a_qt_resource_file_is_read():
    """`images/a.txt` as it is and `images/b.txt` compressed, by the layout of Qt's rcc, version 1."""
    contents, places = b"", []
    packed = struct.pack(">I", 5) + zlib.compress(b"world")
    for body in (b"hello", packed):
        places.append(len(contents))
        contents += struct.pack(">I", len(body)) + body
    names, named = b"", []
    for name in ("images", "a.txt", "b.txt"):
        named.append(len(names))
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    nodes = [(0, 2, 1, 1), (named[0], 2, 2, 2), (named[1], 0, 0, places[0]), (named[2], 1, 0, places[1])]
    tree = b"".join(struct.pack(">IHII", *node) for node in nodes)
    header = struct.pack(">4sIIII", b"qres", 1, 20, 20 + len(tree), 20 + len(tree) + len(contents))
    assert dict(qt_resources(header + tree + contents + names)) == {"images/a.txt": b"hello", "images/b.txt": b"world"}
