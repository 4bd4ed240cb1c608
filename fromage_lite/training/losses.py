"""The losses of FROMAGe: captioning, retrieval, and the contrast between captions and pictures.

Every loss is scaled so that its mean over all processes, like the mean of the gradients, is what one process would get
for the whole batch.

Shapes: B batch, L labels, Q queries, K keys, R width of the retrieval space.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.batches import Negatives, StepBatch
from fromage_lite.training.recipe import Weights

_ALONE: ContextVar[bool] = ContextVar("_ALONE", default=False)


def step_losses(model: Fromage, batch: StepBatch, weights: Weights) -> dict[str, Tensor]:
    """All losses of a step as unweighted scalars, by their names in `Weights`, and `total`, their weighted sum.

    `contrastive_t2i` and `contrastive_i2t`, from text to image and back, are the two parts of `contrastive`, to be
    looked at only.
    """
    losses: dict[str, Tensor] = {}
    directions: dict[str, Tensor] = {}
    keys = None
    if (captions := batch.captioning) is not None:
        output = model.caption_forward(captions.ids, captions.features, captions.labels)
        losses["captioning"] = label_loss(output.logits, output.labels)
    if (retrieval := batch.retrieval) is not None:
        output = model.retrieval_forward(retrieval.ids, retrieval.mask, retrieval.labels)
        losses["retrieval"] = label_loss(output.logits, output.labels)
        keys = model.image_embeds(retrieval.features)
        text, image = contrastive_losses(model, output.queries, keys, retrieval.groups, batch.negatives)
        losses["contrastive"] = (text + image) / 2
        directions = {"contrastive_t2i": text.detach(), "contrastive_i2t": image.detach()}
    if (dialogues := batch.dialogues) is not None:
        output = model.caption_forward(dialogues.ids, dialogues.features, dialogues.labels)
        losses["dialogue"] = label_loss(output.logits, output.labels)
        losses["dialogue_contrastive"] = dialogue_contrastive_loss(model, output.queries, batch, keys)
    factors = {name: getattr(weights, name) for name in losses}
    losses["total"] = torch.stack([factors[name] * loss for name, loss in losses.items() if factors[name]]).sum()
    return losses | directions


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Next-token cross-entropy of logits (L, vocab_size + 1) under their labels (L,).

    Returns:
        A scalar: the sum over this process's labels, over the mean number of labels per process.
    """
    total = _summed_over_processes(torch.tensor(len(labels), device=labels.device)).clamp(min=1)
    return F.cross_entropy(logits.float(), labels, reduction="sum") * _world() / total


def contrastive_losses(
    model: Fromage, queries: Tensor, keys: Tensor, groups: Tensor, negatives: Negatives | None = None
) -> tuple[Tensor, Tensor]:
    """InfoNCE of a batch in both directions: each caption against all pictures, each picture against all captions.

    Args:
        model: for the temperature.
        queries: (B, R) unit vectors at `[RET]`.
        keys: (B, R) unit vectors of the pictures, in the same order.
        groups: (B,); pictures of the same group are not negatives of each other.
        negatives: additional pictures for the captions' direction.

    Returns:
        The text-to-image and the image-to-text loss.
    """
    here = torch.arange(len(queries), device=queries.device) + _rank() * len(queries)
    all_queries, all_keys, all_groups = gather(queries), gather(keys), gather(groups)
    targets, target_groups = all_keys, all_groups
    if negatives is not None:
        targets = torch.cat([all_keys, model.image_embeds(negatives.features)])
        target_groups = torch.cat([all_groups, negatives.groups])
    text = info_nce(model, queries, targets, here, groups, target_groups)
    image = info_nce(model, keys, all_queries, here, groups, all_groups)
    return text.mean(), image.mean()


def dialogue_contrastive_loss(model: Fromage, queries: Tensor, batch: StepBatch, keys: Tensor | None) -> Tensor:
    """InfoNCE from the dialogues' `[RET]`s to their target pictures.

    One direction only: a request ("show me a cat") fits many pictures, so a picture does not identify its request. The
    negatives are this process's other dialogue pictures, captioned pictures (`keys`) and additional ones.
    """
    assert batch.dialogues is not None
    own, groups = model.image_embeds(batch.dialogues.ret_features), batch.dialogues.ret_groups
    targets, target_groups = [own], [groups]
    if keys is not None and batch.retrieval is not None:
        targets.append(keys)
        target_groups.append(batch.retrieval.groups)
    if batch.negatives is not None:
        targets.append(model.image_embeds(batch.negatives.features))
        target_groups.append(batch.negatives.groups)
    here = torch.arange(len(queries), device=queries.device)
    losses = info_nce(model, queries, torch.cat(targets), here, groups, torch.cat(target_groups))
    total = _summed_over_processes(torch.tensor(len(queries), device=queries.device)).clamp(min=1)
    return losses.sum() * _world() / total


def info_nce(
    model: Fromage, queries: Tensor, keys: Tensor, targets: Tensor, query_groups: Tensor, key_groups: Tensor
) -> Tensor:
    """Cross-entropy of each query's target key among all keys, (Q,).

    Args:
        model: for the temperature.
        queries: (Q, R) unit vectors.
        keys: (K, R) unit vectors.
        targets: (Q,) the target key's number.
        query_groups: (Q,); keys of the same group are left out, except for the target.
        key_groups: (K,).
    """
    with torch.autocast(queries.device.type, enabled=False):  # as in the bridge
        logits = model.bridge.logit_scale.exp() * queries @ keys.T
    alike = query_groups[:, None] == key_groups[None, :]
    alike[torch.arange(len(targets), device=targets.device), targets] = False
    return F.cross_entropy(logits.masked_fill(alike, float("-inf")), targets, reduction="none")


def gather(tensor: Tensor) -> Tensor:
    """The tensors of all processes, concatenated; the gradient flows back to each process's own part."""
    return _Gather.apply(tensor) if _world() > 1 else tensor


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(_world())]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return _summed_over_processes(gradient.contiguous()).chunk(_world())[_rank()]


@contextmanager
def alone() -> Iterator[None]:
    """Inside, the batch of this process is the whole batch: as in validation, where all processes have the same."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def _world() -> int:
    has_others = not _ALONE.get() and dist.is_available() and dist.is_initialized()
    return dist.get_world_size() if has_others else 1


def _rank() -> int:
    return dist.get_rank() if _world() > 1 else 0


def _summed_over_processes(tensor: Tensor) -> Tensor:
    if _world() > 1:
        tensor = tensor.clone()
        dist.all_reduce(tensor)
    return tensor
