"""Choosing the next token: pure functions on logits. `[RET]` is an ordinary column with its own policy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fromage_lite.config import GenerationSettings

FORBIDDEN = float("-inf")

Chooser = Callable[[Tensor, float, float, torch.Generator | None], int]
"""As `choose`: logits (vocabulary,) float32, temperature, `top_p` and a random generator -> an id."""


def may_say_ret(settings: GenerationSettings, step: int, rets_said: int) -> bool:
    """Whether `[RET]` may be the token at this step, counted from 0, after `rets_said` earlier ones."""
    if settings.ret_mode == "off" or step < settings.min_word_tokens:
        return False
    return rets_said * settings.images_per_ret < settings.max_images


def must_say_ret(settings: GenerationSettings, rets_said: int) -> bool:
    """Whether a reply that is about to end must still bring a picture (`always`)."""
    return settings.ret_mode == "always" and rets_said == 0 and settings.max_images > 0


def apply_ret_policy(logits: Tensor, ret_id: int, settings: GenerationSettings, step: int, rets_said: int) -> Tensor:
    """Forbids the `[RET]` column of logits (vocabulary,), or in `auto` scales and biases it; in place.

    The factor is the paper's: it multiplies the raw logit, and so makes `[RET]` *less* likely if that is negative.

    Returns:
        The same logits.
    """
    if not may_say_ret(settings, step, rets_said):
        logits[ret_id] = FORBIDDEN
    elif settings.ret_mode == "auto" and (settings.ret_bias or settings.ret_scale_factor):
        logits[ret_id] = logits[ret_id] * (settings.ret_scale_factor or 1.0) + settings.ret_bias
    return logits


def probability(logits: Tensor, token_id: int) -> float:
    """The probability of one token under logits (vocabulary,)."""
    return float(logits.softmax(dim=-1, dtype=torch.float32)[token_id])  # one kernel; logsumexp is several


def suppress(logits: Tensor, ids: Tensor) -> Tensor:
    """Forbids the columns of these ids (n,) int64 in logits (..., vocabulary), in place; the ids are on their device.

    Returns:
        The same logits.
    """
    return logits.index_fill_(-1, ids, FORBIDDEN) if len(ids) else logits


def keep_nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Forbids all but the smallest set of most likely tokens whose total probability exceeds `top_p` (at least one)."""
    if top_p >= 1.0:
        return logits
    ordered, order = logits.sort(dim=-1, descending=True)
    reached = ordered.softmax(dim=-1).cumsum(dim=-1) > top_p
    beyond = torch.zeros_like(reached)
    beyond[..., 1:] = reached[..., :-1]  # the token that crosses the line stays
    return logits.masked_fill(torch.zeros_like(beyond).scatter(-1, order, beyond), FORBIDDEN)


def choose(
    logits: Tensor, temperature: float = 0.0, top_p: float = 1.0, generator: torch.Generator | None = None
) -> int:
    """The next token from logits (vocabulary,) float32: the likeliest at temperature 0, else a draw on the CPU."""
    if temperature == 0:
        on_cpu = logits.device.type == "cpu"
        return int(logits.numpy().argmax() if on_cpu else logits.argmax())  # numpy's is ten times as fast as torch's
    kept = keep_nucleus(logits.float().cpu() / temperature, top_p)
    return int(torch.multinomial(kept.softmax(dim=-1), 1, generator=generator))
