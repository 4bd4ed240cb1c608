"""Pictures inside a decoder: into the hidden states of chosen layers, and seen both ways. Forward hooks do it, so it
serves any decoder of transformers whose layers take a 4-D attention mask.

A position of a text has its embedding alone. A picture's has more: a mark, and what replaces its hidden state at the
entry of the chosen layers (eP-ALM: Shukor, Dancette and Cord 2023, arXiv 2303.11403). All of it travels in one row, of
which the embedding is the first part, so that whatever keeps, cuts and joins the embeddings of a dialogue keeps, cuts
and joins the pictures in it.

Shapes: B batch, T new positions, P cached ones, D width of the embeddings, H width of the hidden states, S values that
a position brings along.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.cache_utils import DynamicCache

from fromage_lite.errors import ConfigError

TEXT, FIRST, LATER = 0, 1, 2
"""Marks: a text's position, the first of a picture's, its others."""


@dataclass(frozen=True)
class PicturePlan:
    """How pictures stand in a decoder.

    Attributes:
        layers: the decoder layers, from 0, at whose entry a picture's positions are replaced; below the first of them a
            text doesn't see these positions. None is replaced if there are none.
        values: S, how many values a position brings; the layers take them in turn, in equal shares.
        both_ways: whether the positions of one picture see each other in both directions.
    """

    layers: tuple[int, ...] = ()
    values: int = 0
    both_ways: bool = False

    def value_at(self, layer: int) -> int:
        """Which of the values replaces the hidden state at a layer."""
        return self.layers.index(layer) * self.values // len(self.layers)


class PictureCache(DynamicCache):
    """A cache that remembers where pictures are.

    Attributes:
        marks: (B, positions) of all that was read; positions that were cut off may still be in it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.marks: Tensor | None = None

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Takes the sequences of these numbers in place of its own."""
        super().reorder_cache(beam_idx)
        if self.marks is not None:
            self.marks = self.marks.index_select(0, beam_idx.to(self.marks.device))


@dataclass(frozen=True)
class _Pass:
    """What the layers must know of one pass.

    Attributes:
        is_picture: (B, T, 1) bool.
        values: (B, T, S, H).
        below, from_first: which columns each row sees, (B, 1, T, P + T) bool, below the first layer with a picture and
            from it on.
    """

    is_picture: Tensor
    values: Tensor
    below: Tensor
    from_first: Tensor


class PictureLayers:
    """The hooks of one decoder. `remove` takes them off again.

    Args:
        module: the decoder.
        n_layers: how many layers it has.
        dim: D.
        hidden_dim: H.
        plan: what to do.
        name: the model's, for messages.

    Raises:
        ConfigError: the decoder has no such layer, or they can't be reached.
    """

    def __init__(
        self, module: nn.Module, n_layers: int, dim: int, hidden_dim: int, plan: PicturePlan, name: str
    ) -> None:
        self.plan, self._dim, self._hidden_dim = plan, dim, hidden_dim
        self._pass: _Pass | None = None
        wrong = [layer for layer in plan.layers if not 0 <= layer < n_layers]
        if wrong:
            raise ConfigError(f"inject_layers has {wrong[0]}, but {name} has the layers 0 to {n_layers - 1}.")
        lists = [part for part in module.modules() if isinstance(part, nn.ModuleList) and len(part) == n_layers]
        if not lists:
            raise ConfigError(f"The layers of the language model {name} can't be found, so no picture can enter them.")
        self._hooks = [
            layer.register_forward_pre_hook(self._hook(number), with_kwargs=True)
            for number, layer in enumerate(lists[0])
        ]

    @property
    def width(self) -> int:
        """Of a position's row: D, the mark, and S values of width H."""
        return self._dim + 1 + self.plan.values * self._hidden_dim

    def remove(self) -> None:
        """Takes the hooks off."""
        for hook in self._hooks:
            hook.remove()

    def rows(self, embeds: Tensor, values: Tensor | None = None) -> Tensor:
        """Rows of one picture each: embeddings (B, V, D) and values (B, V, S, H) -> (B, V, width)."""
        marks = torch.full_like(embeds[..., :1], LATER)
        marks[:, :1] = FIRST
        rest = embeds.new_zeros(*embeds.shape[:2], 0) if values is None else values.flatten(2).to(embeds)
        return torch.cat([embeds, marks, rest], dim=-1)

    def text_rows(self, embeds: Tensor) -> Tensor:
        """Rows of a text: embeddings (B, T, D) -> (B, T, width)."""
        return F.pad(embeds, (0, self.width - self._dim))

    @contextmanager
    def reading(self, rows: Tensor, past: Any, mask: Tensor | None) -> Iterator[Tensor]:
        """Inside, the decoder's layers treat the pictures of a pass as planned.

        Args:
            rows: (B, T, width); narrower ones (D) are text.
            past: a `PictureCache`, which then knows these positions, too; or None.
            mask: as for `Decoder`.

        Yields:
            the embeddings, (B, T, D).
        """
        if rows.shape[-1] == self._dim:
            rows = self.text_rows(rows)
        embeds, marks = rows[..., : self._dim], rows[..., self._dim].detach().long()
        if isinstance(past, PictureCache):
            before = past.get_seq_length()
            if past.marks is not None and before:
                marks = torch.cat([past.marks[:, :before], marks], dim=1)
            past.marks = marks
        if bool((marks != TEXT).any()):
            new = rows.shape[1]
            values = rows[..., self._dim + 1 :].unflatten(-1, (self.plan.values, self._hidden_dim))
            below, from_first = self.masks(marks, new, mask)
            self._pass = _Pass(marks[:, -new:, None] != TEXT, values, below, from_first)
        try:
            yield embeds
        finally:
            self._pass = None

    def masks(self, marks: Tensor, new: int, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Which columns the last `new` rows see, below the first layer with a picture and from it on.

        Args:
            marks: (B, P + T).
            new: T.
            mask: (B, P + T) bool, false at padding; None is no padding.

        Returns:
            two of (B, 1, T, P + T) bool. A row always sees itself.
        """
        total = marks.shape[1]
        column = torch.arange(total, device=marks.device)
        row = column[-new:, None]
        seen = (column <= row)[None].expand(len(marks), -1, -1)
        if self.plan.both_ways:
            block = (marks == FIRST).long().cumsum(dim=1).masked_fill(marks == TEXT, 0)
            seen = seen | ((block[:, -new:, None] == block[:, None]) & (block[:, None] > 0))
        if mask is not None:
            seen = seen & mask.to(marks.device)[:, None]
        itself = column == row
        seen = seen | itself
        below = (seen & (marks == TEXT)[:, None]) | itself if self.plan.layers else seen
        return below[:, None], seen[:, None]

    def _hook(self, number: int) -> Any:
        first = min(self.plan.layers, default=0)
        value = self.plan.value_at(number) if number in self.plan.layers else None

        def enter(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            now = self._pass
            if now is None:
                return None
            given = args[0] if args else kwargs["hidden_states"]
            hidden = given
            if value is not None:
                wanted = now.values[:, :, value].to(hidden)
                hidden = torch.where(now.is_picture.to(hidden.device), wanted, hidden)
            seen = (now.below if number < first else now.from_first).to(hidden.device)
            kwargs = {**kwargs, "attention_mask": _as_wanted(seen, kwargs.get("attention_mask"), layer, hidden.dtype)}
            if args:
                return (hidden, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": hidden}

        return enter


def _as_wanted(seen: Tensor, given: Tensor | None, layer: nn.Module, dtype: torch.dtype) -> Tensor:
    """A mask in the form of the one that the layer was given: to be added to scores, or true where to look."""
    added = given.is_floating_point() if given is not None else _adds_masks(layer)
    if not added:
        return seen
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)


def _adds_masks(layer: nn.Module) -> bool:
    """Whether the layer computes its attention itself (`eager`)."""
    for part in layer.modules():
        config = vars(part).get("config")
        if config is not None:
            return getattr(config, "_attn_implementation", "sdpa") == "eager"
    return False
