"""CIDEr-D (Vedantam, Zitnick and Parikh 2015, arXiv:1411.5726), as pycocoevalcap computes it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_ORDER = 4
_SIGMA = 6.0  # of the penalty on a difference in length
_FACTOR = 10.0

Gram = tuple[str, ...]
Words = Sequence[str]


@dataclass(frozen=True)
class _Vector:
    """Weights of n-grams, their norm for each n, and the length by which captions are compared."""

    weights: tuple[dict[Gram, float], ...]
    norms: tuple[float, ...]
    length: int


def cider_d(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """CIDEr-D of each caption, from 0 to 10; the set's is their mean (times 100 in most tables).

    How much an n-gram counts depends on how many pictures of this set have it in a reference, so that scores of two
    sets do not compare.

    Args:
        captions: the words of each.
        references: for each caption those of its picture, at least one.
    """
    frequency: Counter[Gram] = Counter()
    for known in references:
        frequency.update({gram for reference in known for gram in _grams(reference)})
    log_pictures = math.log(max(len(references), 1))
    scores = []
    for caption, known in zip(captions, references, strict=True):
        own = _vector(caption, frequency, log_pictures)
        alike = [_similarity(own, _vector(reference, frequency, log_pictures)) for reference in known]
        scores.append(_FACTOR * sum(alike) / len(alike))
    return scores


def _grams(words: Words) -> Counter[Gram]:
    return Counter(tuple(words[i : i + n]) for n in range(1, _ORDER + 1) for i in range(len(words) - n + 1))


def _vector(words: Words, frequency: Counter[Gram], log_pictures: float) -> _Vector:
    weights: tuple[dict[Gram, float], ...] = tuple({} for _ in range(_ORDER))
    for gram, count in _grams(words).items():
        weights[len(gram) - 1][gram] = count * (log_pictures - math.log(max(1, frequency[gram])))
    norms = tuple(math.sqrt(sum(weight**2 for weight in part.values())) for part in weights)
    return _Vector(weights, norms, max(len(words) - 1, 0))  # in pairs of words, as in the original


def _similarity(caption: _Vector, reference: _Vector) -> float:
    """Mean over n of the clipped cosines, with the penalty on the difference in length."""
    total = 0.0
    parts = zip(caption.weights, reference.weights, caption.norms, reference.norms, strict=True)
    for own, other, own_norm, other_norm in parts:
        product = sum(min(weight, other[gram]) * other[gram] for gram, weight in own.items() if gram in other)
        total += product / (own_norm * other_norm) if own_norm and other_norm else product
    return total / _ORDER * math.exp(-((caption.length - reference.length) ** 2) / (2 * _SIGMA**2))
