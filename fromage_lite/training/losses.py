"""The losses of FROMAGe, with its exact savings: equal gradients, less work.

- Vocabulary logits only where there is a label.
- In the retrieval pass nothing before `[RET]` depends on a trained parameter: the caption runs without gradient into a
  KV cache, and only the `[RET]` position is differentiated. Its caption's cross-entropy reaches the bridge through the
  `[RET]` column of the logits alone.
- Pictures come as cached features.

Every loss is a mean over all processes: the mean of the processes' values and gradients is the value and gradient of
one process that computes the whole batch.

Shapes: B batch, T positions, Q queries, K keys, R width of the retrieval space.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from fromage_lite.language.model import LMOutput
from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.batches import Negatives, RetrievalBatch, SequenceBatch, StepBatch
from fromage_lite.training.data.encoding import IGNORED, IMAGE_SLOT
from fromage_lite.training.recipe import Weights


@dataclass(frozen=True)
class LabelLoss:
    """Next-token cross-entropy over the labels.

    Attributes:
        loss: mean over all labels of all processes' batches, times this process's share of them.
        correct: labels that got the highest logit, here.
        count: labels, here.
    """

    loss: Tensor
    correct: Tensor
    count: int


def step_losses(model: Fromage, batch: StepBatch, weights: Weights) -> dict[str, Tensor]:
    """All losses of a step by name, unweighted scalars, and `total`, their weighted sum.

    The names are those of `Weights`.
    """
    losses: dict[str, Tensor] = {}
    if batch.captioning is not None:
        losses["captioning"] = sequence_pass(model, batch.captioning)[0].loss
    queries = keys = None
    if batch.retrieval is not None:
        label_loss, queries = retrieval_pass(model, batch.retrieval)
        keys = _image_embeds(model, batch.retrieval.features)
        losses["retrieval"] = label_loss.loss
        text, image = contrastive_losses(model, queries, keys, batch.retrieval.groups, batch.negatives)
        losses["contrastive"] = (text + image) / 2
    if batch.dialogues is not None:
        label_loss, queries = sequence_pass(model, batch.dialogues)
        losses["dialogue"] = label_loss.loss
        losses["dialogue_contrastive"] = dialogue_contrastive_loss(model, queries, batch, keys)
    factors = {name: getattr(weights, name) for name in losses}
    losses["total"] = torch.stack([factors[name] * loss for name, loss in losses.items() if factors[name]]).sum()
    return losses


def sequence_pass(model: Fromage, batch: SequenceBatch) -> tuple[LabelLoss, Tensor]:
    """Interleaved sequences: the cross-entropy of their labels, and the queries of their `[RET]`s, (Q, R)."""
    embeds = _sequence_embeds(model, batch)
    output = model.language.forward(embeds, layers=model.config.text_emb_layers)
    is_ret = batch.labels == model.language.ret_token_id
    queries = _query_embeds(model, [state[is_ret] for state in output.layers])
    return label_loss(model, output.hidden[:, :-1], batch.labels[:, 1:]), queries


def retrieval_pass(model: Fromage, batch: RetrievalBatch) -> tuple[LabelLoss, Tensor]:
    """`[caption][RET]`: the cross-entropy of caption and `[RET]`, and the queries at `[RET]`, (B, R)."""
    language = model.language
    layers = model.config.text_emb_layers
    if not language.can_crop:  # a recurrent state is overwritten in the cache, which no gradient survives
        return _uncached_retrieval_pass(model, batch)
    cache = language.new_cache()
    with torch.no_grad():
        embeds = language.embed(batch.ids, model.bridge.ret_row)
        hidden = _masked_forward(model, embeds, batch.mask, cache).hidden  # (B, T, ·)
    ret = language.embed(torch.full_like(batch.ids[:, :1], language.ret_token_id), model.bridge.ret_row)
    mask = F.pad(batch.mask, (0, 1), value=True)
    output = _masked_forward(model, ret, mask, cache, layers)
    queries = _query_embeds(model, [state[:, -1] for state in output.layers])
    return label_loss(model, hidden, batch.labels[:, 1:]), queries


def _uncached_retrieval_pass(model: Fromage, batch: RetrievalBatch) -> tuple[LabelLoss, Tensor]:
    ids = F.pad(batch.ids, (0, 1), value=model.language.ret_token_id)
    embeds, mask = model.language.embed(ids, model.bridge.ret_row), F.pad(batch.mask, (0, 1), value=True)
    output = _masked_forward(model, embeds, mask, None, model.config.text_emb_layers)
    queries = _query_embeds(model, [state[:, -1] for state in output.layers])
    return label_loss(model, output.hidden[:, :-1], batch.labels[:, 1:]), queries


def label_loss(model: Fromage, hidden: Tensor, labels: Tensor) -> LabelLoss:
    """Cross-entropy where there are labels.

    Args:
        model: for the head and the row of `[RET]`.
        hidden: (B, T, ·), what the head sees.
        labels: (B, T), the id that each position shall predict, or `IGNORED`.
    """
    keep = labels != IGNORED
    wanted = labels[keep]
    logits = model.language.logits(hidden[keep], model.bridge.output_row).float()
    total = _summed_over_processes(torch.tensor(len(wanted), device=labels.device)).clamp(min=1)
    share = F.cross_entropy(logits, wanted, reduction="sum") * _world() / total
    correct = (logits.detach().argmax(dim=-1) == wanted).sum()
    return LabelLoss(share, correct, len(wanted))


def contrastive_losses(
    model: Fromage, queries: Tensor, keys: Tensor, groups: Tensor, negatives: Negatives | None = None
) -> tuple[Tensor, Tensor]:
    """InfoNCE of a batch in both directions, each caption against all pictures and each picture against all captions.

    Args:
        model: for the temperature.
        queries: (B, R) unit vectors at `[RET]`.
        keys: (B, R) unit vectors of the pictures, in the same order.
        groups: (B,); another picture of the own group is no negative.
        negatives: further pictures for the captions' direction.

    Returns:
        The text-to-image and the image-to-text loss.
    """
    here = torch.arange(len(queries), device=queries.device) + _rank() * len(queries)
    all_queries, all_keys, all_groups = gather(queries), gather(keys), gather(groups)
    targets, target_groups = all_keys, all_groups
    if negatives is not None:
        targets = torch.cat([all_keys, _image_embeds(model, negatives.features)])
        target_groups = torch.cat([all_groups, negatives.groups])
    text = info_nce(model, queries, targets, here, groups, target_groups)
    image = info_nce(model, keys, all_queries, here, groups, all_groups)
    return text.mean(), image.mean()


def dialogue_contrastive_loss(model: Fromage, queries: Tensor, batch: StepBatch, keys: Tensor | None) -> Tensor:
    """InfoNCE from the dialogues' `[RET]`s to the pictures that were meant.

    One direction only: a request ("show me a cat") fits many pictures, so a picture does not tell its request. The
    negatives are the other dialogues' pictures, the captioned ones (`keys`) and the further ones, of this process.
    """
    assert batch.dialogues is not None
    own, groups = _image_embeds(model, batch.dialogues.ret_features), batch.dialogues.ret_groups
    targets, target_groups = [own], [groups]
    if keys is not None and batch.retrieval is not None:
        targets.append(keys)
        target_groups.append(batch.retrieval.groups)
    if batch.negatives is not None:
        targets.append(_image_embeds(model, batch.negatives.features))
        target_groups.append(batch.negatives.groups)
    here = torch.arange(len(queries), device=queries.device)
    losses = info_nce(model, queries, torch.cat(targets), here, groups, torch.cat(target_groups))
    total = _summed_over_processes(torch.tensor(len(queries), device=queries.device)).clamp(min=1)
    return losses.sum() * _world() / total


def info_nce(
    model: Fromage, queries: Tensor, keys: Tensor, targets: Tensor, query_groups: Tensor, key_groups: Tensor
) -> Tensor:
    """Cross-entropy of each query's right key among all keys, (Q,).

    Args:
        model: for the temperature.
        queries: (Q, R) unit vectors.
        keys: (K, R) unit vectors.
        targets: (Q,) the right key's number.
        query_groups: (Q,); keys of the same group are left out, the right one excepted.
        key_groups: (K,).
    """
    with _full_precision(queries):
        logits = model.bridge.logit_scale.exp() * queries @ keys.T
    alike = query_groups[:, None] == key_groups[None, :]
    alike[torch.arange(len(targets), device=targets.device), targets] = False
    return F.cross_entropy(logits.masked_fill(alike, float("-inf")), targets, reduction="none")


def gather(tensor: Tensor) -> Tensor:
    """The tensor of all processes, one below the other; the gradient flows back to each process's own part."""
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


def _sequence_embeds(model: Fromage, batch: SequenceBatch) -> Tensor:
    """(B, T, D): words, `[RET]`s and visual tokens, with gradient to the bridge."""
    is_slot = batch.ids == IMAGE_SLOT
    embeds = model.language.embed(batch.ids.masked_fill(is_slot, 0), model.bridge.ret_row)
    if not len(batch.features):
        return embeds
    with _full_precision(batch.features):
        visual = model.visual_embeds(batch.features).to(embeds)  # (I, V, D)
    return embeds.masked_scatter(is_slot[..., None], visual.reshape(-1, embeds.shape[-1]))


def _image_embeds(model: Fromage, features: Tensor) -> Tensor:
    with _full_precision(features):
        return model.image_embeds(features)


def _query_embeds(model: Fromage, states: list[Tensor]) -> Tensor:
    with _full_precision(states[0]):
        return model.bridge.query_embeds(states)


def _full_precision(tensor: Tensor) -> torch.autocast:
    """The bridge computes in float32, mixed precision or not: bf16 cosines times a scale of 100 would be off by 0.4."""
    return torch.autocast(tensor.device.type, enabled=False)


def _masked_forward(
    model: Fromage, embeds: Tensor, mask: Tensor, cache: object | None, layers: tuple[int, ...] = (-1,)
) -> LMOutput:
    """`LanguageModel.forward` for left-padded rows: positions count from each row's first token.

    Args:
        model: whose language model runs.
        embeds: (B, T, D), the new positions.
        mask: (B, past + T), false at padding.
        cache: grown in place; None runs without one.
        layers: hidden states to return.
    """
    decoder = model.language.decoder
    options: dict[str, Tensor] = {}
    if "position_ids" in inspect.signature(decoder.forward).parameters:
        options["position_ids"] = (mask.long().cumsum(dim=1) - 1).clamp(min=0)[:, -embeds.shape[1] :]
    output = decoder(
        inputs_embeds=embeds.to(model.language.dtype),
        attention_mask=mask.long(),
        past_key_values=cache,
        use_cache=cache is not None,
        output_hidden_states=any(layer != -1 for layer in layers),
        **options,
    )
    last = output.last_hidden_state
    states = tuple(last if layer == -1 else output.hidden_states[layer] for layer in layers)
    return LMOutput(last, states, cache)


def _world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _rank() -> int:
    return dist.get_rank() if _world() > 1 else 0


def _summed_over_processes(tensor: Tensor) -> Tensor:
    if _world() > 1:
        tensor = tensor.clone()
        dist.all_reduce(tensor)
    return tensor
