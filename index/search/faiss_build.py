"""Making a FAISS index: training, filling, tuning, writing."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from index.errors import StoreError
from index.files import crc_of, replacing, sync_folder
from index.search.centroids import train_index
from index.search.changes_file import CHANGES, features_crc
from index.search.layers import Layers, take_apart
from index.search.policy import Plan, choose_plan, exact_plan, is_exact
from index.search.tuning import HELD_OUT, HeldOut, Tuned, noisy, tune
from index.store.feature_store import FeatureStore
from index.store.manifest import INDEX_MANIFEST, IndexManifest, storage_errors

INDEX_FILE = "index.faiss"
NORM_TOLERANCE = 1e-2
QUERY_BITS = 8  # a number of a query, where RaBitQ compares it with bits
BLOCK = 65_536

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Built:
    """An index in memory.

    Attributes:
        index: FAISS's.
        plan: as what it was planned, or what it became.
        tuned: what came of tuning.
    """

    index: Any
    plan: Plan
    tuned: Tuned


def new_index(kind: str, dim: int, training: Vectors | None, held_out: int = 0) -> Any:
    """An empty, trained FAISS index of the kind, for inner products of width `dim`.

    Args:
        kind: FAISS factory string.
        dim: width of the vectors.
        training: (n, dim) a random sample, for kinds that need training.
        held_out: so many of them, the first, have no part in the centroids.

    Raises:
        StoreError: FAISS knows no such kind, or it needs more training vectors.
    """
    # Of vectors of unit norm both metrics find the same. With RaBitQ in lists the products were far less exact than the
    # distances: of the nearest ten of 100,000 unstructured vectors, 59 % against 90 % among 1,000 candidates.
    metric = faiss.METRIC_L2 if "RaBitQ" in kind else faiss.METRIC_INNER_PRODUCT
    try:
        index = faiss.index_factory(dim, kind, metric)
    except RuntimeError as error:
        raise StoreError(
            f"FAISS can't make an index of the kind {kind} for vectors of width {dim}.",
            "Its wiki lists what there is: https://github.com/facebookresearch/faiss/wiki/The-index-factory",
        ) from error
    if not index.is_trained:
        sample = checked(training if training is not None else np.empty((0, dim)), "The training vectors")
        lists = take_apart(index).lists
        if lists is not None and len(sample) - held_out < lists.nlist:
            raise StoreError(
                f"{lists.nlist:,} inverted lists need at least as many pictures to be trained on; "
                f"there are {len(sample) - held_out:,}.",
                "Ask for fewer lists, or for none.",
            )
        try:
            train_index(index, sample, held_out)
        except RuntimeError as error:
            raise StoreError(f"FAISS can't train an index of the kind {kind} on {len(sample):,} vectors.") from error
    lists = take_apart(index).lists
    if lists is not None:
        lists.nprobe = min(64, lists.nlist)
        if isinstance(lists, faiss.IndexIVFRaBitQ):
            lists.qb = QUERY_BITS
    return index


def fill(
    plan: Plan, ids: Ids, blocks: Iterable[Vectors], sample: Vectors | None, queries: Vectors | None = None
) -> Built | None:
    """Train, fill and tune an index; where an index with lists misses the wished recall, make an exact one of it.

    Args:
        plan: its kind.
        ids: (n,) ascending.
        blocks: blocks of (m, R) of unit norm, one vector for each of `ids` in all.
        sample: a random sample of them to train and tune on, for kinds that need it.
        queries: (Q, R) held-out queries to tune on; by default noisy rows of the sample, which it isn't trained on.

    Returns:
        None if the vectors don't fit the ids.
    """
    held_out, kept = None, 0
    if sample is not None:
        if queries is None:
            kept = min(HELD_OUT, len(sample) // 8)
            queries = noisy(sample[:kept])
        held_out = HeldOut(queries) if len(queries) else None
    index, done = None, 0
    for block in blocks:
        vectors = checked(block, "The image embeddings")
        if index is None:
            index = new_index(plan.kind, vectors.shape[1], sample, kept)
        if vectors.shape[1] != index.d or done + len(vectors) > len(ids):
            return None
        index.add_with_ids(vectors, ids[done : done + len(vectors)])
        if held_out is not None:
            held_out.add(vectors, done)
        done += len(vectors)
    if index is None or done != len(ids):
        return None
    return _tuned(index, plan, held_out)


def _tuned(index: Any, plan: Plan, held_out: HeldOut | None) -> Built:
    if is_exact(plan.kind):
        return Built(index, plan, Tuned(0, 0, 1.0))
    layers = take_apart(index)
    # Without a map of ids the positions in the lists are ids: there the nearest aren't known by position.
    if held_out is None or (layers.ids is None and layers.end != index.ntotal):
        return Built(index, plan, Tuned(0, 0, 0.0))
    tuned = tune(layers, held_out, plan.recall)
    if plan.is_certain or plan.is_compact or tuned.recall >= plan.recall or layers.matrix is None:
        return Built(index, plan, tuned)
    exact = exact_plan(index.ntotal, f"an approximate index would find {tuned.recall:.1%} of the nearest ten at most")
    return Built(_exact(layers, exact), dataclasses.replace(exact, recall=plan.recall), Tuned(0, 0, 1.0))


def _exact(layers: Layers, plan: Plan) -> Any:
    """An exact index of the vectors of another."""
    assert layers.matrix is not None
    index = new_index(plan.kind, layers.matrix.shape[1], None)
    ids = layers.ids if layers.ids is not None else np.arange(len(layers.matrix))
    for start in range(0, len(layers.matrix), BLOCK):
        block = layers.matrix[start : start + BLOCK]
        index.add_with_ids(np.ascontiguousarray(block, dtype=np.float32), ids[start : start + len(block)])
    return index


def build_index(
    store: FeatureStore,
    ids: Ids,
    vectors_blocks: Iterable[Vectors],
    bridge_fingerprint: str,
    out: str | Path,
    *,
    kind: str | None = None,
    plan: Plan | None = None,
    training: Vectors | None = None,
    queries: Vectors | None = None,
    model: str = "",
) -> IndexManifest:
    """Write the index of a store's live rows to `out`, which may be the store's own folder.

    The caller holds the `BuilderLock` of `out`.

    Args:
        store: where rows and thumbnails are looked up later; `out` refers to it and copies none of it.
        ids: (live,) ascending, `store.live_ids()`, taken once: a builder may remove rows meanwhile.
        vectors_blocks: blocks of (n, R), unit norm, in all one vector for each of `ids`, in that order.
        bridge_fingerprint: the bridge (and encoder) that made the vectors.
        out: the index folder.
        kind: a FAISS factory string, in place of a plan.
        plan: the kind and why; by default exact.
        training: (n, R), a random sample, for kinds that need training.
        queries: (Q, R), to tune on; by default noisy rows of the sample.
        model: the model that made the vectors, as `--model` takes it from any folder; "" if that isn't known.

    Raises:
        StoreError: the vectors don't fit the store or aren't of unit norm, or `out` can't be written to.
    """
    if kind is not None:
        plan = Plan.given(kind)
    elif plan is None:
        plan = choose_plan(len(ids), 1, recall=1.0)
    built = fill(plan, ids, vectors_blocks, training, queries)
    if built is None:
        raise StoreError(f"The image embeddings don't fit the store at {store.path}: it has {len(ids)} live rows.")
    manifest = dataclasses.replace(
        described(built),
        bridge_fingerprint=bridge_fingerprint,
        encoder_fingerprint=store.encoder_fingerprint,
        store=Path(os.path.relpath(store.path.resolve(), Path(out).resolve())).as_posix(),
        model=model,
        store_rows=len(store),
        store_crc=features_crc(store, len(store)),
    )
    return write_index(built.index, manifest, Path(out))


def described(built: Built) -> IndexManifest:
    """The manifest of an index, as far as it doesn't depend on its store and model."""
    return IndexManifest(
        dim=built.index.d,
        count=built.index.ntotal,
        file_bytes=0,
        kind=built.plan.kind,
        bridge_fingerprint="",
        encoder_fingerprint="",
        faiss_version=faiss.__version__,
        reason=explained(built),
        is_compact=built.plan.is_compact,
        wished_recall=built.plan.recall,
        recall=built.tuned.recall,
        probes=built.tuned.probes,
        factor=built.tuned.factor,
    )


def explained(built: Built) -> str:
    """Why an index is what it is, and how it was tuned, in a sentence or two."""
    tuned = built.tuned
    if not tuned.probes:
        return built.plan.reason
    lists = faiss.extract_index_ivf(built.index).nlist
    looked = f", {10 * tuned.factor:,} candidates compared exactly" if tuned.factor else ""
    return (
        f"{built.plan.reason} Inverted lists: {tuned.probes:,} of {lists:,} searched{looked}; "
        f"recall@10 {tuned.recall:.3f} on held-out queries."
    )


def write_index(index: Any, manifest: IndexManifest, out: Path) -> IndexManifest:
    """Write a FAISS index and its manifest, in which size and checksum are filled in.

    Raises:
        StoreError: `out` can't be written to.
    """
    with storage_errors(out, "write to"):
        out.mkdir(parents=True, exist_ok=True)
        # No manifest may ever describe the wrong file, so between the two replacements below there is none.
        with replacing(out / INDEX_FILE) as temporary:
            try:
                faiss.write_index(index, str(temporary))
            except RuntimeError as error:
                raise StoreError(f"Can't write to {out / INDEX_FILE}: is the disk full?") from error
            (out / INDEX_MANIFEST).unlink(missing_ok=True)
            sync_folder(out)
        file = out / INDEX_FILE
        manifest = dataclasses.replace(manifest, file_bytes=file.stat().st_size, file_crc=crc_of(file))
        manifest.write(out / INDEX_MANIFEST)
        for old in out.glob(f"{CHANGES}-*.npz"):
            if old.name != manifest.changes:
                old.unlink(missing_ok=True)
    return manifest


def checked(vectors: npt.ArrayLike, what: str) -> Vectors:
    """As contiguous float32 (n, R); refused unless every row is of unit norm."""
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2:
        raise StoreError(f"{what} must be of shape (count, width), not {array.shape}.")
    norms = np.linalg.norm(array, axis=1)
    # Written so that NaN fails too.
    if not (np.abs(norms - 1.0) <= NORM_TOLERANCE).all():
        raise StoreError(f"{what} must be of unit norm; one has norm {norms[np.abs(norms - 1).argmax()]:.4g}.")
    return array
