"""What a search returns."""

from __future__ import annotations

from dataclasses import dataclass


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
