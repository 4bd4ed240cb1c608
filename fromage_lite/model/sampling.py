"""Choosing the next token: pure functions on logits. `[RET]` is an ordinary column of them with a policy of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fromage_lite.config import GenerationSettings

FORBIDDEN = float("-inf")

Chooser = Callable[[Tensor, float, float, torch.Generator | None], int]
"""As `choose`: logits (vocabulary,) float32, temperature, `top_p` and a source of chance -> an id."""


def may_say_ret(settings: GenerationSettings, step: int, rets_said: int) -> bool:
    """Whether `[RET]` may be the token at this step (counted from 0) of a reply that has said it so often."""
    if settings.ret_mode == "off" or step < settings.min_word_tokens:
        return False
    return rets_said * settings.images_per_ret < settings.max_images


def must_say_ret(settings: GenerationSettings, rets_said: int) -> bool:
    """Whether a reply that is about to end still owes a picture (`always`)."""
    return settings.ret_mode == "always" and rets_said == 0 and settings.max_images > 0


def apply_ret_policy(logits: Tensor, ret_id: int, settings: GenerationSettings, step: int, rets_said: int) -> Tensor:
    """Forbids the `[RET]` column of logits (vocabulary,), or in `auto` scales and biases it; in place.

    The factor is the paper's and multiplies the raw logit: it makes `[RET]` *less* likely where that is negative.

    Returns:
        The same logits.
    """
    if not may_say_ret(settings, step, rets_said):
        logits[ret_id] = FORBIDDEN
    elif settings.ret_mode == "auto" and (settings.ret_bias or settings.ret_scale_factor):
        logits[ret_id] = logits[ret_id] * (settings.ret_scale_factor or 1.0) + settings.ret_bias
    return logits


def probability(logits: Tensor, token_id: int) -> float:
    """How likely one token is under logits (vocabulary,)."""
    return float(logits.softmax(dim=-1, dtype=torch.float32)[token_id])  # one kernel; logsumexp is several


def suppression(ids: Sequence[int], size: int, device: torch.device) -> Tensor:
    """What forbids these ids where it is added to logits: (size,) float32, 0 and minus infinity."""
    row = torch.zeros(size, device=device)
    row[list(ids)] = FORBIDDEN
    return row


def keep_nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Forbids all but the smallest set of most likely tokens whose probability exceeds `top_p` (one at least)."""
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
    """The next token from logits (vocabulary,) float32: the likeliest at temperature 0, else drawn on the CPU."""
    if temperature == 0:
        return int(logits.argmax())
    kept = keep_nucleus(logits.float().cpu() / temperature, top_p)
    return int(torch.multinomial(kept.softmax(dim=-1), 1, generator=generator))
