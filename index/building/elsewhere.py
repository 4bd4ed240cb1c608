"""Pictures that are embedded elsewhere, on many machines, for a build here that puts them into its store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from index.building.encoding import Encoder
from index.building.opening import Read, Wanted
from index.errors import ImageError
from index.pictures.facts import Facts


@dataclass(frozen=True)
class Embedded:
    """What became of one picture.

    Attributes:
        read: the picture, and its content as far as it is known.
        feature: (dim,) floating; None where it could not be had.
        thumbnail: the small picture.
        facts: what the picture itself says; None of one that could not be opened.
        error: why there is no feature.
    """

    read: Read
    feature: npt.NDArray[np.floating] | None = None
    thumbnail: bytes = b""
    facts: Facts | None = None
    error: ImageError | None = None

    def as_read(self) -> Future[Read]:
        """As the pool of readers would give it: an error if its bytes could not be read."""
        future: Future[Read] = Future()
        if self.error is not None and not self.read.content:
            future.set_exception(self.error)
        else:
            future.set_result(self.read)
        return future


class Elsewhere(Protocol):
    """Embeds pictures on other machines; finished work survives an interruption, and isn't done again."""

    def embedded(self, wanted: Iterable[Wanted]) -> Iterator[Embedded]:
        """All of them, in their order.

        Raises:
            StoreError: it can't be done.
        """
        ...


def _as_they_are(features: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return features


def _no_image(image: object) -> npt.NDArray[np.float32]:
    raise TypeError("features are there already")


EMBEDDED = Encoder(_no_image, _as_they_are)
"""For pictures whose pixels are features already."""
