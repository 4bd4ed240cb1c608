"""Captions as long as those of Conceptual Captions 3M, of made-up words: a step's time depends on their lengths."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from fromage_lite.language.model import LanguageModel

MEAN_WORDS, DEVIATION, MEDIAN_WORDS = 10.3, 4.5, 9
"""Words of a caption of the training split: Sharma et al. 2018 (ACL, P18-1238), table 2."""


def caption_lengths(count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Words of `count` captions, `(count,)`: a log-normal distribution with the published mean and deviation, rounded.
    Its median, 9, is the published one, too."""
    spread = math.log(1 + (DEVIATION / MEAN_WORDS) ** 2)
    drawn = rng.lognormal(math.log(MEAN_WORDS) - spread / 2, math.sqrt(spread), size=count)
    return np.maximum(np.rint(drawn), 1).astype(np.int64)


def captions(language: LanguageModel, count: int, seed: int = 0) -> list[str]:
    """Captions of such lengths, of random words that are one token each. One more stands at the beginning, where OPT
    has its beginning of text."""
    rng = np.random.default_rng(seed)
    words = language.vocab_size // 2
    return [language.decode(rng.integers(20, words, size=1 + size).tolist()) for size in caption_lengths(count, rng)]
