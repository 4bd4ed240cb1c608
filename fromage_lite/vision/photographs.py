"""Whether a picture is a photograph, or drawn as the playground's scenes are."""

from __future__ import annotations

import numpy as np
from PIL import Image

_SIDE = 96
_EVEN = 2  # of 255: neighbours that differ by no more are of one area
_MOST_EVEN = 0.75  # scenes have more of them


def is_photograph(image: Image.Image) -> bool:
    """Whether a picture, of any mode and size, is rather a photograph than a scene of the playground.

    Scenes are pictograms on even backgrounds: nearly all neighbouring pixels are alike.
    """
    small = np.asarray(image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR), dtype=np.int16)
    steps = np.abs(np.diff(small, axis=1)).max(axis=2)
    return bool((steps <= _EVEN).mean() < _MOST_EVEN)
