"""What tells language-model families apart when they are driven through `inputs_embeds`: factors of their own."""

from __future__ import annotations

from typing import Any


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
