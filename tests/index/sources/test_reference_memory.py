"""Memory of an import: below twice the size of the file, whose 3 GB are what a laptop can hold once."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
DIM = 256

IMPORT = """
import sys
from pathlib import Path
from index.search.derive import derive_index
from index.building.projected import import_embeddings
from index.sources.reference_pickle import read_reference

def peak():  # of this program alone; getrusage counts the memory of the one that started it, too
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024

file, out, size = sys.argv[1], sys.argv[2], Path(sys.argv[1]).stat().st_size
begun = peak()
reference = read_reference(file)
total = import_embeddings(reference.blocks(), out, bridge_fingerprint="bridge").total
del reference
derive_index(out, lambda vectors: vectors, "bridge")
print(total, (peak() - begun) / size)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory as Linux tells it")
@pytest.mark.parametrize(("form", "count"), [("array", 180_000), ("list of bfloat16 tensors", 110_000)])
def test_an_import_takes_less_than_twice_the_files_size(tmp_path, form, count):
    import torch

    vectors = np.random.default_rng(0).standard_normal((count, DIM), dtype=np.float32)
    embeddings = vectors if form == "array" else [row.clone() for row in torch.from_numpy(vectors).bfloat16()]
    name = "http://images.example.com/photographs/{:09d}/a-name-as-long-as-they-are-on-the-web-{}.jpg"
    paths = [name.format(number, number) for number in range(count)]
    with (tmp_path / "e.pkl").open("wb") as file:
        pickle.dump({"paths": paths, "embeddings": embeddings}, file)
    del embeddings
    result = subprocess.run(
        [sys.executable, "-c", IMPORT, str(tmp_path / "e.pkl"), str(tmp_path / "store")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    total, share = result.stdout.split()
    print(f"{form}: {float(share):.2f} times the file's size")
    assert int(total) == count
    assert 0.5 < float(share) < 2
