"""What dialogues and searches share: a model, the index of its pictures, and the features of the last pictures seen."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from fromage_lite.config import SpellingMode
from fromage_lite.errors import ConfigError, FromageError
from fromage_lite.files import expand_user
from fromage_lite.text.message import ImageSegment, Segment
from fromage_lite.text.spelling import read_as
from index.containers import stamp_of
from index.hits import Hit, Retriever
from index.images import is_gone, is_url, open_image
from index.sources import picture_thumbnail

if TYPE_CHECKING:
    from torch import Tensor

    from fromage_lite.model.decoding import Stream
    from fromage_lite.model.fromage import Fromage

FEATURES_KEPT = 64  # of the last pictures seen, so that each is encoded once and not at every turn


class Engine:
    """A model and the index that it searches.

    Attributes:
        model: the joined model.
        index: what retrieves pictures; with None, none is found.
        stream: makes the tokens of a reply; None is `decoding.stream`.
        reopened: gives the index anew once it was replaced on disk, else None; asked before each search.
    """

    def __init__(self, model: Fromage, index: Retriever | None = None) -> None:
        self.model, self.index = model, index
        self.stream: Stream | None = None
        self.reopened: Callable[[], Retriever | None] = lambda: None
        self._features: OrderedDict[tuple[str, int, int], Tensor] = OrderedDict()

    def read_as(self, segments: Sequence[Segment], spelling: SpellingMode = "auto") -> tuple[Segment, ...]:
        """A message as the model reads it: with its misspelt words as they were meant, if its words are known."""
        return read_as(self.model.spelling if spelling == "auto" else None, segments)

    # --- the user's pictures ---

    def features(self, path: str) -> Tensor:
        """The feature of a picture file that becomes visual tokens: (visual_dim,), or (P, visual_dim) for a model that
        takes patches. The last few are kept.

        Raises:
            ImageError: the file is missing or can't be read.
        """
        path = expand_user(path)
        key = _file_key(path)
        if key is None or key not in self._features:
            features = self.model.visual_features([open_image(path)])[0]
            if key is None:
                return features
            self._features[key] = features
            if len(self._features) > FEATURES_KEPT:
                self._features.popitem(last=False)
        self._features.move_to_end(key)
        return self._features[key]

    def open_segments(self, segments: Sequence[Segment]) -> list[str | Tensor]:
        """Segments as the model takes them, with every picture replaced by its `features`.

        Raises:
            ImageError: a picture can't be read.
        """
        return [self.features(s.path) if isinstance(s, ImageSegment) else s for s in segments]

    # --- the index's pictures ---

    def retrieve(self, query_embeds: Tensor, k: int, exclude: Collection[int] = ()) -> list[Hit]:
        """At most `k` pictures for one query (R,) or (1, R) of unit norm, best first, none of `exclude`."""
        if self.index is None or k < 1:
            return []
        self.index = self.reopened() or self.index
        query = query_embeds.detach().float().reshape(1, -1).cpu().numpy()
        return self.index.search(query, k, exclude=exclude)[0]

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
            return _file_key(hit.source) is not None

    def found_features(self, hits: Sequence[Hit]) -> list[Tensor]:
        """The `features` of found pictures: of the file, else of the small picture that the index keeps. The web is not
        asked, and what is gone is left out."""
        features = (self._found_feature(hit) for hit in hits)
        return [feature for feature in features if feature is not None]

    def _found_feature(self, hit: Hit) -> Tensor | None:
        if not is_url(hit.source):
            try:
                return self.features(hit.source)
            except FromageError:
                pass  # moved or gone; the index may still have a small one
        try:
            encoded = self.index.thumbnail(hit.id) if self.index is not None else b""
            if not encoded:
                return None
            with Image.open(io.BytesIO(encoded)) as picture:
                return self.model.visual_features([picture.convert("RGB")])[0]
        except (FromageError, OSError):
            return None

    def is_at_hand(self, hit: Hit) -> bool:
        """Whether a hit's picture can be shown without a request to the web."""
        if not (is_url(hit.source) or is_gone(hit.source)):
            return True
        try:
            return self.index is not None and bool(self.index.thumbnail(hit.id))
        except FromageError:
            return False


def _file_key(path: str) -> tuple[str, int, int] | None:
    """Tells a file from a later one of the same name; None if there is no such file."""
    stamp = stamp_of(path)
    return None if stamp is None else (path, *stamp)
