"""`examine`: an index whose features are not those of its pictures."""

from __future__ import annotations

import numpy as np
import pytest

from fromage_lite.config import LoadOptions
from fromage_lite.doctor import examine
from fromage_lite.indexing import index_pictures


@pytest.fixture
def out(album, tiny_checkpoint, tmp_path):
    index_pictures(album, tmp_path / "out", tiny_checkpoint, batch_size=5, device="cpu")
    return tmp_path / "out"


def findings(out, tiny_checkpoint):
    checks = {
        check.name: check for check in examine(LoadOptions(model=str(tiny_checkpoint), index=str(out), device="cpu"))
    }
    return checks["index files"], checks["pictures embedded again"]


def test_a_sound_index(out, tiny_checkpoint, album):
    (album / "1.png").unlink()
    files, pictures = findings(out, tiny_checkpoint)
    assert (files.value, files.fault) == (f"{out}, 4 rows", "")
    assert (pictures.value, pictures.fault) == ("3, 1 gone", "")


def test_swapped_features_are_named(out, tiny_checkpoint, album):
    features = np.memmap(out / "features.bin", dtype=np.float16, mode="r+").reshape(4, -1)
    features[[0, 2]] = features[[2, 0]]
    features.flush()
    files, pictures = findings(out, tiny_checkpoint)
    assert "the features of rows 0 to 3 are not those written" in files.fault
    assert f" of 2 of 4: {album / '0.png'}, {album / '2.png'}. Delete {out} and build it" in pictures.fault
    assert pictures.fault.endswith(f": fromage-lite index {album} --model {tiny_checkpoint} --out {out}")
