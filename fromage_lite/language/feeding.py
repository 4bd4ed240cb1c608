"""How a model is fed what comes after its cache: architectures differ in what they get right, so it is tried.

The trial is a small dialogue of embeddings that belong to no word, as a picture's, in passes of different lengths.
Right is what one pass over all of it gives, without a cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

PASSES = (3, 1, 4, 1, 2)  # positions: a prompt, a token of the reply, the next turn, …
UNDONE = 4  # positions; they end inside a pass

# Share of its norm by which a position's hidden state may differ between two right ways to compute it. Random models of
# 24 layers differ by at most 1e-5 in float32, 0.003 in float16, 0.024 in bfloat16, and 0.06 rounded to int8 (which
# rounds what it multiplies for all positions of a pass together).
_TOLERANCES = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 6e-2}
_QUANTISED = 0.12


@dataclass(frozen=True)
class Feeding:
    """How a later pass is fed.

    Attributes:
        numbered: with the numbers of its positions (Bamba otherwise counts each pass from 0).
        singly: one position at a time (Jamba otherwise begins its recurrent state anew); right, but slower.
    """

    numbered: bool = False
    singly: bool = False


FEEDINGS = (Feeding(), Feeding(numbered=True), Feeding(singly=True), Feeding(numbered=True, singly=True))
"""All of them, the plainest first."""


def is_exact(model: Any) -> bool:
    """Whether a model computes in float32 throughout."""
    is_rounded = getattr(model, "is_quantized", False)
    return not is_rounded and all(parameter.dtype == torch.float32 for parameter in model.parameters())


def tolerance(model: Any) -> float:
    """By which share of their norm a model's results may differ, in the precision in which it is loaded."""
    if getattr(model, "is_quantized", False):
        return _QUANTISED
    return max(_TOLERANCES.get(parameter.dtype, 0.0) for parameter in model.parameters())


def difference(found: Tensor, expected: Tensor, model: Any) -> float:
    """By what share of what is expected of a position (..., D) another is found: the largest.

    In lower precision it is the median: the router of a mixture of experts may fall the other way at some position.
    """
    found, expected = found.float(), expected.to(found.device).float()
    shares = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    return (shares.max() if is_exact(model) else shares.median()).item()


def some_ids(vocab_size: int) -> Tensor:
    """Ids of as many words as the trial has positions, (1, T)."""
    start = min(10, max(vocab_size - sum(PASSES), 0))
    return torch.arange(start, start + sum(PASSES)).clamp(max=vocab_size - 1)[None]


def mixed(embeds: Tensor, shift: int = 1) -> Tensor:
    """Embeddings of words (1, T, D) -> as many that are no word's, of about their norm."""
    return (embeds + embeds.roll(shift, dims=1)) / 2**0.5


def trial(
    read: Callable[[Tensor, Cache], Tensor], new_cache: Callable[[], Cache], can_crop: bool, embeds: Tensor
) -> Tensor:
    """What the decoder gives for the trial's positions, the last of them undone and read once more.

    Another dialogue is read between the passes: a model may keep its state elsewhere than in the cache.

    Args:
        read: the decoder: positions (1, n, D), and the cache to grow.
        new_cache: makes an empty one.
        can_crop: whether a cache can be cut.
        embeds: (1, T, D) for `sum(PASSES)` positions.
    """
    cache, others, found = new_cache(), new_cache(), []
    for mine, theirs in zip(embeds.split(PASSES, dim=1), mixed(embeds).split(PASSES[::-1], dim=1), strict=True):
        found.append(read(mine, cache))
        read(theirs, others)
    if can_crop:
        cache.crop(-UNDONE)
        whole = torch.cat(found, dim=1)[:, :-UNDONE]
        found = [whole, read(embeds[:, -UNDONE:], cache)]
    return torch.cat(found, dim=1)
