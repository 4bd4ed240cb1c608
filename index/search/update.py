"""An index follows its store: what is new is added and what is gone removed, without training or indexing the rest."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from index.errors import StoreError
from index.files import crc_of, write_bytes
from index.search.changes_file import CHANGES, Changes, changes_name, features_crc, no_changes
from index.search.faiss_build import INDEX_FILE, checked, write_index
from index.search.layers import take_apart
from index.search.policy import Plan, is_exact
from index.store.feature_store import FeatureStore
from index.store.manifest import INDEX_MANIFEST, IndexManifest, storage_errors

LEAST_UPDATED = 20_000
"""A smaller index is made anew: that takes a moment, and leaves one file."""
MOST_CHANGES = 20_000
"""Of a changes file, and a fiftieth of the index: beyond that its vectors go into the FAISS file."""
MOST_REMOVED = 0.2
MOST_GROWTH = 2.0
"""An index that has grown by more than this was trained for another number of pictures."""

Ids = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


def update_index(
    store: FeatureStore,
    live: Ids,
    project_rows: Callable[[Ids], Iterable[Vectors]],
    bridge_fingerprint: str,
    out: Path,
    plan: Plan,
    model: str = "",
) -> IndexManifest | None:
    """Bring the index at `out` up to date with its store. The caller holds the `BuilderLock` of `out`.

    Args:
        store: the store, opened.
        live: its live ids, ascending.
        project_rows: ids, ascending -> blocks of their image embeddings.
        bridge_fingerprint: of the bridge that makes them.
        out: the index folder.
        plan: what the index would be if it were made anew.
        model: the model's name, kept in the manifest.

    Returns:
        None where the index has to be made anew: it is missing, small or damaged, of another bridge, store or plan, or
        has changed too much.

    Raises:
        StoreError: `out` can't be written to.
    """
    try:
        manifest = IndexManifest.read(out / INDEX_MANIFEST)
        if not _continues(manifest, store, out, bridge_fingerprint, plan):
            return None
        with storage_errors(out, "read"):
            if crc_of(out / INDEX_FILE) != manifest.file_crc:
                return None
        indexed = _file_ids(out)
        before = no_changes(manifest.dim)
        if manifest.changes:
            before = Changes.read(out, manifest.changes, manifest.changes_crc, manifest.dim)
    except StoreError:
        return None
    manifest = dataclasses.replace(
        manifest,
        model=model,
        count=len(live),
        is_compact=plan.is_compact,
        store_rows=len(store),
        store_crc=features_crc(store, len(store)),
    )
    removed = np.setdiff1d(indexed, live, assume_unique=True)
    if len(removed) > MOST_REMOVED * len(indexed) or len(live) > MOST_GROWTH * len(indexed):
        return None
    kept = np.isin(before.ids, live)
    new = np.setdiff1d(live, np.union1d(indexed, before.ids[kept]), assume_unique=True)
    vectors = [checked(block, "The image embeddings") for block in project_rows(new)] if len(new) else []
    changes = Changes(
        np.concatenate([before.ids[kept], new]),
        np.concatenate([before.vectors[kept], *(block.astype(np.float16) for block in vectors)]),
        removed,
    )
    if len(changes.vectors) != len(changes.ids) or (len(new) and new[0] <= indexed[-1]):
        return None
    if len(changes.ids) > min(MOST_CHANGES, len(indexed) // 50):
        return _folded(out, manifest, changes)
    return _beside(out, manifest, changes)


def _continues(manifest: IndexManifest, store: FeatureStore, out: Path, bridge_fingerprint: str, plan: Plan) -> bool:
    """Whether an index is of the same store and bridge, and as good as the plan's."""
    return (
        manifest.count >= LEAST_UPDATED
        and manifest.bridge_fingerprint == bridge_fingerprint
        and manifest.encoder_fingerprint == store.encoder_fingerprint
        and (out / manifest.store).resolve() == store.path.resolve()
        and manifest.kind.startswith("IDMap,")
        and _satisfies(manifest, plan)
        and 0 < manifest.store_rows <= len(store)
        and manifest.store_crc != 0
        and manifest.store_crc == features_crc(store, manifest.store_rows)
    )


def _satisfies(manifest: IndexManifest, plan: Plan) -> bool:
    """Whether what an index was tuned to is as much as the plan wishes."""
    if plan.is_certain:
        return manifest.kind == plan.kind and manifest.wished_recall >= plan.recall
    if is_exact(plan.kind):
        return is_exact(manifest.kind)
    if is_exact(manifest.kind):  # an exact index in place of lists that would have missed too many
        return manifest.wished_recall < 1.0 and not plan.is_compact
    return manifest.wished_recall >= plan.recall


def _file_ids(out: Path) -> Ids:
    """Ids in the FAISS file, ascending."""
    try:
        layers = take_apart(faiss.read_index(str(out / INDEX_FILE), faiss.IO_FLAG_MMAP_IFC))
    except RuntimeError as error:
        raise StoreError(f"{out / INDEX_FILE} is damaged.") from error
    return layers.ids.copy() if layers.ids is not None else np.arange(layers.whole.ntotal)


def _beside(out: Path, manifest: IndexManifest, changes: Changes) -> IndexManifest:
    """Write the changes file, then the manifest that names it; the FAISS file stays."""
    data = changes.to_bytes() if len(changes) else b""
    manifest = _with_changes(manifest, changes, data)
    with storage_errors(out, "write to"):
        if data:
            write_bytes(out / manifest.changes, data)
        manifest.write(out / INDEX_MANIFEST)
        for old in out.glob(f"{CHANGES}-*.npz"):
            if old.name != manifest.changes:
                old.unlink(missing_ok=True)
    return manifest


def _folded(out: Path, manifest: IndexManifest, changes: Changes) -> IndexManifest:
    """Write the FAISS file anew with what was added; what was removed is still listed beside it."""
    index = faiss.read_index(str(out / INDEX_FILE))
    index.add_with_ids(np.ascontiguousarray(changes.vectors, dtype=np.float32), changes.ids)
    none = no_changes(manifest.dim)
    rest = Changes(none.ids, none.vectors, changes.removed)
    data = rest.to_bytes() if len(rest) else b""
    manifest = _with_changes(manifest, rest, data)
    if data:
        with storage_errors(out, "write to"):
            write_bytes(out / manifest.changes, data)
    return write_index(index, manifest, out)


def _with_changes(manifest: IndexManifest, changes: Changes, data: bytes) -> IndexManifest:
    return dataclasses.replace(
        manifest,
        changes=changes_name(data) if data else "",
        changes_crc=zlib.crc32(data) if data else 0,
        added=len(changes.ids),
        removed=len(changes.removed),
    )
