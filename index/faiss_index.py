"""Image search on FAISS: a folder with `index.faiss` and `index.json`, over the rows and thumbnails of a store."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np
import numpy.typing as npt

from index.commands import index_command
from index.errors import FingerprintError, StoreError
from index.facts import Facts
from index.files import crc_of, replacing, sync_folder
from index.filters import Filters
from index.hits import Hit
from index.images import is_gone, one_line
from index.inverted_lists import search_lists
from index.manifest import INDEX_MANIFEST, IndexManifest, storage_errors
from index.selection import selecting
from index.store import FeatureStore
from index.unfinished import unfinished

INDEX_FILE = "index.faiss"
FLAT_LIMIT = 100_000
EXACT_LIMIT = 5_000_000
NORM_TOLERANCE = 1e-2
GONE_LIMIT = 1024
"""How many of the nearest are looked at for pictures that are still there."""

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
_Picture = tuple[str, str, bool]  # source, caption, whether its file is gone


def choose_kind(count: int) -> str:
    """The FAISS factory string for `count` vectors: exact (fp32, then fp16) up to 5 million, inverted lists beyond."""
    if count <= EXACT_LIMIT:
        return exact_kind(count)
    return f"IVF{2 ** round(np.log2(8 * np.sqrt(count)))}_HNSW32,SQ8"


def exact_kind(count: int) -> str:
    """The FAISS factory string of an exact index of `count` vectors: fp32, then fp16."""
    return "IDMap2,Flat" if count <= FLAT_LIMIT else "IDMap2,SQfp16"


def training_size(kind: str, count: int) -> int:
    """How many vectors an index of this kind is trained on; 0 if it needs no training."""
    if not kind.startswith("IVF"):
        return 0
    lists = int(kind.removeprefix("IVF").split("_")[0].split(",")[0])
    return min(count, 40 * lists)


def build_index(
    store: FeatureStore,
    ids: npt.NDArray[np.int64],
    vectors_blocks: Iterable[Vectors],
    bridge_fingerprint: str,
    out: str | Path,
    *,
    kind: str | None = None,
    training: Vectors | None = None,
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
        kind: a FAISS factory string; by default `choose_kind`.
        training: (n, R), a random sample, for kinds that need training.
        model: the model that made the vectors, as `--model` takes it from any folder; "" if that isn't known.

    Raises:
        StoreError: the vectors don't fit the store or aren't of unit norm, or `out` can't be written to.
    """
    out = Path(out)
    kind = kind or choose_kind(len(ids))
    index, done = None, 0
    for vectors in vectors_blocks:
        vectors = _checked(vectors, "The image embeddings")
        if index is None:
            index = new_index(kind, vectors.shape[1], training)
        done += len(vectors)
        if vectors.shape[1] != index.d or done > len(ids):
            index = None
            break
        index.add_with_ids(vectors, ids[done - len(vectors) : done])
    if index is None or done != len(ids):
        raise StoreError(f"The image embeddings don't fit the store at {store.path}: it has {len(ids)} live rows.")
    return _write(index, kind, store, bridge_fingerprint, out, model)


def new_index(kind: str, dim: int, training: Vectors | None) -> Any:
    """An empty, trained FAISS index of the kind, for inner products of width `dim`."""
    index = faiss.index_factory(dim, kind, faiss.METRIC_INNER_PRODUCT)
    if not index.is_trained:
        if training is None:
            raise ValueError(f"an index of the kind {kind} needs training vectors")
        index.train(_checked(training, "The training vectors"))
    if kind.startswith("IVF"):
        lists = faiss.extract_index_ivf(index)
        lists.nprobe = min(64, lists.nlist)
    return index


def _write(index: Any, kind: str, store: FeatureStore, bridge_fingerprint: str, out: Path, model: str) -> IndexManifest:
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
        manifest = IndexManifest(
            dim=index.d,
            count=index.ntotal,
            file_bytes=(out / INDEX_FILE).stat().st_size,
            file_crc=crc_of(out / INDEX_FILE),
            kind=kind,
            bridge_fingerprint=bridge_fingerprint,
            encoder_fingerprint=store.encoder_fingerprint,
            faiss_version=faiss.__version__,
            store=Path(os.path.relpath(store.path.resolve(), out.resolve())).as_posix(),
            model=model,
        )
        manifest.write(out / INDEX_MANIFEST)
    return manifest


class ImageIndex:
    """Search over one index folder; a `Retriever`. Safe to use from several threads."""

    def __init__(self, path: Path, manifest: IndexManifest, store: FeatureStore, index: Any) -> None:
        self.path = path
        self.manifest = manifest
        self.store = store
        self._index = index

    @classmethod
    def open(cls, path: str | Path, bridge_fingerprint: str | None = None, model: str | None = None) -> Self:
        """Open the index at `path`; its files are memory-mapped, rows are read as hits need them.

        Args:
            path: an index folder.
            bridge_fingerprint: fingerprint of the model that will search; None skips the check.
            model: the model's name, for the command in the error's hint.

        Raises:
            FingerprintError: another bridge or encoder made the index; the hint is the command that rebuilds it.
            StoreError: there is no index, or the index or its store is damaged.
        """
        path = Path(path)
        rebuild = f"Rebuild it: {index_command(path, model)}"
        if not (path / INDEX_MANIFEST).is_file():
            raise unfinished(path, "index", model)
        manifest = IndexManifest.read(path / INDEX_MANIFEST)
        if bridge_fingerprint not in (None, manifest.bridge_fingerprint):
            maker = f", {one_line(manifest.model, 200)}" if manifest.model else ""
            raise FingerprintError(f"The index at {path} was made with another model{maker}.", rebuild)
        store = FeatureStore.open(path if manifest.store == "." else (path / manifest.store).resolve())
        if store.encoder_fingerprint != manifest.encoder_fingerprint:
            raise FingerprintError(
                f"The index at {path} and its store at {store.path} come from different encoders.",
                rebuild,
            )
        try:
            index = _read_faiss(path, manifest, rebuild)
            if _is_current(path, manifest):
                return cls(path, manifest, store, index)
        except StoreError:
            if _is_current(path, manifest):
                raise
        store.close()
        return cls.open(path, bridge_fingerprint, model)  # a builder replaced the index meanwhile

    def __len__(self) -> int:
        """How many pictures can be found."""
        return self.manifest.count

    @property
    def dim(self) -> int:
        """Width of the retrieval space."""
        return self.manifest.dim

    def search(
        self, query_embeds: Vectors, k: int, exclude: Collection[int] = (), among: Ids | None = None
    ) -> list[list[Hit]]:
        """Find the nearest pictures, as `Retriever.search`.

        Args:
            query_embeds: (Q, R) float32, unit norm.
            k: how many; fewer are returned only where fewer may be found.
            exclude: ids that must not be found.
            among: (n,) the only ids that may be found; None for all.

        Returns:
            For each query its hits, best first. A picture whose file is gone is one only if the store keeps a
            thumbnail of it; `Hit.gone` says so. The next nearest takes the place of another, if one is found among
            the first `GONE_LIMIT`.

        Raises:
            StoreError: the queries are of another width, not of unit norm or not finite.
        """
        known: dict[int, _Picture | None] = {}
        wanted = k
        while True:
            scores, ids = self.search_ids(query_embeds, wanted, exclude, among)
            answers = [self._hits(*found, known) for found in zip(scores, ids, strict=True)]
            enough = all(len(hits) >= k for hits in answers)
            if enough or wanted >= min(len(self), GONE_LIMIT) or None not in known.values():
                return [hits[:k] for hits in answers]
            wanted = min(2 * wanted, GONE_LIMIT)

    def search_ids(
        self, query_embeds: Vectors, k: int, exclude: Collection[int] = (), among: Ids | None = None
    ) -> tuple[Vectors, Ids]:
        """As `search`, as arrays and without reading rows: scores and ids, each (Q, min(k, len)); id -1 means none."""
        queries = _checked(query_embeds, "The queries")
        if queries.shape[1] != self.dim:
            raise StoreError(
                f"The queries have width {queries.shape[1]}, the index at {self.path} has width {self.dim}.",
                f"Rebuild it: {index_command(self.path)}",
            )
        k = min(k, len(self))
        if k <= 0 or not len(queries):
            empty = (len(queries), max(k, 0))
            return np.zeros(empty, dtype=np.float32), np.full(empty, -1, dtype=np.int64)
        selector = selecting(exclude, among, len(self.store))
        if self.manifest.kind.startswith("IVF"):
            return search_lists(self._index, queries, k, selector)
        # FAISS adds this keyword argument at run time, where no type checker sees it.
        make: Any = faiss.SearchParameters
        scores, ids = self._index.search(queries, k, params=make(sel=selector))
        return scores, ids

    def _hits(self, scores: Vectors, ids: npt.NDArray[np.int64], known: dict[int, _Picture | None]) -> list[Hit]:
        """The hits of one query that can be shown; `known` keeps what was looked up."""
        hits = []
        for score, number in zip(scores, ids, strict=True):
            if (id := int(number)) < 0:
                break
            if id not in known:
                known[id] = self._picture(id)
            if (picture := known[id]) is not None:
                hits.append(Hit(id, float(score), *picture))
        return hits

    def _picture(self, id: int) -> _Picture | None:
        source, caption = self.row(id)
        gone = is_gone(source)
        return None if gone and not self.store.has_thumbnail(id) else (source, caption, gone)

    def row(self, id: int) -> tuple[str, str]:
        """(source, caption) of a picture."""
        return self.store.row(id)

    def thumbnail(self, id: int) -> bytes:
        """A picture's thumbnail, a JPEG file of at most 256 x 256 pixels."""
        return self.store.thumbnail(id)

    def select(self, filters: Filters) -> npt.NDArray[np.int64]:
        """Ids of the pictures that pass, (n,) ascending, as `Catalogue.select`."""
        return self.store.select(filters)

    def facts(self, ids: Sequence[int]) -> list[Facts]:
        """As `Catalogue.facts`."""
        return self.store.facts(ids)

    def features(self, ids: Sequence[int]) -> Vectors | None:
        """As `Catalogue.features`; None for embeddings that were computed elsewhere."""
        if self.store.bridge_fingerprint is not None:
            return None
        return np.asarray(self.store.features[np.asarray(ids, dtype=np.int64)], dtype=np.float32)

    def close(self) -> None:
        """Close the store's files."""
        self.store.close()


def _is_current(path: Path, manifest: IndexManifest) -> bool:
    try:
        return IndexManifest.read(path / INDEX_MANIFEST) == manifest
    except StoreError:
        return False


def _read_faiss(path: Path, manifest: IndexManifest, rebuild: str) -> Any:
    file = path / INDEX_FILE
    damaged = StoreError(f"{file} is damaged.", rebuild)
    with storage_errors(file, "read"):
        # Checked before mapping: touching a page missing at the end would kill the process.
        if file.stat().st_size != manifest.file_bytes:
            raise damaged
    try:
        index = faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC if os.name == "posix" else 0)
    except RuntimeError as error:
        raise damaged from error
    if (index.d, index.ntotal) != (manifest.dim, manifest.count):
        raise damaged
    return index


def _checked(vectors: npt.ArrayLike, what: str) -> Vectors:
    """As contiguous float32 (n, R); refused unless every row is of unit norm."""
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2:
        raise StoreError(f"{what} must be of shape (count, width), not {array.shape}.")
    norms = np.linalg.norm(array, axis=1)
    # Written so that NaN fails too.
    if not (np.abs(norms - 1.0) <= NORM_TOLERANCE).all():
        raise StoreError(f"{what} must be of unit norm; one has norm {norms[np.abs(norms - 1).argmax()]:.4g}.")
    return array
