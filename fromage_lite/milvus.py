"""Making an index searchable for more than one machine: its pictures in Milvus, under a model's projection."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from fromage_lite.indexing import Bar, Embedder, check_encoder, no_bar
from index.milvus.load import LoadReport, check_kind, load_collection
from index.milvus.server import MilvusAddress, connect
from index.store.feature_store import FeatureStore


def index_in_milvus(
    store: Path,
    address: str,
    load: Callable[[], Embedder],
    *,
    kind: str | None = None,
    thumbnails: bool = True,
    again: bool = False,
    bar: Bar = no_bar,
) -> LoadReport:
    """Loads the pictures of a store into a collection in Milvus, or brings that up to date.

    Args:
        store: the store's folder.
        address: as `MilvusAddress.parse` takes it.
        load: gives the model, with the encoder that made the features; asked once store and server are known to be
            there.
        kind, thumbnails, again: as for `load_collection`.
        bar: shows the progress.

    Raises:
        FingerprintError: another encoder made the features, or another model the collection.
        StoreError: the store is damaged, the server doesn't answer, or the collection holds other pictures.
    """
    check_kind(kind)
    FeatureStore.open(store).close()
    connect(MilvusAddress.parse(address), create=True).close()
    embedder = load()
    with closing(FeatureStore.open(store)) as opened, bar("Loading", "picture") as progress:
        check_encoder(opened, embedder)
        return load_collection(
            opened,
            embedder.project,
            embedder.fingerprint,
            address,
            kind=kind,
            thumbnails=thumbnails,
            again=again,
            progress=progress,
            model=embedder.name,
        )
