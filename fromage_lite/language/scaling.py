"""Position scalings that depend on how long the text is: what a cached key is then worth, and reading it again.

LongRoPE (Ding et al. 2024, arXiv 2402.13753; Phi-3) rotates *every* position by other factors once the text is longer
than the model's first training texts, dynamic NTK scaling by factors of the length itself. A key that was cached at
another length is then not what a run over the whole text would make.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

Scaling = tuple[bool | int, ...]
"""Names a scaling: keys that were made under another one are stale."""


class LengthScaling:
    """The rotary embeddings of a decoder whose frequencies depend on the length of the text."""

    def __init__(self, decoder: torch.nn.Module) -> None:
        self._switches: list[int] = []  # lengths beyond which LongRoPE's long factors hold
        self._dynamic: list[tuple[Any, str]] = []  # modules, and the prefix of their attributes
        for module in decoder.modules():
            kinds = getattr(module, "rope_type", None)
            by_layer = kinds if isinstance(kinds, dict) else {None: kinds}
            for layer, kind in by_layer.items():
                if kind == "longrope":
                    options = getattr(module, "config").rope_parameters  # noqa: B009  modules are of any class
                    options = options if layer is None else options[layer]
                    self._switches.append(options["original_max_position_embeddings"])
                elif isinstance(kind, str) and "dynamic" in kind:
                    self._dynamic.append((module, "" if layer is None else f"{layer}_"))

    @property
    def varies(self) -> bool:
        """Whether any length differs from another."""
        return bool(self._switches or self._dynamic)

    @property
    def is_dynamic(self) -> bool:
        """Whether, from some length on, each differs from all others."""
        return bool(self._dynamic)

    def at(self, length: int) -> Scaling:
        """The scaling of a text of so many positions."""
        switched = [length > switch for switch in self._switches]
        return (*switched, *(max(length, module.original_max_seq_len) for module, _ in self._dynamic))

    @contextlib.contextmanager
    def of_this_text(self) -> Iterator[None]:
        """Has a run see the length of its own text only: transformers keeps what the longest so far has left."""
        self._forget()
        try:
            yield
        finally:
            self._forget()

    def _forget(self) -> None:
        for module, prefix in self._dynamic:
            current: Tensor = getattr(module, f"{prefix}inv_freq")
            setattr(module, f"{prefix}inv_freq", getattr(module, f"{prefix}original_inv_freq").to(current.device))
            setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)


class RereadCache(Cache):
    """A cache that keeps what was read, and reads it again when the scaling of positions has changed.

    Attributes:
        inputs: what the keys and values were made of, (B, T, D); None before anything is read.
    """

    def __init__(self, new_cache: Callable[[], Cache]) -> None:
        """
        Args:
            new_cache: makes an empty cache of the model's layers.
        """
        self._new_cache = new_cache
        fresh = new_cache()
        if fresh.layer_class_to_replicate is None:
            super().__init__(layers=fresh.layers)
        else:
            super().__init__(layer_class_to_replicate=fresh.layer_class_to_replicate)
        self.inputs: Tensor | None = None
        self._scaling: Scaling | None = None

    def read(self, inputs_embeds: Tensor, scaling: Scaling, run: Callable[[Tensor, Cache], Any]) -> Any:
        """Grows the cache by (B, T, D). If it was read under another scaling, all of it is read again.

        An interrupted run leaves the keys and values of before, or of some layers more.

        Args:
            inputs_embeds: the new positions.
            scaling: that of the text with them.
            run: the decoder, over embeddings and a cache that it grows.

        Returns:
            What `run` does, whose last T positions are the new ones.
        """
        before = self.inputs
        whole = inputs_embeds if before is None else torch.cat([before.to(inputs_embeds), inputs_embeds], dim=1)
        if before is None or scaling == self._scaling:
            output = run(inputs_embeds, self)
        else:
            again = self._new_cache()
            output = run(whole, again)
            self.layers = again.layers
        self.inputs, self._scaling = whole.detach(), scaling
        return output

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Takes the sequences of these numbers in place of its own."""
        super().reorder_cache(beam_idx)
        if self.inputs is not None:
            self.inputs = self.inputs.index_select(0, beam_idx.to(self.inputs.device))

    def crop(self, tokens_to_remove: int) -> None:
        """Forgets the last positions (their number, negative)."""
        super().crop(tokens_to_remove)
        if self.inputs is not None and tokens_to_remove:
            self.inputs = self.inputs[:, : -abs(tokens_to_remove)]
