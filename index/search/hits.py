"""What a search returns, and what every retriever offers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from index.pictures.facts import Facts
    from index.store.filters import Filters

FOREIGN = -1
"""The id of a picture that is not in the open index."""


@dataclass(frozen=True)
class Hit:
    """One retrieved picture.

    Attributes:
        id: row number in the store; `FOREIGN` if the picture is of another index.
        score: cosine of the query and the image embedding; higher is better.
        source: where the picture is: an absolute path, or a URL.
        caption: the picture's caption; empty if it has none.
        gone: whether its file was missing when it was found; then only its thumbnail can be shown.
        alike: sources of pictures that are nearly the same and were found, too, but left out (`index.search.alike`).
    """

    id: int
    score: float
    source: str
    caption: str = ""
    gone: bool = False
    alike: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The hit as plain JSON data: `{"id", "path", "score", "caption"}`, `path` being the source; `"gone"` and
        `"alike"`, a list, if so."""
        data: dict[str, Any] = {"id": self.id, "path": self.source, "score": self.score, "caption": self.caption}
        if self.gone:
            data["gone"] = True
        if self.alike:
            data["alike"] = list(self.alike)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Hit:
        """The hit that `to_dict` wrote, or an earlier version, which called the path `source`.

        Raises:
            KeyError: a field is missing.
            TypeError: a field is of another type.
            OverflowError: the score is beyond every float.
        """
        id, score = data["id"], data["score"]
        source = data["path"] if "path" in data else data["source"]
        caption = data.get("caption", "")
        if not isinstance(id, int) or isinstance(id, bool):
            raise TypeError(f"the id {id!r:.40} is not a whole number")
        if not isinstance(score, int | float) or isinstance(score, bool):
            raise TypeError(f"the score {score!r:.40} is not a number")
        if not isinstance(source, str) or not isinstance(caption, str):
            raise TypeError("path or caption is not a string")
        if not isinstance(gone := data.get("gone", False), bool):
            raise TypeError(f"gone can't be {gone!r:.40}")
        alike = data.get("alike", [])
        if not isinstance(alike, list) or not all(isinstance(name, str) for name in alike):
            raise TypeError("the pictures that are alike are not a list of strings")
        return cls(id, float(score), source, caption, gone, tuple(alike))


@runtime_checkable
class Retriever(Protocol):
    """Anything that finds pictures for queries and knows them by their id; `ImageIndex` is the FAISS one."""

    def __len__(self) -> int:
        """How many pictures can be found."""
        ...

    def search(
        self,
        query_embeds: npt.NDArray[np.float32],
        k: int,
        exclude: Collection[int] = (),
        among: npt.NDArray[np.int64] | None = None,
    ) -> list[list[Hit]]:
        """Find the nearest pictures.

        Args:
            query_embeds: (Q, R) float32, unit norm.
            k: how many; fewer are returned only where fewer may be found.
            exclude: ids that must not be found.
            among: (n,) the only ids that may be found, in any order; None for all. Unknown ids count for nothing.

        Returns:
            Q lists of hits, each best first.

        Raises:
            StoreError: the queries are of another width, or the index can't be read.
        """
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


@runtime_checkable
class Catalogue(Protocol):
    """A `Retriever` that knows more of its pictures than how to find them: what filters and folding need."""

    def select(self, filters: Filters) -> npt.NDArray[np.int64]:
        """Ids of the pictures that pass, (n,) ascending: what `search` takes as `among`.

        Raises:
            StoreError: the index can't be read.
        """
        ...

    def facts(self, ids: Sequence[int]) -> list[Facts]:
        """What is known of pictures.

        Raises:
            StoreError: there is no such id, or the index can't be read.
        """
        ...

    def features(self, ids: Sequence[int]) -> npt.NDArray[np.float32] | None:
        """The frozen encoder's features of pictures, (n, dim); None where the index keeps none.

        Raises:
            StoreError: the index can't be read.
        """
        ...
