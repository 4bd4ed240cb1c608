"""BLEU-1 to 4 of a whole set of captions (Papineni et al. 2002), counted by sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fromage_lite.evaluate.extra import SCORES, need

ORDER = 4
Words = Sequence[str]


def bleu_counts(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> npt.NDArray[np.float64]:
    """What BLEU sums up over a set, `(captions, 10)`: for each caption the right n-grams (1 to 4), all of its n-grams
    (1 to 4), its length, and that of the reference which is closest in length.

    Raises:
        ConfigError: sacrebleu is not installed.
    """
    need(SCORES)
    from sacrebleu.metrics import BLEU

    bleu = BLEU(tokenize="none", smooth_method="none", effective_order=True, max_ngram_order=ORDER)
    rows = []
    for caption, known in zip(captions, references, strict=True):
        score = bleu.sentence_score(" ".join(caption), [" ".join(reference) for reference in known])
        rows.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
    return np.array(rows, dtype=np.float64).reshape(-1, 2 * ORDER + 2)


def bleu_of(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """BLEU-1 to 4 of counts as `bleu_counts` gives them: `(captions, 10)` -> `(4,)`, from 0 to 1."""
    total = counts.sum(axis=0)
    right, all_of_them, (length, wanted) = total[:ORDER], total[ORDER : 2 * ORDER], total[2 * ORDER :]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.where(all_of_them > 0, right / all_of_them, 0.0))
        precision = np.exp(np.cumsum(logs) / np.arange(1, ORDER + 1))
    brevity = 1.0 if length >= wanted else float(np.exp(1 - wanted / length)) if length else 0.0
    scores: npt.NDArray[np.float64] = precision * brevity
    return scores
