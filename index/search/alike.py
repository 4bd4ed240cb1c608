"""Pictures that are nearly the same: copies, other sizes and compressions, slightly cropped ones, shots of a burst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from index.pictures.facts import Facts
from index.search.hits import Hit

HASH_BITS = 10
FEATURE_COSINE = 0.7
"""Two pictures are alike whose perceptual hashes differ in no more bits and whose features (the frozen encoder's) are
no further apart. Measured: of the 18,721 pairs of 194 photographs this holds for one, the two eyes of a stereo
photograph; of a photograph and itself compressed (JPEG 85 or 30), made brighter, or cropped by 1 or 2 % a side for 97
to 100 %, at half its size for 79 %, of shots of a burst for 97 %; cropped by 5 %, or moved by 3 %, for half. Hashes
alone would take scenes with one background for the same (309 of the playground's 2.9 million pairs; with features 2),
features alone different pictures of one thing (119 pairs of photographs). Embeddings are no help: whatever shows the
same thing is one to them."""


def fold(hits: Sequence[Hit], facts: Sequence[Facts], features: npt.NDArray[np.float32] | None) -> list[Hit]:
    """The hits without those that are like a better one, which names them (`Hit.alike`).

    Args:
        hits: (n), best first.
        facts: (n) theirs; whose hash isn't known is alike to copies of the same bytes only.
        features: (n, dim), theirs; None asks the hashes alone.
    """
    hashes = np.array([known.phash or 0 for known in facts], dtype=np.int64).view(np.uint64)
    unit = None
    if features is not None and len(features):
        unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    first: list[int] = []
    alike: list[list[str]] = []
    for place, hit in enumerate(hits):
        near = (
            number
            for number, other in enumerate(first)
            if _same_bytes(facts[place], facts[other])
            or (
                facts[place].phash is not None
                and facts[other].phash is not None
                and int(np.bitwise_count(hashes[place] ^ hashes[other])) <= HASH_BITS
                and (unit is None or float(unit[place] @ unit[other]) >= FEATURE_COSINE)
            )
        )
        if (number := next(near, None)) is None:
            first.append(place)
            alike.append([])
        else:
            alike[number].append(hit.source)
    return [replace(hits[place], alike=tuple(names)) for place, names in zip(first, alike, strict=True)]


def _same_bytes(one: Facts, other: Facts) -> bool:
    return one.content is not None and one.content == other.content
