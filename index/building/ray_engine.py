"""Embedding pictures on a Ray cluster: decoded by tasks on its CPUs, encoded by actors on its GPUs or CPUs, written as
`index.building.parts` from where they are. The driver reads the parts in the order of the pictures.

Ray does a lost worker's work again. What is lost with the whole cluster is only what was not yet in a part.
"""

from __future__ import annotations

import itertools
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from index.building.elsewhere import Embedded
from index.building.encoding import Encoder, features_of
from index.building.opening import Read, Wanted, open_picture, read_picture
from index.building.parts import Finished, PartRow, Parts, schema
from index.errors import ImageError, StoreError, TemporaryImageError, reason
from index.pictures.containers import read_inside
from index.pictures.facts import Facts
from index.pictures.images import is_url
from index.progress import Progress
from index.sources.download import Downloader, DownloadLimits
from index.sources.readers import PictureFile
from index.text import sanitize

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

MakeEncoder = Callable[[], Encoder]
"""Makes the encoder on a worker. It is pickled, and has to be equal to its copies: a worker makes one encoder for all
tasks."""

ROUND = 500_000
"""Pictures that the driver has listed at the same time: some 300 MB."""
SECONDS = 10.0  # for a connection
OBJECT_STORE = 1 << 29  # bytes, of a Ray that is started here
TASK, ACTOR = 0.4, 0.6
"""CPUs: a worker of one core has room for both; and unequal, or Ray would decode inside the actors."""


@dataclass(frozen=True)
class RayOptions:
    """How a cluster is used.

    Attributes:
        address: of the cluster, as `ray.init` takes it; "" for the one in RAY_ADDRESS or, if one runs there, on
            this computer, else one that is started here.
        num_actors: that encode at the same time; 0 for one a GPU, or else one for each second CPU.
        shards: folder or address where the workers write, the same for all of them.
        shard_size: pictures of a part.
    """

    address: str = ""
    num_actors: int = 0
    shards: str = ""
    shard_size: int = 2048

    def words(self) -> list[str]:
        """The options of the command `index` that say the same."""
        words = ["--engine", "ray"]
        shards = self.shards if "://" in self.shards or not self.shards else os.path.abspath(self.shards)  # noqa: PTH100
        for name, value in (("--ray-address", self.address), ("--shards", shards)):
            words += [name, value] if value else []
        return words + (["--num-actors", str(self.num_actors)] if self.num_actors else [])


class RayEngine:
    """An `index.building.elsewhere.Elsewhere` on Ray.

    Args:
        options: how the cluster is used; `shards` is named.
        make_encoder: makes the encoder on a worker.
        encoder_fingerprint: of that encoder.
        limits: of downloading, for the whole cluster together.
        batch_size: pictures encoded at once.
        progress: called with the pictures embedded, as parts are finished.
    """

    def __init__(
        self,
        options: RayOptions,
        make_encoder: MakeEncoder,
        encoder_fingerprint: str,
        *,
        limits: DownloadLimits | None = None,
        batch_size: int = 64,
        progress: Progress | None = None,
    ) -> None:
        if find_spec("ray") is None:
            raise StoreError("--engine ray needs Ray.", "Install it: pip install 'ray[data]>=2.50,<3'")
        self.options, self._make, self._limits = options, make_encoder, limits or DownloadLimits()
        self._batch_size, self._progress = batch_size, progress
        self._parts = Parts(options.shards, encoder_fingerprint)

    def embedded(self, wanted: Iterable[Wanted]) -> Iterator[Embedded]:
        """As `Elsewhere.embedded`, a round of pictures after the other.

        Raises:
            StoreError: the cluster can't be reached, or failed; the same command goes on.
        """
        pictures = iter(wanted)
        with closing(Finished(self._parts)) as finished:
            while chunk := list(itertools.islice(pictures, ROUND)):
                missing = [item for item in chunk if not finished.has(item.picture.source, item.stamp)]
                if missing:
                    finished.add(self._embed(missing))
                for item in chunk:
                    yield _embedded(item, finished.row(item.picture.source, item.stamp))

    def forget(self) -> None:
        """Delete the parts, once all of them are in a store."""
        self._parts.remove()

    def _embed(self, wanted: Sequence[Wanted]) -> list[str]:
        """Embed pictures; the names of the parts they are in."""
        names, done = [], 0
        with _cluster(self.options.address):
            for batch in self._pipeline(wanted).iter_batches(batch_size=None, batch_format="pyarrow"):
                names += batch.column("part").to_pylist()
                done += sum(batch.column("count").to_pylist())
                if self._progress:
                    self._progress(done, len(wanted))
        return names

    def _pipeline(self, wanted: Sequence[Wanted]) -> Dataset:
        import ray

        resources = ray.cluster_resources()
        cpus, gpus = max(1, int(resources.get("CPU", 1))), int(resources.get("GPU", 0))
        actors = self.options.num_actors or gpus or max(1, cpus // 2)
        share: dict[str, float] = {"num_gpus": min(1.0, gpus / actors)} if gpus else {"num_cpus": ACTOR}
        tasks = 2 * cpus
        limits = replace(
            self._limits, per_host=self._limits.per_host / tasks, total_bytes=-(-self._limits.total_bytes // tasks)
        )
        blocks = max(1, -(-len(wanted) // self._batch_size))
        pictures = ray.data.from_items([_listed(item) for item in wanted], override_num_blocks=blocks)
        whole: dict[str, Any] = {"batch_format": "pyarrow", "zero_copy_batch": True}
        return (
            pictures.map_batches(
                _decode,
                batch_size=self._batch_size,
                fn_kwargs={"make": self._make, "limits": limits},
                num_cpus=TASK,
                **whole,
            )
            .map_batches(
                _EncoderActor,
                batch_size=self._batch_size,
                fn_constructor_args=(self._make,),
                compute=ray.data.ActorPoolStrategy(size=actors),
                **share,
                **whole,
            )
            .map_batches(
                _write,
                batch_size=self.options.shard_size,
                fn_kwargs={"parts": self._parts},
                num_cpus=TASK,
                **whole,
            )
        )


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """A connection to the cluster, and its errors in words. One that is there stays; one started here ends."""
    import ray
    import ray.data
    from ray.exceptions import RayError

    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters is raised

    is_ours = not ray.is_initialized()
    _check_reachable(address)
    try:
        if is_ours:
            _connect(address)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.verbose_progress = False
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
    except (RayError, ConnectionError) as error:
        cause = error.__cause__ if isinstance(error.__cause__, StoreError) else error
        if isinstance(cause, StoreError):
            raise cause from None
        raise StoreError(
            f"The Ray cluster could not embed the pictures: {reason(cause)}.",
            "Finished shards are kept: the same command goes on.",
        ) from error
    finally:
        if is_ours and ray.is_initialized():
            ray.shutdown()


def _connect(address: str) -> None:
    import ray

    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address:
            ray.init(address, **quiet)
            return
        try:
            ray.init(object_store_memory=OBJECT_STORE, include_dashboard=False, **quiet)
        except ValueError:  # there is a cluster, of RAY_ADDRESS or of this computer, whose memory is its own
            ray.init(**quiet)
    except (ValueError, RuntimeError) as error:
        named = address or os.environ.get("RAY_ADDRESS", "")
        place = f" at {sanitize(named)}" if named else ""
        hint = "Write its address as HOST:PORT or ray://HOST:PORT." if named else ""
        raise StoreError(f"There is no Ray cluster{place} to be had: {reason(error)}.", hint) from error


def _check_reachable(address: str) -> None:
    """Ray itself would try for a minute."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=SECONDS).close()
    except OSError as error:
        raise StoreError(f"The Ray cluster at {address} does not answer: {reason(error)}.", "Start it.") from error


# --- on the workers ---

_FACTS = ("width", "height", "file_bytes", "taken", "phash")


def _decode(table: pyarrow.Table, make: MakeEncoder, limits: DownloadLimits) -> pyarrow.Table:
    """Rows of `_listed` -> rows of a part without features, with the pixels and their shape."""
    import pyarrow as pa

    prepare = _encoder(make).prepare
    rows = [_decoded(row, prepare, limits) for row in table.to_pylist()]
    pixels = pa.schema([*schema(), ("pixels", pa.binary()), ("shape", pa.list_(pa.int64()))])
    return pa.Table.from_pylist(rows, schema=pixels)


class _EncoderActor:
    """Gives rows of `_decode` their features."""

    def __init__(self, make: MakeEncoder) -> None:
        self._encoder = make()

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        import pyarrow as pa

        shapes = table.column("shape").to_pylist()
        fresh = [number for number, shape in enumerate(shapes) if shape is not None]
        column = table.column("pixels")
        pixels = [
            np.frombuffer(column[number].as_buffer(), dtype=np.float32).reshape(shapes[number]) for number in fresh
        ]
        features, _ = features_of(self._encoder, pixels)
        found: list[bytes | None] = [None] * len(shapes)
        for number, feature in zip(fresh, features, strict=True):
            found[number] = feature.tobytes()
        place = table.schema.get_field_index("feature")
        return table.set_column(place, "feature", pa.array(found, pa.binary())).select(schema().names)


def _write(table: pyarrow.Table, parts: Parts) -> pyarrow.Table:
    import pyarrow as pa

    return pa.table({"part": [parts.write(table)], "count": [len(table)]})


@lru_cache(maxsize=1)
def _encoder(make: MakeEncoder) -> Encoder:
    return make()


@lru_cache(maxsize=1)
def _downloader(limits: DownloadLimits) -> Downloader:
    """One for a worker's process, so that it keeps to its share of the rate."""
    return Downloader(limits)


def _listed(wanted: Wanted) -> dict[str, Any]:
    size, mtime = wanted.stamp or (None, None)
    source = wanted.picture.source
    return {"source": source, "size": size, "mtime": mtime, "inside": wanted.picture.read is not None}


def _decoded(row: dict[str, Any], prepare: Callable[[Any], Any], limits: DownloadLimits) -> dict[str, Any]:
    source, stamp = row["source"], (row["size"], row["mtime"]) if row["size"] is not None else None
    read = partial(_bytes_at, source, limits) if row["inside"] else None
    done: dict[str, Any] = {"source": source, "size": row["size"], "mtime": row["mtime"], "content": b""}
    done |= {"thumbnail": b"", "error": "", "cause": "", "lasting": True}
    try:
        found = read_picture(Wanted(PictureFile(source, read=read), stamp, None))
        done["content"] = found.content
        loaded = open_picture(found, prepare=prepare)
    except ImageError as error:
        lasting = not isinstance(error, TemporaryImageError)
        return {**done, "error": error.message, "cause": error.cause, "lasting": lasting}
    pixels = np.ascontiguousarray(loaded.picture, dtype=np.float32)
    facts = loaded.facts
    said = {name: getattr(facts, name) for name in _FACTS} if facts is not None else None
    done |= {"content": loaded.read.content, "thumbnail": loaded.thumbnail, "facts": said}
    return {**done, "pixels": pixels.tobytes(), "shape": list(pixels.shape)}


def _bytes_at(source: str, limits: DownloadLimits) -> bytes:
    if is_url(source):
        return _downloader(limits)(source)
    if (data := read_inside(source)) is None:
        raise ImageError(f"A worker can't see {source}.", "Pictures must be in a folder that all of them share.")
    return data


# --- on the driver ---


def _embedded(wanted: Wanted, row: PartRow | None) -> Embedded:
    if row is None:
        error: ImageError = TemporaryImageError(f"{wanted.picture.source} is in no shard.", cause="lost shard")
        return Embedded(Read(wanted, b""), error=error)
    if row["error"]:
        kind = ImageError if row["lasting"] else TemporaryImageError
        return Embedded(Read(wanted, row["content"]), error=kind(row["error"], cause=row["cause"]))
    feature = np.frombuffer(row["feature"] or b"", dtype=np.float16)
    facts = Facts(**row["facts"]) if row["facts"] is not None else None
    return Embedded(Read(wanted, row["content"]), feature, row["thumbnail"], facts)
