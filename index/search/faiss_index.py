"""Image search on FAISS: a folder with `index.faiss` and `index.json`, over the rows and thumbnails of a store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from index.commands import index_command
from index.errors import FingerprintError, StoreError
from index.pictures.facts import Facts
from index.pictures.images import is_gone, one_line
from index.search.faiss_build import Ids, Vectors, checked
from index.search.faiss_parts import open_parts
from index.search.hits import Hit
from index.search.selection import Part, merged
from index.store.feature_store import FeatureStore
from index.store.filters import Filters
from index.store.manifest import INDEX_MANIFEST, IndexManifest
from index.store.unfinished import unfinished

GONE_LIMIT = 1024
"""How many of the nearest are looked at for pictures that are still there."""

_Picture = tuple[str, str, bool]  # source, caption, whether its file is gone


class ImageIndex:
    """Search over one index folder; a `Retriever`. Safe to use from several threads."""

    def __init__(self, path: Path, manifest: IndexManifest, store: FeatureStore, parts: list[Part]) -> None:
        self.path = path
        self.manifest = manifest
        self.store = store
        self._parts = parts

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
            parts = open_parts(path, manifest, rebuild)
            if _is_current(path, manifest):
                return cls(path, manifest, store, parts)
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
        queries = checked(query_embeds, "The queries")
        if queries.shape[1] != self.dim:
            raise StoreError(
                f"The queries have width {queries.shape[1]}, the index at {self.path} has width {self.dim}.",
                f"Rebuild it: {index_command(self.path)}",
            )
        k = min(k, len(self))
        if k <= 0 or not len(queries):
            empty = (len(queries), max(k, 0))
            return np.zeros(empty, dtype=np.float32), np.full(empty, -1, dtype=np.int64)
        unwanted = np.fromiter(exclude, dtype=np.int64, count=len(exclude))
        found = [part.search(queries, k, unwanted, among) for part in self._parts]
        return found[0] if len(found) == 1 else merged(found, k)

    def _hits(self, scores: Vectors, ids: Ids, known: dict[int, _Picture | None]) -> list[Hit]:
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

    def select(self, filters: Filters) -> Ids:
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
