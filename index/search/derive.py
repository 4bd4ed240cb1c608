"""From a store to an index: the features pass through a bridge's projection into FAISS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil

from index.errors import FingerprintError, StoreError
from index.progress import Progress
from index.search.faiss_build import build_index, described, fill
from index.search.faiss_index import ImageIndex
from index.search.finding import Finder
from index.search.layers import take_apart
from index.search.policy import IndexOptions, Plan, choose_plan, exact_plan, training_size
from index.search.selection import Part
from index.search.update import update_index
from index.store.feature_store import FeatureStore
from index.store.lock import BuilderLock
from index.store.manifest import IndexManifest

Vectors = npt.NDArray[np.float32]
Project = Callable[[Vectors], Vectors]


def derive_index(
    store: FeatureStore | str | Path,
    project: Project,
    bridge_fingerprint: str,
    out: str | Path | None = None,
    *,
    kind: str | None = None,
    options: IndexOptions = IndexOptions(),
    queries: npt.NDArray[np.float32] | None = None,
    block_size: int = 8192,
    progress: Progress | None = None,
    model: str = "",
) -> IndexManifest:
    """Index a store for a bridge, from its features alone: no picture is opened.

    A store that holds a bridge's own image embeddings is indexed as is, for that bridge only. A large index of the
    store that is there already is brought up to date (`index.search.update`).

    Args:
        store: the store, or its folder.
        project: features (n, dim) float32 -> image embeddings (n, R) float32, unit norm.
        bridge_fingerprint: of the bridge and encoder behind `project`.
        out: the index folder; by default the store's own.
        kind: a FAISS factory string, in place of that of `options`.
        options: what the index is to be like.
        queries: (Q, R) of unit norm, such as will be asked, to tune the index on; by default noisy rows.
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
        plans = replace(options, kind=kind) if kind is not None else options
        rows = _Projected(opened, project, bridge_fingerprint, block_size)
        return _derive(rows, Path(out or folder), plans, queries, progress, model)


class _Projected:
    """The image embeddings of a store's rows."""

    def __init__(self, store: FeatureStore, project: Project, bridge_fingerprint: str, block_size: int) -> None:
        if (made_by := store.bridge_fingerprint) is not None:
            if made_by != bridge_fingerprint:
                raise FingerprintError(
                    f"The store at {store.path} holds image embeddings that another model made; "
                    "they can't be turned into this model's.",
                    "Build an index from the pictures themselves, or import embeddings of this model.",
                )
            project = _unchanged
        self.store, self.project = store, project
        self.bridge_fingerprint, self.block_size = bridge_fingerprint, block_size

    def blocks(self, ids: npt.NDArray[np.int64], report: Progress | None = None) -> Iterator[Vectors]:
        """Blocks of the rows with these ids, ascending."""
        for start in range(0, len(ids), self.block_size):
            block = ids[start : start + self.block_size]
            yield self.project(self.store.read_features(block))
            if report:
                report(start + len(block), len(ids))

    def sample(self, ids: npt.NDArray[np.int64], size: int) -> Vectors:
        """A random sample of the rows, in random order."""
        rng = np.random.default_rng(0)
        sample = np.concatenate(list(self.blocks(np.sort(rng.choice(ids, size, replace=False)))))
        return sample[rng.permutation(len(sample))]


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
    blocks = (project(store.read_features(ids[at : at + block_size])) for at in range(0, len(ids), block_size))
    built = fill(exact_plan(len(ids), "it is in no file"), ids, blocks, None)
    if built is None:
        raise StoreError(f"The vectors don't fit the store at {store.path}.")
    manifest = replace(described(built), bridge_fingerprint=fingerprint, encoder_fingerprint=store.encoder_fingerprint)
    return ImageIndex(store.path, manifest, store, [Part(Finder(take_apart(built.index)))])


def _derive(
    rows: _Projected,
    out: Path,
    options: IndexOptions,
    queries: Vectors | None,
    progress: Progress | None,
    model: str,
) -> IndexManifest:
    store, fingerprint = rows.store, rows.bridge_fingerprint
    ids = store.live_ids()
    plan = _plan(rows, ids, options)
    manifest = update_index(store, ids, lambda new: rows.blocks(new, progress), fingerprint, out, plan, model)
    if manifest is not None:
        return manifest
    size = training_size(plan.kind, len(ids))
    training = rows.sample(ids, size) if size else None
    return build_index(
        store,
        ids,
        rows.blocks(ids, progress),
        fingerprint,
        out,
        plan=plan,
        training=training,
        queries=queries,
        model=model,
    )


def _plan(rows: _Projected, ids: npt.NDArray[np.int64], options: IndexOptions) -> Plan:
    if options.kind is not None:
        return Plan.given(options.kind, options.recall, options.compact)
    dim = next(iter(rows.blocks(ids[:1]))).shape[1] if len(ids) else 1
    memory = psutil.virtual_memory().available
    return choose_plan(len(ids), dim, recall=options.recall, compact=options.compact, memory=memory)


def _unchanged(vectors: Vectors) -> Vectors:
    return vectors
