"""From a store to an index: the features pass through a bridge's projection into FAISS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from index.errors import FingerprintError, StoreError
from index.faiss_index import ImageIndex, build_index, choose_kind, exact_kind, new_index, training_size
from index.lock import BuilderLock
from index.manifest import IndexManifest
from index.progress import Progress
from index.store import FeatureStore

Project = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


def derive_index(
    store: FeatureStore | str | Path,
    project: Project,
    bridge_fingerprint: str,
    out: str | Path | None = None,
    *,
    kind: str | None = None,
    block_size: int = 8192,
    progress: Progress | None = None,
    model: str = "",
) -> IndexManifest:
    """Index a store for a bridge, from its features alone: no picture is opened.

    A store that holds a bridge's own image embeddings is indexed as is, for that bridge only.

    Args:
        store: the store, or its folder.
        project: features (n, dim) float32 -> image embeddings (n, R) float32, unit norm.
        bridge_fingerprint: of the bridge and encoder behind `project`.
        out: the index folder; by default the store's own.
        kind: a FAISS factory string; by default chosen by size.
        block_size: features per call of `project`.
        progress: called with the rows projected.
        model: the model behind `project`, as `--model` takes it from any folder.

    Raises:
        FingerprintError: the store holds the image embeddings of another bridge.
        StoreError: the store is missing or damaged, `out` can't be written to, or another builder is at work there.
    """
    folder = store.path if isinstance(store, FeatureStore) else Path(store)
    FeatureStore.open(folder).close()  # before the lock, which makes a folder that is missing
    with BuilderLock(Path(out or folder)), closing(FeatureStore.open(folder)) as opened:
        return _derive(opened, project, bridge_fingerprint, Path(out or folder), kind, block_size, progress, model)


def index_in_memory(store: FeatureStore, project: Project, fingerprint: str, *, block_size: int = 8192) -> ImageIndex:
    """An exact index of a store's live rows that is in no file: for another space than that of the index on disk.

    Args:
        store: the store of an encoder's features.
        project: features (n, dim) float32 -> vectors (n, R) float32, unit norm.
        fingerprint: of what is behind `project`.
        block_size: features per call of `project`.

    Raises:
        StoreError: the store can't be read, or has no rows.
    """
    ids = store.live_ids()
    if not len(ids):
        raise StoreError(f"The store at {store.path} has no pictures.")
    kind = exact_kind(len(ids))
    index = new_index(kind, project(store.read_features(ids[:1])).shape[1], None)
    for start in range(0, len(ids), block_size):
        block = ids[start : start + block_size]
        index.add_with_ids(np.ascontiguousarray(project(store.read_features(block))), block)
    manifest = IndexManifest(
        dim=index.d,
        count=index.ntotal,
        file_bytes=0,
        kind=kind,
        bridge_fingerprint=fingerprint,
        encoder_fingerprint=store.encoder_fingerprint,
        faiss_version="",
    )
    return ImageIndex(store.path, manifest, store, index)


def _derive(
    opened: FeatureStore,
    project: Project,
    bridge_fingerprint: str,
    out: Path,
    kind: str | None,
    block_size: int,
    progress: Progress | None,
    model: str,
) -> IndexManifest:
    if (made_by := opened.bridge_fingerprint) is not None:
        if made_by != bridge_fingerprint:
            raise FingerprintError(
                f"The store at {opened.path} holds image embeddings that another model made; "
                "they can't be turned into this model's.",
                "Build an index from the pictures themselves, or import embeddings of this model.",
            )
        project = _unchanged
    ids = opened.live_ids()
    kind = kind or choose_kind(len(ids))

    def project_rows(wanted: npt.NDArray[np.int64], report: Progress | None) -> Iterator[npt.NDArray[np.float32]]:
        for start in range(0, len(wanted), block_size):
            block = wanted[start : start + block_size]
            yield project(opened.read_features(block))
            if report:
                report(start + len(block), len(wanted))

    training = None
    if size := training_size(kind, len(ids)):
        sample = np.sort(np.random.default_rng(0).choice(ids, size, replace=False))
        training = np.concatenate(list(project_rows(sample, None)))
    blocks = project_rows(ids, progress)
    return build_index(opened, ids, blocks, bridge_fingerprint, out, kind=kind, training=training, model=model)


def _unchanged(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return vectors
