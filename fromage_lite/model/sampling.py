"""Choosing the next token: pure functions on logits. `[RET]` is an ordinary column of them with a policy of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fromage_lite.config import GenerationSettings

FORBIDDEN = float("-inf")


def may_say_ret(settings: GenerationSettings, step: int, rets_said: int) -> bool:
    """Whether `[RET]` may be the token at this step (counted from 0) of a reply that has said it so often."""
    if settings.ret_mode == "off" or step < settings.min_word_tokens:
        return False
    return rets_said * settings.images_per_ret < settings.max_images


def must_say_ret(settings: GenerationSettings, rets_said: int) -> bool:
    """Whether a reply that is about to end still owes a picture (`always`)."""
    return settings.ret_mode == "always" and rets_said == 0 and settings.max_images > 0


def apply_ret_policy(logits: Tensor, ret_id: int, settings: GenerationSettings, step: int, rets_said: int) -> Tensor:
    """Logits (..., vocabulary) with the `[RET]` column forbidden, or in `auto` scaled and biased. The input is kept.

    The factor is the paper's and multiplies the raw logit: it makes `[RET]` *less* likely where that is negative.
    """
    logits = logits.clone()
    if not may_say_ret(settings, step, rets_said):
        logits[..., ret_id] = FORBIDDEN
    elif settings.ret_mode == "auto":
        logits[..., ret_id] = logits[..., ret_id] * (settings.ret_scale_factor or 1.0) + settings.ret_bias
    return logits


def probability(logits: Tensor, token_id: int) -> float:
    """How likely one token is under logits (vocabulary,)."""
    logits = logits.float()
    return float((logits[token_id] - logits.logsumexp(dim=-1)).exp())


def suppress(logits: Tensor, ids: Sequence[int]) -> Tensor:
    """Logits with the columns of these ids forbidden. The input is kept."""
    if not ids:
        return logits
    logits = logits.clone()
    logits[..., list(ids)] = FORBIDDEN
    return logits


def keep_nucleus(logits: Tensor, top_p: float) -> Tensor:
    """Forbids all but the smallest set of most likely tokens whose probability exceeds `top_p` (one at least)."""
    if top_p >= 1.0:
        return logits
    ordered, order = logits.sort(dim=-1, descending=True)
    reached = ordered.softmax(dim=-1).cumsum(dim=-1) > top_p
    beyond = torch.zeros_like(reached)
    beyond[..., 1:] = reached[..., :-1]  # the token that crosses the line stays
    return logits.masked_fill(torch.zeros_like(beyond).scatter(-1, order, beyond), FORBIDDEN)


def choose(logits: Tensor, temperature: float = 0.0, top_p: float = 1.0,
           generator: torch.Generator | None = None) -> int:  # fmt: skip
    """The next token from logits (vocabulary,): the likeliest at temperature 0, else drawn on the CPU."""
    if temperature == 0:
        return int(logits.argmax())
    kept = keep_nucleus(logits.float().cpu() / temperature, top_p)
    return int(torch.multinomial(kept.softmax(dim=-1), 1, generator=generator))
