"""Opening an index by its name, wherever it is."""

from __future__ import annotations

from pathlib import Path

from index.hits import Retriever
from index.milvus_server import is_milvus


def open_retriever(index: str | Path, bridge_fingerprint: str | None = None, model: str | None = None) -> Retriever:
    """Open an index folder, or a collection in Milvus.

    Args:
        index: the folder, or an address as `MilvusAddress.parse` takes it.
        bridge_fingerprint: fingerprint of the model that will search; None skips the check.
        model: the model's name, for the command in the error's hint.

    Raises:
        FingerprintError: another bridge or encoder made the index.
        StoreError: there is no index, it is damaged, or its server doesn't answer.
    """
    if is_milvus(index):
        from index.milvus import MilvusIndex

        return MilvusIndex.open(index, bridge_fingerprint, model)
    from index.faiss_index import ImageIndex

    return ImageIndex.open(index, bridge_fingerprint, model)
