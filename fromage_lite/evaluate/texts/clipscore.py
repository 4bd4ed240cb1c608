"""CLIPScore and RefCLIPScore (Hessel et al. 2021, arXiv:2104.08718) with any encoder that has a text tower."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

PREFIX = "A photo depicts "
"""What the original puts before every text, for CLIP."""
_WEIGHT = 2.5

TextEncoder = Callable[[Sequence[str]], npt.NDArray[np.float32]]
"""Texts -> `(n, dim)` in the space of the pictures' features; no norm is asked for."""


def clip_scores(
    captions: Sequence[str], features: npt.NDArray[np.floating], encode: TextEncoder, prefix: str = PREFIX
) -> npt.NDArray[np.float64]:
    """CLIPScore of each caption: 2.5 times the cosine with its picture, at least 0; `(n,)`.

    Args:
        captions: one for each picture.
        features: `(n, dim)`, the pictures' pooled features.
        encode: the text tower.
        prefix: put before each caption; empty for an encoder that was not trained on such texts.
    """
    texts = _unit(encode([prefix + caption for caption in captions]))
    scores: npt.NDArray[np.float64] = _WEIGHT * np.maximum((texts * _unit(features)).sum(axis=1), 0.0)
    return scores


def ref_clip_scores(
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    scores: npt.NDArray[np.float64],
    encode: TextEncoder,
    prefix: str = PREFIX,
) -> npt.NDArray[np.float64]:
    """RefCLIPScore of each caption: the harmonic mean of its CLIPScore and its largest cosine with a reference; `(n,)`.

    Args:
        captions: one for each picture.
        references: for each caption those of its picture, at least one.
        scores: as `clip_scores` gives them.
        encode, prefix: as for `clip_scores`.
    """
    own = _unit(encode([prefix + caption for caption in captions]))
    flat = _unit(encode([prefix + reference for known in references for reference in known]))
    alike = []
    start = 0
    for row, known in enumerate(references):
        alike.append(max(float((flat[start : start + len(known)] @ own[row]).max()), 0.0))
        start += len(known)
    other = np.array(alike)
    both: npt.NDArray[np.float64] = 2 * scores * other / np.maximum(scores + other, 1e-12)
    return both


def _unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: npt.NDArray[np.float64] = wide / np.where(norms > 0, norms, 1.0)
    return unit
