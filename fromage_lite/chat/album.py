"""The pictures that dialogues and searches find: an index, and how what it finds is shown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from fromage_lite.errors import ConfigError, FromageError
from index.pictures.containers import stamp_of
from index.pictures.facts import Facts
from index.pictures.images import is_gone, is_url
from index.search.hits import Catalogue, Hit, Retriever
from index.sources.thumbnails import picture_thumbnail

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor


class Album:
    """The pictures of an index.

    Attributes:
        index: what retrieves pictures; with None, none is found.
        reopened: gives the index anew once it was replaced on disk, else None; asked before each search.
    """

    def __init__(self, index: Retriever | None = None) -> None:
        self.index = index
        self.reopened: Callable[[], Retriever | None] = lambda: None

    def renew(self) -> None:
        """Takes the index that has replaced this one on disk, if one has."""
        self.index = self.reopened() or self.index

    def retrieve(
        self,
        query_embeds: Tensor,
        k: int,
        exclude: Collection[int] = (),
        among: npt.NDArray[np.int64] | None = None,
    ) -> list[Hit]:
        """At most `k` pictures for one query (R,) or (1, R) of unit norm, best first, none of `exclude`; with `among`,
        only those."""
        if self.index is None or k < 1:
            return []
        self.renew()
        query = query_embeds.detach().float().reshape(1, -1).cpu().numpy()
        if among is None:
            return self.index.search(query, k, exclude=exclude)[0]
        return self.index.search(query, k, exclude=exclude, among=among)[0]

    def facts(self, hits: Sequence[Hit]) -> list[Facts]:
        """Size, date and the like of found pictures; nothing of those that the index knows nothing of.

        Raises:
            StoreError: the index can't be read.
        """
        if not isinstance(self.index, Catalogue):
            return [Facts() for _ in hits]
        return self.index.facts([hit.id for hit in hits])

    def row(self, id: int) -> tuple[str, str] | None:
        """Source and caption of the picture with this number; None if the index lacks it or can't be read."""
        if self.index is None:
            return None
        try:
            return self.index.row(id)
        except FromageError:
            return None

    def thumbnail(self, hit: Hit) -> bytes:
        """The thumbnail of a hit, encoded as JPEG or WebP: the one in the index, else one made from its source, which
        may be fetched from the web.

        Raises:
            ConfigError: there is no index.
            ImageError: the source is missing, or not a picture.
            StoreError: the index can't be read.
        """
        if self.index is None:
            raise ConfigError("There is no index to take a picture from.")
        return self.index.thumbnail(hit.id) or picture_thumbnail(hit.source)

    def has_picture(self, hit: Hit) -> bool:
        """Whether a hit can be shown: it has a thumbnail, or its source exists."""
        try:
            return bool(self.thumbnail(hit))
        except FromageError:
            return stamp_of(hit.source) is not None

    def is_at_hand(self, hit: Hit) -> bool:
        """Whether a hit's picture can be shown without a request to the web."""
        if not (is_url(hit.source) or is_gone(hit.source)):
            return True
        try:
            return self.index is not None and bool(self.index.thumbnail(hit.id))
        except FromageError:
            return False
