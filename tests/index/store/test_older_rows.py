"""What is known of a picture comes into the rows, also into those that an earlier version wrote."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index.building.build import build_store
from index.sources.readers import FolderReader
from index.store.feature_store import FeatureStore

SECOND = 10**9


@pytest.fixture
def photos(tmp_path):
    """A turned photograph with a date, a copy of it, and a picture without."""
    root = tmp_path / "photos"
    root.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2024:05:03 14:22:05"
    noise = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((90, 60), Image.Resampling.BICUBIC)
    image.save(root / "a.jpg", exif=exif)
    shutil.copy(root / "a.jpg", root / "b.jpg")
    image.save(root / "c.png")
    for number, file in enumerate(sorted(root.iterdir())):
        os.utime(file, ns=(0, (1_700_000_000 + number) * SECOND))
    return root


def build(root, out, encode, elsewhere=None):
    reader = FolderReader(root)
    return build_store(reader, encode, out, encoder_fingerprint="e", batch_size=2, elsewhere=elsewhere)


class Idle:
    """A cluster that nothing is asked of."""

    def embedded(self, wanted):
        assert not list(wanted)
        return iter(())


def check(root, out):
    store = FeatureStore.open(out)
    facts = {Path(store.row(int(id))[0]).name: store.facts([int(id)])[0] for id in store.live_ids()}
    store.close()
    for name, found in facts.items():
        data = (root / name).read_bytes()
        assert found.content == hashlib.sha256(data).digest() and found.file_bytes == len(data)
        assert found.modified_ns == (root / name).stat().st_mtime_ns
    assert [(f.width, f.height, f.taken) for _, f in sorted(facts.items())] == [
        (60, 90, "2024-05-03T14:22:05"),
        (60, 90, "2024-05-03T14:22:05"),
        (90, 60, None),
    ]
    assert facts["a.jpg"].phash == facts["b.jpg"].phash is not None
    return facts


def test_a_build_keeps_the_facts_also_of_copies(photos, tmp_path, encode):
    report = build(photos, tmp_path / "out", encode)
    assert (report.added, report.reused) == (2, 1)
    check(photos, tmp_path / "out")


@pytest.mark.parametrize("elsewhere", [None, Idle()], ids=["here", "on a cluster"])
def test_the_next_build_completes_rows_of_an_earlier_version_without_embedding(photos, tmp_path, encode, elsewhere):
    out = tmp_path / "out"
    build(photos, out, encode)
    before = check(photos, out)
    rows = sqlite3.connect(out / "rows.sqlite")
    with rows:
        for index in ("row_taken", "row_modified"):
            rows.execute(f"DROP INDEX {index}")
        for column in ("width", "height", "bytes", "taken", "phash"):
            rows.execute(f"ALTER TABLE rows DROP COLUMN {column}")
        rows.execute("DELETE FROM meta WHERE name = 'facts'")
    rows.close()

    def never(images):
        raise AssertionError("nothing is embedded again")

    assert build(photos, out, never, elsewhere).unchanged == 3
    after = check(photos, out)
    for name in before:  # that of the thumbnail here
        assert ((before[name].phash ^ after[name].phash) & (2**64 - 1)).bit_count() <= 6


def test_older_rows_whose_files_are_gone_or_changed_are_looked_at_once(photos, tmp_path, encode):
    out = tmp_path / "out"
    build(photos, out, encode)
    rows = sqlite3.connect(out / "rows.sqlite")
    with rows:
        rows.execute("UPDATE rows SET width = NULL, height = NULL, bytes = NULL, taken = NULL, phash = NULL")
        rows.execute("DELETE FROM meta WHERE name = 'facts'")
    rows.close()
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (30, 20), "blue").save(other / "d.png")
    (photos / "c.png").unlink()
    build(other, out, encode)  # doesn't cover the others
    store = FeatureStore.open(out)
    facts = [store.facts([int(id)])[0] for id in store.live_ids()]
    assert [f.width for f in facts] == [60, 60, None, 30]
    assert all(f.phash is not None for f in facts), "by their thumbnails"
    store.close()
