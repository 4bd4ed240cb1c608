"""AdamW over the bridge, its learning rate, and what belongs to a step of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor

from fromage_lite.model.fromage import Fromage
from fromage_lite.training.recipe import Recipe


def make_optimizer(model: Fromage, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW over all that is trained. The map to visual tokens, the soft prompt and the language model's adapters have
    rates of their own, and stay as they are if that is 0."""
    rates = {
        "visual_embeddings": recipe.visual_rate,
        "visual_norm": recipe.visual_rate,
        "soft_prompt": recipe.prompt_rate,
        "adapters": recipe.adapter_rate,
    }
    parts: dict[str, list[torch.nn.Parameter]] = {"": [], **{part: [] for part in rates}}
    for name, parameter in model.trained_parameters().items():
        part = name.partition(".")[0]
        parts[part if part in rates else ""].append(parameter)
        parameter.requires_grad_(rates.get(part, 1.0) > 0)
    groups = [{"params": parts[part], "rate": rates.get(part, 1.0)} for part in parts if parts[part]]
    return torch.optim.AdamW(
        groups, lr=recipe.learning_rate, betas=recipe.betas, eps=1e-8, weight_decay=recipe.weight_decay
    )


@contextmanager
def image_dropout(model: Fromage, share: float, seed: int, step: int) -> Iterator[None]:
    """Inside, this share of the numbers of visual tokens is zero, and the others are larger for it; which ones is a
    function of seed and step."""
    if share:
        generator = torch.Generator().manual_seed((seed << 32) + step)

        def drop(tokens: Tensor) -> Tensor:
            kept = torch.rand(tokens.shape, generator=generator) >= share
            return tokens * kept.to(tokens) / (1 - share)

        model.bridge.visual_dropout = drop
    try:
        yield
    finally:
        model.bridge.visual_dropout = None


def learning_rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step, counted from 0: a linear rise (never 0), then constant or half a cosine."""
    if step < recipe.warmup_steps:
        return recipe.learning_rate * (step + 1) / recipe.warmup_steps
    if recipe.schedule == "constant":
        return recipe.learning_rate
    done = (step - recipe.warmup_steps) / max(recipe.steps - recipe.warmup_steps, 1)
    share = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return recipe.learning_rate * (recipe.final_learning_rate + (1 - recipe.final_learning_rate) * share)


def optimizer_step(
    model: Fromage, optimizer: torch.optim.Optimizer, recipe: Recipe, accelerator: Accelerator | None = None
) -> float:
    """Clips, steps, and rescales the `[RET]` row; returns the gradients' norm before clipping.

    With several processes it averages the gradients first: they are few, so no distributed wrapper is needed.
    """
    parameters = list(model.trained_parameters().values())
    if accelerator is None:
        norm = torch.nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
    else:
        if accelerator.num_processes > 1:
            for parameter in parameters:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                parameter.grad = accelerator.reduce(parameter.grad, "mean")
        norm = accelerator.clip_grad_norm_(parameters, recipe.clip_norm)
    optimizer.step()
    model.bridge.renormalise_ret(model.language.mean_row_norm, model.language.mean_output_row_norm)
    if recipe.max_scale is not None:
        with torch.no_grad():
            model.bridge.logit_scale.clamp_(max=math.log(recipe.max_scale))
    return float(norm)
