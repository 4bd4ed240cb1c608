"""How likely a model says each of several texts after one context, which it reads once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from fromage_lite.errors import MessageError
from fromage_lite.model.fromage import Fromage
from fromage_lite.text.interleaving import IGNORED


@torch.inference_mode()
def continuation_log_likelihoods(
    model: Fromage,
    context: Tensor,
    continuations: Sequence[Sequence[int]],
    *,
    batch_size: int = 25,
    shifted: bool = True,
) -> Tensor:
    """The log-probability of each continuation, summed over its tokens.

    The context is read once; its keys and values are then shared by `batch_size` continuations at a time, so that a
    hundred short ones cost about as much as the context. Memory holds it `batch_size` times over.

    Args:
        model: the model.
        context: (1, T, D), as `prompt_embeds` gives it.
        continuations: ids of each; none may be empty.
        batch_size: how many are read at once.
        shifted: whether a token's probability is taken where it is predicted, at the position before it. False takes it
            at the token's own position, log p(x_t | x_<=t), as evals/eval_visdial_generation.py of the original does,
            to reproduce its numbers.

    Returns:
        (len(continuations),) float32, on the CPU.

    Raises:
        MessageError: context and continuation do not fit into the LM's positions.
        ValueError: a continuation is empty.
    """
    language, length = model.language, context.shape[1]
    if not continuations or not all(continuations):
        raise ValueError("a continuation has no tokens")
    longest = max(map(len, continuations))
    if length + longest > language.max_positions:
        raise MessageError(
            f"A context of {length} tokens and an answer of {longest} do not fit into the language model's "
            f"{language.max_positions} positions.",
            "Give fewer turns of the dialogue.",
        )
    cache, used = None, 0
    scores: list[Tensor] = []
    # By length, so that little is padded.
    order = sorted(range(len(continuations)), key=lambda number: len(continuations[number]))
    for start in range(0, len(order), batch_size):
        part = [continuations[number] for number in order[start : start + batch_size]]
        if cache is None or not language.can_crop:  # a state that can't be cut back is computed anew
            cache = language.new_cache(batched=True)
            last = language.forward(context, cache).hidden[:, -1:]  # (1, 1, head_dim)
        else:
            cache.crop(-used)
        cache.reorder_cache(torch.zeros(len(part), dtype=torch.long))
        ids, used = _padded(part)
        embeds = language.embed(ids.clamp(min=0), model.bridge.ret_row)
        hidden = language.forward(embeds, cache).hidden  # (n, L, head_dim)
        if shifted:
            hidden = torch.cat([last.expand(len(part), -1, -1), hidden[:, :-1]], dim=1)
        scores.append(_summed(model, hidden, ids.to(hidden.device)))
    result = torch.empty(len(order))
    result[torch.tensor(order)] = torch.cat(scores).float().cpu()
    return result


def _padded(continuations: Sequence[Sequence[int]]) -> tuple[Tensor, int]:
    """(n, L) int64, `IGNORED` at padding on the right, and L. Nothing attends to the padding, so no mask is needed."""
    longest = max(map(len, continuations))
    return torch.tensor([[*ids, *[IGNORED] * (longest - len(ids))] for ids in continuations]), longest


def _summed(model: Fromage, hidden: Tensor, ids: Tensor) -> Tensor:
    """The log-probabilities (n,) of ids (n, L) under what the head sees for them, (n, L, head_dim)."""
    logits = model.language.logits(hidden, model.bridge.output_row).float()  # (n, L, vocab_size + 1)
    losses = F.cross_entropy(logits.transpose(1, 2), ids, ignore_index=IGNORED, reduction="none")
    return -losses.sum(dim=1)
