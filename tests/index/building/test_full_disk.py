"""A disk that fills up during a build: a clear message, and the earlier state whole."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from index.building.build import build_store
from index.building.verify import verify_index
from index.errors import StoreError
from index.search.derive import derive_index
from index.search.faiss_index import ImageIndex
from index.sources.readers import FolderReader
from index.store.feature_store import FeatureStore

DIM = 2000


def embed(images):
    """4 kB a picture."""
    return np.stack([np.full(DIM, image.width / 100) for image in images])


def project(features):
    unit = np.zeros((len(features), 256), dtype=np.float32)
    unit[np.arange(len(features)), np.arange(len(features)) % 256] = 1
    return unit


def build(album, out):
    return build_store(FolderReader(album), embed, out, encoder_fingerprint="wide", batch_size=8)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(folder)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)  # mapped files keep it busy


def noise(path, seed):
    """A picture whose thumbnail is large."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (96, 96 + seed % 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def test_a_full_disk_leaves_the_earlier_index(small_disk, tmp_path):
    album, out = tmp_path / "album", small_disk / "out"
    for number in range(8):
        noise(album / f"{number}.png", number)
    build(album, out)
    derive_index(out, project, "bridge")
    before = [FeatureStore.open(out).row(id) for id in range(8)]
    for number in range(8, 80):
        noise(album / f"{number}.png", number)
    with pytest.raises(StoreError, match="Can't write to .*(No space left on device|disk is full)"):
        build(album, out)
    index = ImageIndex.open(out, "bridge")
    assert len(index) == 8 and [index.row(id) for id in range(8)] == before
    assert len(index.search(np.eye(1, 256, dtype=np.float32), 8)[0]) == 8
    faults = verify_index(index)
    assert all("is unfinished" in fault for fault in faults)  # what was embedded before the disk was full is kept
    index.close()
    for number in range(8, 80):
        (album / f"{number}.png").unlink()
    assert build(album, out).total == 8  # what there is now fits
    derive_index(out, project, "bridge")
    assert verify_index(ImageIndex.open(out)) == []


@pytest.mark.parametrize("seed", range(6))
def test_an_index_that_does_not_fit_leaves_the_earlier_one(small_disk, tmp_path, seed):
    album, out = tmp_path / "album", small_disk / "out"
    for number in range(8):
        noise(album / f"{number}.png", number)
    build(album, out)
    derive_index(out, project, "bridge")
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "filler").write_bytes(bytes(free - random.Random(seed).randrange(0, 8000)))
    with pytest.raises(StoreError, match="(Can't write to|disk full)"):
        derive_index(out, project, "bridge", kind="IDMap2,Flat")
    index = ImageIndex.open(out, "bridge")
    assert len(index) == 8 and verify_index(index) == []


@pytest.mark.parametrize("after", range(8))
def test_a_write_that_finds_no_space_is_told_and_undone(tmp_path, monkeypatch, after):
    """The same without a file system of its own: the disk is full at the n-th write."""
    album, out = tmp_path / "album", tmp_path / "out"
    for number in range(4):
        noise(album / f"{number}.png", number)
    build(album, out)
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.suffix in (".bin", ".json")}
    for number in range(4, 40):
        noise(album / f"{number}.png", number)
    import index.store.writer

    write, calls = index.store.writer._write_through, []

    def full(file, start, data):
        calls.append(1)
        if len(calls) > after:
            write(file, start, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        write(file, start, data)

    monkeypatch.setattr(index.store.writer, "_write_through", full)
    with pytest.raises(StoreError, match="No space left on device"):
        build(album, out)
    monkeypatch.undo()
    store = FeatureStore.open(out)
    assert len(store) == 4 and {name: (out / name).read_bytes()[: len(data)] for name, data in before.items()} == before
    assert build(album, out).total == 40
