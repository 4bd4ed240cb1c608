"""What of a folder is left out."""

from __future__ import annotations

import os

import pytest

from index.building.build import build_store
from index.errors import StoreError
from index.sources.readers import FolderReader


@pytest.fixture
def photos(tmp_path, painter):
    root = tmp_path / "photos"
    names = [
        "a.png",
        "b.jpg",
        "trips/rome/1.png",
        "trips/rome/2.png",
        "trips/oslo/1.png",
        "drafts/x.png",
        "drafts/deep/y.png",
    ]
    for number, name in enumerate(names):
        painter(root / name, number / 9)
    return root


def listed(root, exclude=()):
    return [os.path.relpath(p.source, root) for p in FolderReader(root, exclude=exclude) if not p.problem]


def test_an_ignore_file_leaves_out_what_its_patterns_fit(photos):
    (photos / ".fromageignore").write_text("# not these\n*.jpg\ndrafts/\n/trips/*/2.png\n")
    assert listed(photos) == ["a.png", "trips/oslo/1.png", "trips/rome/1.png"]
    assert len(FolderReader(photos)) == 3


def test_the_file_of_a_deeper_folder_decides_before_that_of_a_higher_one(photos):
    (photos / ".fromageignore").write_text("1.png\n*.jpg\n")
    (photos / "trips" / "rome" / ".fromageignore").write_text("!1.png\n/2.png\n")
    assert listed(photos) == ["a.png", "drafts/x.png", "drafts/deep/y.png", "trips/rome/1.png"]


def test_the_command_line_decides_before_all_files(photos):
    (photos / ".fromageignore").write_text("!drafts/\n")
    assert listed(photos, ["drafts", "rome/"]) == ["a.png", "b.jpg", "trips/oslo/1.png"]
    assert listed(photos, ["*", "!*/", "!1.png"]) == ["trips/oslo/1.png", "trips/rome/1.png"]


def test_below_an_ignored_folder_nothing_is_taken_back(photos):
    (photos / ".fromageignore").write_text("drafts/\n!drafts/deep/y.png\n")
    assert "drafts/deep/y.png" not in listed(photos)


def test_folders_of_the_system_are_left_out(photos, painter):
    for name in ("@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", ".thumbnails"):
        painter(photos / name / "z.png", 0.1)
    assert len(listed(photos)) == 7


def test_what_is_ignored_later_leaves_the_store(photos, tmp_path, encode):
    build = {"encoder_fingerprint": "mean-colour"}
    assert build_store(FolderReader(photos), encode, tmp_path / "out", **build).total == 7
    report = build_store(FolderReader(photos, exclude=["drafts"]), encode, tmp_path / "out", **build)
    assert (report.removed, report.total) == (2, 5)


def test_rules_that_can_not_be_read_are_told_and_not_fatal(photos, tmp_path, encode):
    (photos / ".fromageignore").write_bytes(b"caf\xe9\n")
    (photos / "trips" / ".fromageignore").write_text("!\n")
    report = build_store(FolderReader(photos), encode, tmp_path / "out", encoder_fingerprint="mean-colour")
    assert report.total == 7
    assert [bad.reason.replace(str(photos), "") for bad in report.bad] == [
        "/.fromageignore: the ignore file can't be read: it is not UTF-8 (byte 0xE9); save it as UTF-8.",
        "/trips/.fromageignore: A pattern of /trips/.fromageignore can't be understood: Invalid git pattern: '!'.",
    ]
    with pytest.raises(StoreError, match="A pattern of --exclude can't be understood"):
        FolderReader(photos, exclude=["!"])


def test_a_link_to_an_ignored_folder_shows_nothing_of_it(photos):
    (photos / "again").symlink_to("drafts")
    (photos / ".fromageignore").write_text("drafts/\n")
    assert not [name for name in listed(photos) if "x.png" in name]
