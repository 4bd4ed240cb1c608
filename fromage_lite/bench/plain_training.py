"""A training step of FROMAGe as the paper's code does it, with every saving of ours as a switch: what ours is measured
against, and checked against.

Written from the method's description; `docs/performance.md` says what each saving is.

Shapes: B batch, T positions, V visual tokens, D width of the LM's embeddings, W words of the LM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fromage_lite.model.fromage import Fromage
from fromage_lite.text.interleaving import IGNORED
from fromage_lite.training.data.encoding import Encoded
from fromage_lite.training.recipe import Recipe

PADDED = 24
"""Tokens that the paper's code pads a caption to, `[RET]` included."""


@dataclass(frozen=True)
class Savings:
    """What is saved; nothing, by default.

    Attributes:
        encoder: how often the image encoder runs in a step: once for each of the two passes, once, or never, where its
            features are cached.
        lengths: captions are padded to the longest of their batch, not to `PADDED`.
        labels: words' logits are computed where there is a label, not everywhere.
        virtual_ret: the `[RET]` row is a parameter of its own; else it is the last row of the LM's whole embedding
            matrix, whose gradient is computed, masked, and kept by the optimiser.
        ret_only: of the retrieval pass only the `[RET]` position is differentiated.
    """

    encoder: Literal["each pass", "once", "cached"] = "each pass"
    lengths: bool = False
    labels: bool = False
    virtual_ret: bool = False
    ret_only: bool = False

    @classmethod
    def every(cls, encoder: Literal["once", "cached"]) -> Savings:
        """All of them."""
        return cls(encoder, **{field.name: True for field in fields(cls) if field.name != "encoder"})


@dataclass(frozen=True)
class Examples:
    """A batch before it is padded.

    Attributes:
        captioning: `[picture][caption]`, the picture's V positions first.
        retrieval: `[caption][RET]`.
        pixels: (B, 3, height, width), what the encoder reads.
        features: (B, F), what it makes of them.
    """

    captioning: Sequence[Encoded]
    retrieval: Sequence[Encoded]
    pixels: Tensor
    features: Tensor


class PlainTraining:
    """Steps of captioning and retrieval on the bridge of a model.

    Args:
        model: its bridge is trained in place; with `virtual_ret` off, its `[RET]` row is not: a copy of the whole
            matrix is.
        recipe: of the optimiser.
        savings: what is saved.
    """

    def __init__(self, model: Fromage, recipe: Recipe, savings: Savings) -> None:
        self._model, self._recipe, self._savings = model, recipe, savings
        trained = model.trained_parameters()
        self._ret: nn.Parameter = model.bridge.ret_row
        words = model.language.model.get_input_embeddings().weight[: model.language.vocab_size]
        self._words: Tensor = words
        if not savings.virtual_ret:
            self._matrix = nn.Parameter(torch.cat([words, self._ret.detach().to(words)[None]]))
            trained["ret_row"] = self._matrix
        self._trained = trained
        rate, betas = recipe.learning_rate, recipe.betas
        self.optimizer = torch.optim.AdamW(trained.values(), lr=rate, betas=betas, weight_decay=recipe.weight_decay)

    @property
    def trained_bytes(self) -> int:
        """What has a gradient, in bytes."""
        return sum(parameter.nbytes for parameter in self._trained.values())

    def step(self, examples: Examples) -> None:
        """One whole step of training."""
        self.backward(examples)
        torch.nn.utils.clip_grad_norm_(self._trained.values(), self._recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)
        with torch.no_grad():
            if self._savings.virtual_ret:
                self._ret.mul_(self._model.language.mean_row_norm / self._ret.norm())
            else:
                mean = self._matrix[:-1].norm(dim=-1).mean()
                self._matrix[-1].mul_(mean / self._matrix[-1].norm())

    def backward(self, examples: Examples) -> float:
        """Both passes and the gradients of their summed losses; returns that sum."""
        loss = self._captioning(examples) + self._retrieval(examples)
        loss.backward()
        if not self._savings.virtual_ret:
            assert self._matrix.grad is not None
            self._matrix.grad[:-1] = 0
        return float(loss.detach())

    def gradients(self) -> dict[str, Tensor]:
        """The gradients of the bridge by their names, of the matrix only that of its row `[RET]`."""
        found = {name: p.grad.clone() for name, p in self._trained.items() if p.grad is not None}
        return found if self._savings.virtual_ret else found | {"ret_row": found["ret_row"][-1]}

    # --- the two passes ---

    def _captioning(self, examples: Examples) -> Tensor:
        features = self._features(examples)
        visual = self._model.visual_embeds(features)  # (B, V, D)
        count = visual.shape[1]
        parts = [replace(part, ids=part.ids[count:], labels=part.labels[count:]) for part in examples.captioning]
        ids, labels = self._padded(parts, visual.device)
        embeds = torch.cat([visual.to(self._words), self._embed(ids)], dim=1)
        hidden = self._model.language.forward(embeds).hidden[:, count - 1 : -1]  # (B, T, D), each before its label
        return self._label_loss(hidden, labels)

    def _retrieval(self, examples: Examples) -> Tensor:
        features = self._features(examples) if self._savings.encoder == "each pass" else self._kept
        ids, labels = self._padded(examples.retrieval, features.device, on_left=self._savings.ret_only)
        if self._savings.ret_only:
            hidden, last = self._read_singly(ids, labels)
        else:
            output = self._model.language.forward(self._embed(ids))
            hidden = output.hidden[:, :-1]
            last = output.hidden[labels == self._model.language.ret_token_id]
        language_loss = self._label_loss(hidden, labels[:, 1:])
        queries, keys = self._model.bridge.query_embeds([last]), self._model.image_embeds(features)
        logits = self._model.bridge.logit_scale.exp() * queries @ keys.T
        right = torch.arange(len(logits), device=logits.device)
        return language_loss + (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2

    def _read_singly(self, ids: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Captions without gradients into a KV cache, then `[RET]` alone."""
        language = self._model.language
        mask = (labels != IGNORED) | F.pad(labels[:, 1:] != IGNORED, (0, 1))  # the first token is no label
        cache = language.new_cache()
        with torch.no_grad():
            hidden = language.forward(self._embed(ids[:, :-1]), cache, mask=mask[:, :-1]).hidden
        return hidden, language.forward(self._embed(ids[:, -1:]), cache, mask=mask).hidden[:, -1]

    # --- their parts ---

    def _features(self, examples: Examples) -> Tensor:
        cached = self._savings.encoder == "cached"
        self._kept = examples.features if cached else self._model.vision.encode(examples.pixels).pooled
        return self._kept

    def _padded(
        self, examples: Sequence[Encoded], device: torch.device, on_left: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Ids (B, T), 0 at padding, and labels (B, T)."""
        width = max(map(len, examples)) if self._savings.lengths else PADDED
        ids = torch.zeros(len(examples), width, dtype=torch.long)
        labels = torch.full_like(ids, IGNORED)
        for row, example in enumerate(examples):
            place = slice(width - len(example), None) if on_left else slice(len(example))
            ids[row, place] = torch.from_numpy(example.ids)
            labels[row, place] = torch.from_numpy(example.labels)
            if on_left and width > len(example):  # nothing precedes the first token to foretell it from
                labels[row, width - len(example)] = IGNORED
        return ids.to(device), labels.to(device)

    def _embed(self, ids: Tensor) -> Tensor:
        if self._savings.virtual_ret:
            return self._model.language.embed(ids, self._ret)
        return F.embedding(ids, self._matrix)

    def _label_loss(self, hidden: Tensor, labels: Tensor) -> Tensor:
        if self._savings.labels:
            keep = labels != IGNORED
            hidden, labels = hidden[keep], labels[keep]
        if self._savings.virtual_ret:
            logits = self._model.language.logits(hidden, self._ret)
        else:
            logits = F.linear(hidden, self._matrix)  # (B, T, W + 1)
        return F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), ignore_index=IGNORED)
