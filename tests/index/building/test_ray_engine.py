"""A build on a Ray cluster of two workers against the same build here."""

from __future__ import annotations

import subprocess
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from index.building.build import build_store
from index.building.opening import Wanted
from index.building.parts import Finished, Parts
from index.errors import StoreError
from index.sources.readers import FolderReader, PictureFile
from index.sources.recognise import open_source
from index.store.feature_store import FeatureStore
from tests.index.remote_encoder import MakeFlat

ray = pytest.importorskip("ray")

from index.building.ray_engine import RayEngine, RayOptions  # noqa: E402

pytestmark = pytest.mark.slow

FLAT = MakeFlat()
TRIAL = "import ray; ray.init('local', num_cpus=1, object_store_memory=1 << 27, log_to_driver=False); ray.shutdown()"
TRIAL_SECONDS = 120


def why_ray_cannot_start() -> str:
    """Empty where it can: sandboxes often forbid the processes or the shared memory that it needs."""
    try:
        tried = subprocess.run(
            [sys.executable, "-c", TRIAL], capture_output=True, text=True, timeout=TRIAL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it is not there after {TRIAL_SECONDS} seconds"
    return "" if tried.returncode == 0 else (tried.stderr.strip() or "it ended").splitlines()[-1]


@pytest.fixture(scope="module")
def cluster():
    """A head without CPUs, and two workers of one CPU."""
    from ray.cluster_utils import Cluster

    if why := why_ray_cannot_start():
        pytest.skip(f"Ray can't start on this machine: {why}")
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 1 << 27})
    for _ in range(2):
        started.add_node(num_cpus=1, object_store_memory=1 << 27)
    ray.init(started.address, log_to_driver=False, logging_level="ERROR")
    yield started
    ray.shutdown()
    started.shutdown()


@pytest.fixture
def many(tmp_path, painter):
    """50 pictures, among them a copy, a white one and three that are none."""
    root = tmp_path / "many"
    for number in range(40):
        painter(root / f"{number % 7}" / f"{number:03d}.png", number / 40, (20 + number, 30))
    for number in range(5):
        (root / "0" / f"copy-{number}.png").write_bytes((root / "1" / "001.png").read_bytes())
    Image.new("RGB", (8, 8), "white").save(root / "3" / "white.png")
    (root / "2" / "broken.png").write_bytes(b"no picture")
    (root / "2" / "empty.jpg").write_bytes(b"")
    (root / "4" / "broken-copy.png").write_bytes(b"no picture")
    (root / "5" / "caption.txt").write_text("")
    (root / "6" / "006.txt").write_text("a caption")
    return root


def contents(path):
    """All of a store that a user would notice."""
    store = FeatureStore.open(path)
    ids = store.live_ids()
    rows = [(*store.row(int(id)), *store.facts([int(id)]), store.thumbnail(int(id))) for id in ids]
    return ids.tolist(), rows, store.read_features(ids)


def assert_equal(path, other):
    ids, rows, features = contents(path)
    other_ids, other_rows, other_features = contents(other)
    assert ids == other_ids and rows == other_rows
    np.testing.assert_array_equal(features, other_features)


def build(reader, out, engine=None, **options):
    return build_store(reader, MakeFlat()(), out, encoder_fingerprint="flat", batch_size=4, elsewhere=engine, **options)


def engine_for(folder, make=FLAT, progress=None):
    options = RayOptions(shards=str(folder), shard_size=8, num_actors=2)
    return RayEngine(options, make, "flat", batch_size=4, progress=progress)


def test_finished_shards_are_not_made_again(cluster, many, tmp_path):
    """The first run breaks off when some shards are there; one of these is damaged before the second."""
    folder = tmp_path / "shards"
    parts = Parts(str(folder), "flat")

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(FolderReader(many), tmp_path / "there", engine_for(folder, progress=stop))
    finished = parts.names()
    assert finished
    damaged = folder / "flat" / finished[0]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 255
    damaged.write_bytes(data)
    kept = sum(len(parts.read(name, ["source"]) or ()) for name in finished[1:])
    totals: set[int] = set()
    build(FolderReader(many), tmp_path / "there", engine_for(folder, progress=lambda done, total: totals.add(total)))
    build(FolderReader(many), tmp_path / "here")
    assert_equal(tmp_path / "there", tmp_path / "here")
    (wanted,) = totals
    assert 0 < wanted <= 49 - kept  # fewer where a worker still finished its shard after the first run had broken off


def test_tars_and_a_later_build_of_changed_pictures(cluster, many, tmp_path, painter):
    with tarfile.open(tmp_path / "pictures.tar", "w") as tar:
        for path in sorted(many.rglob("*.png")):
            tar.add(path, str(path.relative_to(many)))
    source = open_source(tmp_path / "pictures.tar")
    build(source, tmp_path / "there", engine_for(tmp_path / "shards"))
    build(source, tmp_path / "here")
    assert_equal(tmp_path / "there", tmp_path / "here")

    for name in ("album", "album-here"):
        build(FolderReader(many), tmp_path / name)
    (many / "0" / "000.png").unlink()
    painter(many / "1" / "new.png", 0.3, (9, 9))
    painter(many / "2" / "002.png", 0.7, (90, 9))
    engine = engine_for(tmp_path / "shards")
    report = build(FolderReader(many), tmp_path / "album", engine)
    assert report == build(FolderReader(many), tmp_path / "album-here")
    assert (report.added, report.changed, report.removed) == (2, 1, 1)
    assert_equal(tmp_path / "album", tmp_path / "album-here")


def test_a_worker_that_is_killed_changes_nothing(cluster, many, tmp_path):
    """The last test with this cluster."""
    here = build(FolderReader(many), tmp_path / "here")
    gate, seen = tmp_path / "gate", []

    def kill(done, total):
        if not seen:
            cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
            gate.touch()
        seen.append((done, total))

    engine = engine_for(tmp_path / "shards", MakeFlat(str(gate), before=2), kill)
    there = build(FolderReader(many), tmp_path / "there", engine)
    assert_equal(tmp_path / "there", tmp_path / "here")
    assert there == here and there.failed == 4 and there.reused == 5
    assert (tmp_path / "there" / "failures.json").read_text() == (tmp_path / "here" / "failures.json").read_text()
    assert seen[0][0] < seen[-1][0] == seen[-1][1] == 49, "the worker was killed in the middle"
    engine.forget()
    assert not (tmp_path / "shards").exists()


def test_a_cluster_that_is_not_there_is_told(many, tmp_path):
    options = RayOptions(address="127.0.0.1:1", shards=str(tmp_path / "shards"))
    with pytest.raises(StoreError, match="The Ray cluster at 127.0.0.1:1 does not answer"):
        build(FolderReader(many), tmp_path / "there", RayEngine(options, MakeFlat(), "flat"))


def test_an_address_that_is_none_is_told_and_no_other_cluster_taken(many, tmp_path, monkeypatch):
    asked = []

    def init(address=None, **options):
        asked.append(address)
        raise ValueError(f"Invalid address format: {address}")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    options = RayOptions(address="nonsense", shards=str(tmp_path / "shards"))
    with pytest.raises(StoreError, match=r"no Ray cluster at nonsense .*Invalid address format.* as HOST:PORT"):
        build(FolderReader(many), tmp_path / "there", RayEngine(options, MakeFlat(), "flat"))
    assert asked == ["nonsense"]


def test_an_object_store_keeps_shards_too():
    import pyarrow

    from index.building.parts import schema

    parts = Parts("memory://bucket/build", "flat")
    row = {"source": "/p/1.png", "size": 3, "mtime": 4, "content": b"x", "feature": b"ab", "thumbnail": b"t"}
    row |= {"error": "", "cause": "", "lasting": True, "facts": None}
    assert parts.names() == []
    name = parts.write(pyarrow.Table.from_pylist([row], schema=schema()))
    assert parts.names() == [name]
    finished = Finished(parts)
    assert finished.row("/p/1.png", (3, 4)) == row and finished.row("/p/1.png", (3, 5)) is None
    parts.remove()
    assert parts.names() == []


def test_finished_shards_are_read_once_whatever_the_rounds(tmp_path, monkeypatch):
    import pyarrow

    from index.building.parts import schema

    parts = Parts(str(tmp_path / "shards"), "flat")
    pictures = [Wanted(PictureFile(f"/p/{number}.png", stamp=(number, 4)), (number, 4), None) for number in range(6)]
    for half in (pictures[:3], pictures[3:]):
        rows = [{"source": wanted.picture.source, "size": wanted.stamp[0], "mtime": 4} for wanted in half]
        given = {"content": b"x", "feature": b"abcd", "thumbnail": b"t", "error": "", "cause": "", "lasting": True}
        parts.write(pyarrow.Table.from_pylist([{**row, **given} for row in rows], schema=schema()))
    read, names = Parts.read, []

    def counted(self, name, columns=None):
        names.append(name)
        return read(self, name, columns)

    monkeypatch.setattr(Parts, "read", counted)
    monkeypatch.setattr("index.building.ray_engine.ROUND", 2)
    found = list(engine_for(tmp_path / "shards").embedded(pictures))
    assert [item.read.wanted for item in found] == pictures and all(item.error is None for item in found)
    assert sorted(names) == sorted(2 * parts.names()), "once to find out what is done, and once for the features"
