"""What dialogues and searches share: a model, the index of its pictures, and the features of the last pictures seen."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from fromage_lite.chat.album import Album
from fromage_lite.chat.tower import Tower
from fromage_lite.config import AskBy, SpellingMode
from fromage_lite.errors import FromageError
from fromage_lite.files import expand_user
from fromage_lite.text.message import ImageSegment, Segment
from fromage_lite.text.spelling import read_as
from index.pictures.containers import stamp_of
from index.pictures.images import is_url, open_image
from index.search.hits import Hit, Retriever

if TYPE_CHECKING:
    from torch import Tensor

    from fromage_lite.model.decoding import Stream
    from fromage_lite.model.fromage import Fromage

FEATURES_KEPT = 64  # of the last pictures seen, so that each is encoded once and not at every turn


class Engine(Album):
    """A model and the index that it searches.

    Attributes:
        model: the joined model.
        index: what retrieves pictures, by the model's `[RET]` unless it has none; with None, none is found.
        stream: makes the tokens of a reply; None is `decoding.stream`.
    """

    def __init__(self, model: Fromage, index: Retriever | None = None) -> None:
        super().__init__(index)
        self.model = model
        self.stream: Stream | None = None
        self._tower: tuple[Retriever | None, Tower] | None = None
        self._features: OrderedDict[tuple[str, int, int], Tensor] = OrderedDict()

    def read_as(self, segments: Sequence[Segment], spelling: SpellingMode = "auto") -> tuple[Segment, ...]:
        """A message as the model reads it: with its misspelt words as they were meant, if its words are known."""
        return read_as(self.model.spelling if spelling == "auto" else None, segments)

    # --- ways to ask ---

    @property
    def tower(self) -> Tower:
        """The index's pictures as the model's image encoder alone compares them, kept as long as the index is open.

        Raises:
            ConfigError: there is no index, or it keeps no features of this encoder.
        """
        from fromage_lite.vision import EncoderSpace

        self.renew()
        if self._tower is None or self._tower[0] is not self.index:
            self._tower = None  # frees the old one first
            self._tower = self.index, Tower.open(EncoderSpace(self.model.vision), self.index)
        return self._tower[1]

    @property
    def ways(self) -> tuple[AskBy, ...]:
        """The ways in which words can search with this model, the default first; none for a bridge without `[RET]`
        over an encoder without a text tower."""
        by_tower: tuple[AskBy, ...] = ("text-tower",) if self.model.vision.has_text_tower else ()
        return ("ret", "dialogue", *by_tower) if self.model.config.has_retrieval else by_tower

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


def _file_key(path: str) -> tuple[str, int, int] | None:
    """Tells a file from a later one of the same name; None if there is no such file."""
    stamp = stamp_of(path)
    return None if stamp is None else (path, *stamp)
