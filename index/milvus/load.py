"""From a store to a collection in Milvus, block by block, and again after a change."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from index.errors import FingerprintError, StoreError
from index.milvus.milvus_index import expression
from index.milvus.rows import (
    CAPTION,
    CONTENT,
    EMBEDDING,
    ID,
    LONGEST_TEXT,
    NUMBERS,
    SOURCE,
    TAKEN,
    THUMBNAIL,
    entity_of,
)
from index.milvus.server import SECONDS, About, MilvusAddress, connect, milvus_errors
from index.progress import Progress
from index.search.derive import Project
from index.store.feature_store import FeatureStore

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient

EXACT_LIMIT = 100_000
BLOCK = 500  # entities of one request: some 10 MB with their thumbnails, of the 64 that a server takes
REQUEST_SECONDS = 120.0
BUILD_PARAMS: dict[str, dict[str, int]] = {
    "HNSW": {"M": 32, "efConstruction": 200},
    "HNSW_SQ": {"M": 32, "efConstruction": 200},
    "IVF_FLAT": {"nlist": 4096},
    "IVF_SQ8": {"nlist": 4096},
}
KINDS = ("FLAT", "HNSW", "HNSW_SQ", "IVF_FLAT", "IVF_SQ8", "DISKANN", "AUTOINDEX")


@dataclass(frozen=True)
class LoadReport:
    """What a load did.

    Attributes:
        added: pictures sent.
        removed: pictures taken out.
        total: pictures that can be found now.
        kind: of the index.
    """

    added: int
    removed: int
    total: int
    kind: str


def choose_kind(count: int) -> str:
    """Exact search up to `EXACT_LIMIT` pictures, a graph beyond."""
    return "FLAT" if count <= EXACT_LIMIT else "HNSW"


def check_kind(kind: str | None) -> None:
    """Raises StoreError unless a kind is one of `KINDS`, or None."""
    if kind is not None and kind not in KINDS:
        raise StoreError(f"Milvus has no index of the kind {kind}.", f"Name one of {', '.join(KINDS)}.")


def load_collection(
    store: FeatureStore | str | Path,
    project: Project,
    bridge_fingerprint: str,
    address: str | Path,
    *,
    kind: str | None = None,
    again: bool = False,
    thumbnails: bool = True,
    progress: Progress | None = None,
    model: str = "",
) -> LoadReport:
    """Load a store into a collection, or bring one that was loaded from it up to date.

    Pictures go in the order of their ids: an interrupted load goes on where it stopped. Captions that changed need
    `again`.

    Args:
        store: the store, or its folder.
        project: features (n, dim) float32 -> image embeddings (n, R) float32, unit norm.
        bridge_fingerprint: of the bridge and encoder behind `project`.
        address: as `MilvusAddress.parse` takes it.
        kind: of the index, one of `KINDS`; by default chosen by size.
        again: drop a collection that is there first.
        thumbnails: send the small pictures along.
        progress: called with the pictures sent.
        model: the model behind `project`, as `--model` takes it from any folder.

    Raises:
        FingerprintError: another model made the collection, or the store's image embeddings.
        StoreError: the store is damaged, the server doesn't answer, or the collection holds other pictures.
    """
    check_kind(kind)
    place = MilvusAddress.parse(address)
    folder = store.path if isinstance(store, FeatureStore) else Path(store)
    with closing(FeatureStore.open(folder)) as opened, closing(connect(place, create=True)) as client:
        if (made_by := opened.bridge_fingerprint) not in (None, bridge_fingerprint):
            raise FingerprintError(f"The store at {folder} holds image embeddings that another model made.")
        load = _Load(client, place, opened, project if made_by is None else _unchanged)
        ids = opened.live_ids()
        width = load.width(ids)
        wanted = About(
            bridge_fingerprint,
            opened.encoder_fingerprint,
            width,
            kind or choose_kind(len(ids)),
            model,
            str(folder.absolute()),
            thumbnails,
        )
        about = load.begin(wanted, again, is_named=kind is not None)
        return load.bring_up_to_date(about, ids, progress)


class _Load:
    """One run of `load_collection`."""

    def __init__(self, client: MilvusClient, address: MilvusAddress, store: FeatureStore, project: Project) -> None:
        self.client, self.address, self.store, self.project = client, address, store, project
        self.name = address.collection

    def width(self, ids: npt.NDArray[np.int64]) -> int:
        if not len(ids):
            raise StoreError(f"The store at {self.store.path} has no pictures.")
        return int(self.project(self.store.read_features(ids[:1])).shape[1])

    def begin(self, wanted: About, again: bool, *, is_named: bool) -> About:
        """Make the collection, or check that the one that is there is this store's."""
        with milvus_errors(self.address):
            exists = self.client.has_collection(self.name, timeout=SECONDS)
            if exists and again:
                self.client.drop_collection(self.name, timeout=REQUEST_SECONDS)
            if not exists or again:
                self._create(wanted)
        about = About.read(self.client, self.address)
        other = "Name another collection, or add --replace to drop this one."
        if about.bridge_fingerprint != wanted.bridge_fingerprint:
            raise FingerprintError(f"Another model made the index {self.address}.", other)
        is_alike = (about.store, about.thumbnails) == (wanted.store, wanted.thumbnails)
        if not is_alike or (is_named and about.kind != wanted.kind):
            raise StoreError(f"The index {self.address} was loaded from {about.store}, or in another way.", other)
        return about

    def bring_up_to_date(self, about: About, ids: npt.NDArray[np.int64], progress: Progress | None) -> LoadReport:
        """Take out what is gone and send what is new; `ids` are those that shall be there, ascending."""
        with milvus_errors(self.address):
            self.client.load_collection(self.name, timeout=REQUEST_SECONDS)
            begun, before = self._first_missing(), self._count()
            for block in _blocks(np.setdiff1d(np.arange(begun), ids)):
                self.client.delete(self.name, filter=expression(block), timeout=REQUEST_SECONDS)
            # Of the last block that was sent only a part may be there.
            new = ids[ids >= begun - BLOCK]
            for number, block in enumerate(_blocks(new)):
                send = self.client.upsert if block[0] < begun else self.client.insert
                send(self.name, self._entities(block, about.thumbnails), timeout=REQUEST_SECONDS)
                if progress:
                    progress(number * BLOCK + len(block), len(new))
            self.client.flush(self.name, timeout=REQUEST_SECONDS)
            total = self._count()
            finished = replace(about, count=total)
            self.client.alter_collection_properties(self.name, finished.properties(), timeout=REQUEST_SECONDS)
        added = int((ids >= begun).sum())
        return LoadReport(added, max(0, before + added - total), total, about.kind)

    def _create(self, about: About) -> None:
        params = self.client.prepare_index_params()
        options: dict[str, Any] = {"params": BUILD_PARAMS.get(about.kind, {})}
        params.add_index(EMBEDDING, index_type=about.kind, metric_type="IP", **options)
        self.client.create_collection(
            self.name,
            schema=self._schema(about.dim),
            index_params=params,
            properties=about.properties(),
            timeout=REQUEST_SECONDS,
        )

    def _schema(self, dim: int) -> CollectionSchema:
        from pymilvus import DataType

        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(ID, DataType.INT64, is_primary=True)
        schema.add_field(EMBEDDING, DataType.FLOAT_VECTOR, dim=dim)
        for name in (SOURCE, CAPTION, THUMBNAIL, TAKEN, CONTENT):
            schema.add_field(name, DataType.VARCHAR, max_length=LONGEST_TEXT, mmap_enabled=True)
        for name in NUMBERS:
            schema.add_field(name, DataType.INT64, nullable=True)
        return schema

    def _entities(self, ids: npt.NDArray[np.int64], thumbnails: bool) -> list[dict[str, Any]]:
        vectors = self.project(self.store.read_features(ids)).astype(np.float32)
        entities = []
        facts = self.store.facts(ids.tolist())
        for id, vector, known in zip(ids.tolist(), vectors, facts, strict=True):
            source, caption = self.store.row(id)
            picture = base64.b64encode(self.store.thumbnail(id)).decode() if thumbnails else ""
            entities.append(
                {
                    ID: id,
                    EMBEDDING: vector,
                    SOURCE: source,
                    CAPTION: caption,
                    THUMBNAIL: picture if len(picture) <= LONGEST_TEXT else "",
                    **entity_of(known),
                }
            )
        return entities

    def _first_missing(self) -> int:
        """One more than the highest id in the collection; 0 for an empty one. By bisection: Milvus knows no maximum."""
        low, high = 0, len(self.store)
        while low < high:
            middle = (low + high) // 2
            if self.client.query(self.name, filter=f"{ID} >= {middle}", output_fields=[ID], limit=1, timeout=SECONDS):
                low = middle + 1
            else:
                high = middle
        return low

    def _count(self) -> int:
        return int(self.client.query(self.name, filter="", output_fields=["count(*)"], timeout=SECONDS)[0]["count(*)"])


def _blocks(ids: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, len(ids), BLOCK):
        yield ids[start : start + BLOCK]


def _unchanged(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return vectors
