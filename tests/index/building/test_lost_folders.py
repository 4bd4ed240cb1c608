"""What can't be looked into is not gone: its pictures stay in the store."""

from __future__ import annotations

import os

import pytest

from index.building.build import build_store
from index.sources.readers import FolderReader


def build(root, encode, out):
    return build_store(FolderReader(root), encode, out, encoder_fingerprint="mean-colour", batch_size=4)


@pytest.fixture
def unlistable(monkeypatch):
    """Folders that can't be listed: as without permission, which the superuser always has."""
    folders, scandir = set(), os.scandir

    def refusing(path="."):
        if str(path) in folders:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    return folders


def test_pictures_of_a_folder_that_lost_its_permission_stay(album, encode, tmp_path, unlistable):
    assert build(album, encode, tmp_path / "out").total == 23
    unlistable.add(str(album / "two" / "deep"))
    (album / "one" / "01.png").unlink()
    report = build(album, encode, tmp_path / "out")
    assert (report.total, report.removed) == (22, 1), "only the one that is really gone has left"
    assert report.bad[0].reason == f"{album}/two/deep: the folder can't be listed: Permission denied."
    unlistable.clear()
    assert build(album, encode, tmp_path / "out").unchanged == 22


def test_pictures_behind_a_link_whose_drive_is_gone_stay(album, encode, tmp_path):
    drive = tmp_path / "drive"
    (album / "two").rename(drive)
    (album / "drive").symlink_to(drive)
    assert build(album, encode, tmp_path / "out").total == 23
    drive.rename(tmp_path / "unplugged")
    report = build(album, encode, tmp_path / "out")
    assert (report.total, report.removed) == (23, 0)
    (album / "drive").unlink()
    assert build(album, encode, tmp_path / "out").total == 11, "now the link is gone, and so are its pictures"


def test_a_drive_that_is_taken_away_while_it_is_read_loses_no_picture(album, encode, tmp_path):
    build(album, encode, tmp_path / "out")
    elsewhere = FolderReader(album)
    listed = iter(elsewhere)
    next(listed)
    unplugged = album.rename(tmp_path / "unplugged")
    list(listed)
    assert not elsewhere.covers(str(album / "one" / "01.png"))
    unplugged.rename(album)
    list(elsewhere)
    assert elsewhere.covers(str(album / "one" / "01.png"))
