"""Figures on held-out data during training: the losses, how many labels are right, and text-to-image recall."""

from __future__ import annotations

from collections import defaultdict

import torch
from accelerate import Accelerator
from torch import Tensor

from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.batches import Batches, StepBatch
from fromage_lite.training.losses import alone, step_losses
from fromage_lite.training.recipe import Recipe
from index.metrics import recall_at_k


@torch.no_grad()
def validate(model: Fromage, batches: Batches, recipe: Recipe, accelerator: Accelerator) -> dict[str, float]:
    """The recipe's losses and figures on held-out examples, each under `validation/NAME`.

    `total` is the weighted sum of the mean losses. `recall@1` and `recall@5` are text-to-image, over the pictures of
    all captions used. Every process computes the same.
    """
    sums: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for batch in batches.in_order(recipe.validation_examples):
        batch = batch.to(accelerator.device)
        with accelerator.autocast(), alone():
            losses = step_losses(model, batch, recipe.weights)
            accuracy = _accuracy(model, batch)
            if batch.retrieval is not None:
                found.append(_embeds(model, batch))
        for name, value in (losses | accuracy).items():
            if name != "total":
                sums[name] += float(value) * (size := _size(batch, name))
                counts[name] += size
    means = {name: sums[name] / counts[name] for name in sums if counts[name]}
    total = sum(getattr(recipe.weights, name, 0) * value for name, value in means.items())
    recalls = _recalls(*(torch.cat(parts) for parts in zip(*found, strict=True))) if found else {}
    return {f"validation/{name}": float(value) for name, value in {"total": total, **means, **recalls}.items()}


def _size(batch: StepBatch, name: str) -> int:
    """The weight of a batch in the mean of a figure."""
    if name == "dialogue_contrastive":
        return len(batch.dialogues.ret_groups) if batch.dialogues is not None else 0
    part = batch.dialogues if name.startswith("dialogue") else batch.captioning or batch.retrieval
    return len(part.ids) if part is not None else 0


def _accuracy(model: Fromage, batch: StepBatch) -> dict[str, Tensor]:
    parts = {"captioning_accuracy": batch.captioning, "dialogue_accuracy": batch.dialogues}
    accuracy: dict[str, Tensor] = {}
    for name, part in parts.items():
        if part is not None:
            output = model.caption_forward(part.ids, part.features, part.labels)
            is_right = output.logits.argmax(dim=-1) == output.labels
            accuracy[name] = is_right.sum() / max(len(is_right), 1)
    return accuracy


def _embeds(model: Fromage, batch: StepBatch) -> tuple[Tensor, Tensor, Tensor]:
    assert batch.retrieval is not None
    retrieval = batch.retrieval
    queries = model.retrieval_forward(retrieval.ids, retrieval.mask, retrieval.labels).queries
    return queries, model.image_embeds(retrieval.features), retrieval.groups


def _recalls(queries: Tensor, keys: Tensor, groups: Tensor) -> dict[str, float]:
    """R@1 and R@5: a picture is right if it is in the query's group."""
    best = (queries.float() @ keys.T).topk(min(5, len(keys))).indices
    is_right = (groups[best] == groups[:, None]).cpu().numpy()
    return {f"recall@{k}": recall_at_k(is_right, k) for k in (1, 5)}
