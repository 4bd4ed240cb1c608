"""Decoding with a compiled LM and a cache of fixed size: on a GPU a token then costs one launch, not hundreds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, StaticLayer


class FixedLayer(StaticLayer):
    """Keys and values at fixed addresses. What lies beyond the length is hidden by the causal mask."""

    def crop(self, tokens_to_remove: int | Tensor) -> None:
        """Forgets the last positions (their number, of either sign)."""
        if self.is_initialized:
            self.cumulative_length.sub_(abs(tokens_to_remove))


class CompiledDecoder:
    """An LM's decoder for single positions, compiled; longer inputs run as they are, into the same cache."""

    def __init__(self, forward: Callable[..., Any], n_layers: int, max_positions: int) -> None:
        """
        Args:
            forward: of a decoder all of whose layers keep keys and values of every position.
            n_layers: how many they are.
            max_positions: of a cache.
        """
        self._n_layers, self._positions = n_layers, max_positions
        self._forward = torch.compile(forward, mode="reduce-overhead")

    def new_cache(self) -> Cache:
        """An empty cache for as many positions as the LM has, `(1, n_heads, max_positions, head_dim)` a layer."""
        return Cache(layers=[FixedLayer(max_cache_len=self._positions) for _ in range(self._n_layers)])

    @staticmethod
    def made(cache: Cache) -> bool:
        """Whether a cache is one of these."""
        return any(isinstance(layer, FixedLayer) for layer in cache.layers)

    def __call__(self, **inputs: Any) -> Any:
        """As the decoder's own forward. The results are copies: the next step would overwrite them in place."""
        output = self._forward(**inputs)
        output.last_hidden_state = output.last_hidden_state.clone()
        if output.hidden_states is not None:
            output.hidden_states = tuple(state.clone() for state in output.hidden_states)
        return output
