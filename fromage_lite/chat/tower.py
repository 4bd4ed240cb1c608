"""Search by an image encoder alone: words by its text tower, pictures by themselves. No bridge, no language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fromage_lite.chat.album import Album
from fromage_lite.errors import ConfigError
from fromage_lite.files import expand_user
from fromage_lite.text.message import ImageSegment, Segment
from index.commands import index_command, rederiving_command
from index.pictures.images import open_image
from index.search.hits import Retriever

if TYPE_CHECKING:
    from torch import Tensor

    from fromage_lite.vision import EncoderSpace

MOST_BYTES = 2 << 30  # of vectors that are only in memory


class Tower(Album):
    """The pictures of an index in the space of their encoder alone.

    Args:
        space: the encoder's.
        index: of vectors in that space.
    """

    def __init__(self, space: EncoderSpace, index: Retriever) -> None:
        super().__init__(index)
        self.space = space

    @classmethod
    def open(cls, space: EncoderSpace, index: Retriever | None) -> Tower:
        """The pictures of any index whose store keeps the features of this encoder. Where the index itself is in
        another space, that of a bridge, the features make an exact one in memory: (count, dim), half precision from
        100,000 pictures on.

        Raises:
            ConfigError: there is no index, its features are not this encoder's, or they are too many.
        """
        from index.milvus.milvus_index import MilvusIndex
        from index.search.derive import index_in_memory
        from index.search.faiss_index import ImageIndex

        if index is None:
            raise ConfigError("There is no index to search.", "Name one with --index, or build one from your pictures.")
        if isinstance(index, MilvusIndex) and index.about.bridge_fingerprint == space.fingerprint:
            return cls(space, index)
        if not isinstance(index, ImageIndex):
            raise ConfigError("This index keeps no features, which a search by the text tower needs.", "Ask by ret.")
        if index.manifest.bridge_fingerprint == space.fingerprint:
            return cls(space, index)
        store, name = index.store, space.encoder.name
        if store.bridge_fingerprint is not None:
            raise ConfigError(
                f"The index at {index.path} keeps a bridge's image embeddings, and no features of the image encoder.",
                "Ask by ret, or index the pictures themselves.",
            )
        if store.encoder_fingerprint != space.encoder.fingerprint():
            raise ConfigError(
                f"The pictures of the index at {index.path} were embedded by another image encoder than {name}.",
                f"Index them with this one: {index_command('OUT', name, pictures='FOLDER')}",
            )
        if len(index) * store.dim * 2 > MOST_BYTES:
            raise ConfigError(
                f"The index at {index.path} has too many pictures for a search by the text tower in memory.",
                f"Make an index for it once: {rederiving_command(index.path, name)}",
            )
        return cls(space, index_in_memory(store, space.project, space.fingerprint))

    def read_as(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """A message as far as the text tower reads it: its texts cut to their beginnings where they are too long."""
        from fromage_lite.vision import beginning

        if (tower := self.space.tower) is None:
            return tuple(segments)
        return tuple(beginning(tower, part) if isinstance(part, str) else part for part in segments)

    def embeds(self, segments: Sequence[Segment]) -> Tensor:
        """Words and pictures as a unit vector, (1, R) float32; of several, the direction of their sum.

        Raises:
            CheckpointError: the text tower can't be loaded.
            ConfigError: there are words, and the encoder has no text tower.
            ImageError: a picture can't be read.
        """
        import torch

        parts = [self._embeds(segment) for segment in segments]
        return torch.nn.functional.normalize(torch.cat(parts).sum(dim=0, keepdim=True), dim=-1)

    def _embeds(self, segment: Segment) -> Tensor:
        import torch

        if not isinstance(segment, ImageSegment):
            return self.space.text_embeds([segment])
        with torch.inference_mode():
            features = self.space.encoder.image_features([open_image(expand_user(segment.path))])
            return self.space.image_embeds(features.pooled)
