"""The features of pictures that were found, so that the language model can see what it has shown."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

from fromage_lite.errors import FromageError
from index.hits import Hit
from index.sources import is_address

if TYPE_CHECKING:
    from torch import Tensor

    from fromage_lite.chat.agent import Agent


def found_features(agent: Agent, hits: Sequence[Hit]) -> list[Tensor]:
    """The feature of each hit, as of a picture that the user shows: of its file, else of the small picture that the
    index keeps. The web is not asked; a picture that is gone is left out."""
    features = (_feature(agent, hit) for hit in hits)
    return [feature for feature in features if feature is not None]


def _feature(agent: Agent, hit: Hit) -> Tensor | None:
    if not is_address(hit.source):
        try:
            return agent.pooled(hit.source)
        except FromageError:
            pass  # moved or gone; the index may still have a small one
    if agent.index is None:
        return None
    try:
        thumbnail = agent.index.thumbnail(hit.id)  # type: ignore[attr-defined]
        if not thumbnail:
            return None
        with Image.open(io.BytesIO(thumbnail)) as picture:
            return agent.model.visual_features([picture.convert("RGB")])[0]
    except (FromageError, OSError, AttributeError):
        return None
