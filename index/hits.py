"""What a search returns, and what every retriever offers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Hit:
    """One retrieved image.

    Attributes:
        id: row number in the store.
        score: cosine of the query and the image embedding; higher is better.
        source: where the picture is: an absolute path, or a URL.
        caption: the picture's caption; empty if it has none.
    """

    id: int
    score: float
    source: str
    caption: str = ""


class Retriever(Protocol):
    """Anything that finds images for queries; `ImageIndex` is the FAISS one."""

    def __len__(self) -> int:
        """How many pictures can be found."""
        ...

    def search(self, query_embeds: npt.NDArray[np.float32], k: int, exclude: Collection[int] = ()) -> list[list[Hit]]:
        """For each query of (Q, R), unit norm: at most `k` hits, best first, none of them in `exclude`."""
        ...

    def row(self, id: int) -> tuple[str, str]:
        """(source, caption) of a picture.

        Raises:
            StoreError: there is no such id, or the index can't be read.
        """
        ...

    def thumbnail(self, id: int) -> bytes:
        """The encoded small picture (JPEG or WebP) of an id; b"" where the index keeps none.

        Raises:
            StoreError: there is no such id, or the index can't be read.
        """
        ...
