"""Decoding with a compiled LM and a cache of fixed size: on a GPU a token then costs one launch, not hundreds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, StaticLayer

from fromage_lite.errors import ConfigError

if TYPE_CHECKING:
    from fromage_lite.language.model import LanguageModel


class FixedLayer(StaticLayer):
    """Keys and values at fixed addresses. What lies beyond the length is hidden by the causal mask."""

    def crop(self, tokens_to_remove: int | Tensor) -> None:
        """Forgets the last positions (their number, of either sign)."""
        if self.is_initialized:
            self.cumulative_length.sub_(abs(tokens_to_remove))


class CompiledDecoder:
    """The LM's decoder for single positions, compiled; longer inputs run as they are, into the same cache."""

    def __init__(self, language: LanguageModel) -> None:
        """
        Args:
            language: a model whose layers all keep keys and values of every position.

        Raises:
            ConfigError: it has other layers.
        """
        config = language.model.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
        if not language.can_crop or kinds != {"full_attention"} or getattr(config, "sliding_window", None):
            raise ConfigError(f"The language model {language.name} can't be compiled.", "Leave --compile out.")
        self._positions = language.max_positions
        self._n_layers = config.num_hidden_layers
        self._forward = torch.compile(language.decoder.forward, mode="reduce-overhead")

    def new_cache(self) -> Cache:
        """An empty cache for as many positions as the LM has, `(1, n_heads, max_positions, head_dim)` a layer."""
        return Cache(layers=[FixedLayer(max_cache_len=self._positions) for _ in range(self._n_layers)])

    def __call__(self, **inputs: Any) -> Any:
        """As the decoder's own forward. The results are copies: the next step would overwrite them in place."""
        output = self._forward(**inputs)
        output.last_hidden_state = output.last_hidden_state.clone()
        if output.hidden_states is not None:
            output.hidden_states = tuple(state.clone() for state in output.hidden_states)
        return output
