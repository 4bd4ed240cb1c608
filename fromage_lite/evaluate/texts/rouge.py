"""ROUGE-L (Lin 2004) with COCO's weights: rouge-score has others, and takes one reference at a time."""

from __future__ import annotations

from collections.abc import Sequence

from rapidfuzz.distance import LCSseq

_RECALL_WEIGHT = 1.2  # beta of the F-measure in COCO's evaluation


def rouge_l(caption: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The F-measure of the longest common subsequence, with the best precision and the best recall that any reference
    gives; from 0 to 1.

    Args:
        caption: its words.
        references: of one picture, at least one.
    """
    common = [LCSseq.similarity(list(caption), list(reference)) for reference in references]
    precision = max(common) / len(caption) if caption else 0.0
    recall = max(n / len(reference) if reference else 0.0 for n, reference in zip(common, references, strict=True))
    if not precision or not recall:
        return 0.0
    weight = _RECALL_WEIGHT**2
    return (1 + weight) * precision * recall / (recall + weight * precision)
