"""What tells language-model families apart when they are driven through `inputs_embeds`, and a check for the rest."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fromage_lite.errors import CheckpointError
from index.errors import reason

if TYPE_CHECKING:
    from fromage_lite.language.model import LanguageModel

CHECK_TOLERANCE = 0.1  # share of the logits' norm by which two ways to compute them may differ, in half precision too


def input_factor(config: Any) -> float:
    """What a model multiplies embedded ids with, but not `inputs_embeds`. (Granite multiplies both, Gemma's embedding
    module multiplies by itself: there is nothing to do for them.)"""
    return config.embedding_multiplier if config.model_type == "falcon_h1" else 1.0


def output_factor(config: Any) -> float:
    """What a model multiplies its head's output with, before a soft cap."""
    if getattr(config, "logit_scale", None):  # Cohere
        return config.logit_scale
    if getattr(config, "lm_head_multiplier", None):  # Falcon-H1
        return config.lm_head_multiplier
    if scaling := getattr(config, "logits_scaling", None):  # Granite divides, HyperCLOVA X multiplies
        return scaling if config.model_type == "hyperclovax" else 1 / scaling
    return 1.0


@torch.no_grad()
def check(language: LanguageModel) -> None:
    """Compares a model's own logits of four ids with ours: embedded here, in two steps with a cache, head applied here.

    There are hundreds of architectures. One that has a factor or a state of its own must be refused, not talk nonsense.

    Raises:
        CheckpointError: the model can't be driven so, or gives other logits.
    """
    hint = "Choose another language model."
    start = min(10, max(language.vocab_size - 4, 0))
    ids = torch.arange(start, start + 4, device=language.device).clamp(max=language.vocab_size - 1)[None]
    try:
        taken = inspect.signature(language.decoder.forward).parameters
        if missing := {"inputs_embeds", "past_key_values"} - set(taken):
            raise TypeError(f"it does not take {' and '.join(sorted(missing))}")
        expected = language.model(input_ids=ids, use_cache=False).logits[..., : language.vocab_size]
        found = _our_logits(language, ids)[..., :-1]
    except Exception as error:  # a foreign architecture may fail in any way
        raise CheckpointError(
            f"The language model {language.name} can't take pictures: {reason(error)}.", hint
        ) from error
    difference = ((found.float() - expected.float()).norm() / expected.float().norm()).item()
    if not difference < CHECK_TOLERANCE:
        raise CheckpointError(
            f"The language model {language.name} computes its logits in a way that is not known here: "
            f"they differ by {difference:.0%}.",
            hint,
        )


def _our_logits(language: LanguageModel, ids: Tensor) -> Tensor:
    cache = language.new_cache()
    embeds = language.embed(ids, torch.zeros(language.dim))
    hidden = [language.forward(part, cache).hidden for part in embeds.split(2, dim=1)]
    return language.logits(torch.cat(hidden, dim=1), torch.zeros(language.head_dim))
