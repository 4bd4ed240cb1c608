"""SIGKILL at random moments of a build: a further run completes what is left, to a store equal to one without kills."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from index.building.verify import verify_index
from index.search.faiss_index import ImageIndex
from index.store.feature_store import FeatureStore
from index.store.manifest import FEATURES, THUMBNAILS

ROOT = Path(__file__).parents[3]
KILLS = 24
BATCH = 2

# Builds and indexes; says before and after each step that it takes one, so that the other end can kill it at any.
BUILDER = textwrap.dedent(f"""
    import importlib.util, os, sys
    from pathlib import Path
    import numpy as np
    import index.files, index.store.writer
    from index.building.build import build_store
    from index.search.derive import derive_index
    from index.sources.recognise import open_source
    spec = importlib.util.spec_from_file_location("helpers", {str(Path(__file__).parents[1] / "conftest.py")!r})
    helpers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(helpers)

    def told(work, name):
        def tell(*arguments):
            os.write(1, name + b"\\n")
            result = work(*arguments)
            os.write(1, name + b" done\\n")
            return result
        return tell

    index.store.writer._write_through = told(index.store.writer._write_through, b"write")
    index.store.writer.FeatureStoreWriter._insert = told(index.store.writer.FeatureStoreWriter._insert, b"insert")
    os.replace = told(os.replace, b"replace")
    Path.replace = told(Path.replace, b"replace")
    def embed(images):
        os.write(1, b"embed %d\\n" % len(images))
        return helpers.mean_colour(images)
    reader = open_source(Path(sys.argv[1]))
    build_store(reader, embed, sys.argv[2], encoder_fingerprint="mean-colour", batch_size={BATCH})
    project = told(lambda features: helpers.unit(features[:, :3]), b"project")
    derive_index(sys.argv[2], project, "bridge")
    os.write(1, b"finished\\n")
""")


def run(album, out, kill_at=None):
    """Run the builder; kill it once it has said so many lines. The pictures it embedded, and whether it finished."""
    with subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(album), str(out)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    ) as process:
        embedded, lines = 0, 0
        for line in process.stdout:
            lines += 1
            embedded += int(line.split()[1]) if line.startswith(b"embed") else 0
            if line == b"finished\n":
                return embedded, True
            if lines == kill_at:
                process.send_signal(signal.SIGKILL)
        return embedded, False


@pytest.fixture
def large_album(tmp_path, painter):
    """70 pictures, ten copies, five bad files, some captions."""
    root = tmp_path / "album"
    for number in range(70):
        painter(root / f"{number % 3}" / f"{number:02d}.png", number / 70, (20 + number, 18))
        if number % 9 == 0:
            (root / f"{number % 3}" / f"{number:02d}.txt").write_text(f"picture {number}")
    for number in range(0, 30, 3):
        shutil.copy(root / "0" / f"{number:02d}.png", root / f"{number % 2 + 1}" / f"copy of {number}.png")
    for number in range(5):
        (root / "1" / f"{number}x.png").write_text(f"no picture {number}")
    return root


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills as POSIX does")
@pytest.mark.parametrize("seed", [1])
def test_a_build_that_was_killed_again_and_again_equals_one_that_was_not(large_album, tmp_path, seed):
    embedded_whole, finished = run(large_album, tmp_path / "whole")
    assert (embedded_whole, finished) == (70, True)
    choose = random.Random(seed)
    embedded = kills = 0
    finished = False
    while not finished:
        # A batch takes about seven lines: most kills come within the first three batches of a run.
        count, finished = run(large_album, tmp_path / "killed", choose.randint(1, 20) if kills < KILLS else None)
        embedded += count
        kills += not finished
        if finished and kills < KILLS:  # killed that often it was done early: the rest strikes a store that is there
            shutil.rmtree(tmp_path / "killed")
            assert embedded <= 70 + BATCH * kills
            embedded, finished = 0, False
    assert kills >= KILLS and embedded <= 70 + BATCH * kills
    whole, killed = FeatureStore.open(tmp_path / "whole"), FeatureStore.open(tmp_path / "killed")
    for name in (FEATURES, THUMBNAILS):
        assert (killed.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert killed.manifest == whole.manifest and len(whole.live_ids()) == 80
    rows = [[(*store.row(id), store.thumbnail(id)) for id in map(int, store.live_ids())] for store in (whole, killed)]
    assert rows[0] == rows[1]
    index, other = (ImageIndex.open(tmp_path / name, "bridge") for name in ("whole", "killed"))
    assert verify_index(other) == []
    queries = np.eye(3, dtype=np.float32)
    assert other.search(queries, 80) == index.search(queries, 80)
