"""Making an index searchable for more than one machine: its pictures in Milvus, under a model's projection."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from fromage_lite.choice import lasting_name
from fromage_lite.indexing import Bar, check_encoder, no_bar
from fromage_lite.model.fromage import Fromage
from fromage_lite.model.projection import projection
from index.milvus_load import LoadReport, load_collection
from index.milvus_server import MilvusAddress, connect
from index.store import FeatureStore


def index_in_milvus(
    store: Path,
    address: str,
    model: Callable[[], Fromage],
    model_name: str | Path,
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
        model: gives the bridge, with the encoder that made the features; asked once store and server are known to be
            there.
        model_name: by which it is loaded; the collection keeps it.
        kind, thumbnails, again: as for `load_collection`.
        bar: shows the progress.

    Raises:
        FingerprintError: another encoder made the features, or another model the collection.
        StoreError: the store is damaged, the server doesn't answer, or the collection holds other pictures.
    """
    FeatureStore.open(store).close()
    connect(MilvusAddress.parse(address), create=True).close()
    bridge = model()
    with closing(FeatureStore.open(store)) as opened, bar("Loading", "picture") as progress:
        check_encoder(opened, bridge)
        return load_collection(
            opened,
            projection(bridge),
            bridge.fingerprint(),
            address,
            kind=kind,
            thumbnails=thumbnails,
            again=again,
            progress=progress,
            model=lasting_name(model_name),
        )
