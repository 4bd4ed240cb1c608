"""What dialogues and searches stand on: a model, the index of its pictures, and features of the last pictures seen."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from fromage_lite.errors import ConfigError, FromageError
from fromage_lite.text.message import ImageSegment, Segment
from index.hits import Hit, Retriever
from index.images import is_url, open_image
from index.sources import picture_thumbnail

if TYPE_CHECKING:
    from torch import Tensor

    from fromage_lite.model.decoding import Stream
    from fromage_lite.model.fromage import Fromage

FEATURES_KEPT = 64  # features of the last pictures seen: a picture is encoded once, not once a turn


class Engine:
    """A model and an index.

    Attributes:
        model: the joined model.
        index: what retrieves pictures, or None: then no picture is found.
        stream: makes the tokens of a reply; None is `decoding.stream`.
    """

    def __init__(self, model: Fromage, index: Retriever | None = None) -> None:
        self.model, self.index = model, index
        self.stream: Stream | None = None
        self._features: OrderedDict[tuple[str, int, int], Tensor] = OrderedDict()

    # --- the user's pictures ---

    def features(self, path: str) -> Tensor:
        """The feature of a picture file that becomes visual tokens: (visual_dim,), or (P, visual_dim) where they are
        its patches. The last few are remembered.

        Raises:
            ImageError: the file is missing, or no picture that can be read.
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
        """Segments as the model takes them: every picture replaced by its `features`.

        Raises:
            ImageError: a picture can't be read.
        """
        return [self.features(s.path) if isinstance(s, ImageSegment) else s for s in segments]

    # --- the index's pictures ---

    def retrieve(self, query_embeds: Tensor, k: int, exclude: Collection[int] = ()) -> list[Hit]:
        """At most `k` pictures for one query of (R,) or (1, R), unit norm; best first, none of `exclude`."""
        if self.index is None or k < 1:
            return []
        query = query_embeds.detach().float().reshape(1, -1).cpu().numpy()
        return self.index.search(query, k, exclude=exclude)[0]

    def row(self, id: int) -> tuple[str, str] | None:
        """Source and caption of the picture with this number; None if the index has none, or can't be read."""
        if self.index is None:
            return None
        try:
            return self.index.row(id)
        except FromageError:
            return None

    def thumbnail(self, hit: Hit) -> bytes:
        """The encoded small picture (JPEG or WebP) of a hit: the one that the index keeps, else one made of its source,
        which may be fetched from the web.

        Raises:
            ConfigError: there is no index.
            ImageError: the source is gone, or no picture.
            StoreError: the index can't be read.
        """
        if self.index is None:
            raise ConfigError("There is no index to take a picture from.")
        return self.index.thumbnail(hit.id) or picture_thumbnail(hit.source)

    def has_picture(self, hit: Hit) -> bool:
        """Whether a hit can be shown: the index keeps a small picture of it, or its source can be had."""
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
        """Whether a hit's picture can be had without asking the web."""
        if not is_url(hit.source):
            return True
        try:
            return self.index is not None and bool(self.index.thumbnail(hit.id))
        except FromageError:
            return False


def expand_user(path: str) -> str:
    """The path with `~` replaced by the user's folder; unlike pathlib's it leaves `~nobody` as it is."""
    return os.path.expanduser(path)  # noqa: PTH111


def _file_key(path: str) -> tuple[str, int, int] | None:
    """What tells a file from a later one of the same name; None if there is no such file."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return path, status.st_mtime_ns, status.st_size
