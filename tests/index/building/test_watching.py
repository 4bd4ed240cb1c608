"""Changes of pictures are told once they have come to rest; a drive that is gone is no change."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import chain, repeat

import pytest

from index.building.watching import Roots, is_remote, mount_of, rests

SOME, NONE = {(1, "picture.jpg")}, set()


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def told_after(changes, longest=60.0, lost=()):
    """After how many of the changes a rest was told."""
    seen, told, lost = [], [], iter(chain(lost, repeat(False)))

    def counted():
        for change in changes:
            seen.append(change)
            yield change

    for _ in rests(counted(), lambda: next(lost), longest, Clock()):
        told.append(len(seen))
    return told


def test_what_was_before_is_told_in_the_beginning_and_then_each_change_that_came_to_rest():
    assert told_after([NONE, NONE, NONE]) == [1]
    assert told_after([NONE, SOME, SOME, SOME, NONE, NONE, SOME, NONE]) == [1, 5, 8]


def test_changes_that_never_rest_are_told_all_the_same():
    assert told_after([NONE, *[SOME] * 12], longest=5.0) == [1, 6, 11], "a second a change"


def test_nothing_is_told_of_what_is_lost():
    assert told_after([NONE, SOME, NONE, NONE], lost=[False, False, True]) == [1]


@pytest.fixture
def roots(tmp_path):
    (tmp_path / "album" / "index").mkdir(parents=True)
    (tmp_path / "table.tsv").write_text("")
    return Roots([tmp_path / "album", tmp_path / "table.tsv"], tmp_path / "album" / "index")


@pytest.mark.parametrize(
    ("path", "concerns"),
    [
        ("album/1.jpg", True),
        ("album/deep/1.JPG", True),
        ("album/deep/1.txt", True),
        ("album/.fromageignore", True),
        ("album/moved", True),
        ("album/00004.tar", True),
        ("album/train-00000.parquet", True),
        ("album/state.json", True),
        ("album/film.mp4", False),
        ("album/.hidden", False),
        ("album/index/index.faiss", False),
        ("album/index/1.jpg", False),
        ("table.tsv", True),
        ("other.tsv", False),
        ("album", True),
    ],
)
def test_which_changes_concern_the_pictures(roots, tmp_path, path, concerns):
    assert roots.concerns(str(tmp_path / path)) is concerns


def test_a_root_that_is_gone_or_on_another_drive_is_missing(roots, tmp_path, monkeypatch):
    assert roots.missing() is None
    (tmp_path / "album").rename(tmp_path / "elsewhere")
    assert roots.missing() == tmp_path / "album"
    (tmp_path / "elsewhere").rename(tmp_path / "album")
    assert roots.missing() is None
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == str(tmp_path / "album"))
    assert roots.missing() == tmp_path / "album", "another drive is mounted there"


def test_changes_on_disk_are_seen_and_those_of_the_index_are_not(roots, tmp_path):
    changes = roots.changes(quiet=0.2)
    assert next(changes) == set()
    (tmp_path / "album" / "index" / "index.faiss").write_bytes(b"1")
    (tmp_path / "album" / "1.jpg").write_bytes(b"1")
    (tmp_path / "other.tsv").write_bytes(b"1")
    seen = next(found for found in changes if found)
    assert {path for _, path in seen} == {str(tmp_path / "album" / "1.jpg")}


def test_a_folder_of_another_computer_is_told_by_its_file_system(tmp_path, monkeypatch):
    class Part:
        def __init__(self, fstype):
            self.mountpoint, self.fstype = str(mount_of(tmp_path)), fstype

    for kind, remote in (("ext4", False), ("nfs4", True), ("fuse.sshfs", True), ("cifs", True)):
        monkeypatch.setattr("index.building.watching.psutil.disk_partitions", lambda all, kind=kind: [Part(kind)])
        assert is_remote(tmp_path) is remote


def test_the_library_that_watches_is_loaded_only_to_watch():
    program = "import sys; import index.building.watching, index.building.build; print('watchfiles' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"
