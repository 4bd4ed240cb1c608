"""A causal LM's decoder, run over embeddings with or without a cache."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import (
    Cache,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionCacheLayerMixin,
)

from fromage_lite.errors import ConfigError
from fromage_lite.language.compiled import CompiledDecoder
from fromage_lite.language.feeding import (
    FEEDINGS,
    PASSES,
    Feeding,
    difference,
    is_exact,
    mixed,
    some_ids,
    tolerance,
    trial,
)
from fromage_lite.language.picture_layers import PictureCache, PictureLayers, PicturePlan
from fromage_lite.language.scaling import LengthScaling, RereadCache


@dataclass(frozen=True)
class LMOutput:
    """What the decoder gives for B sequences of T positions.

    Attributes:
        hidden: what the LM's head sees, after the final norm and projection, (B, T, head_dim).
        layers: the hidden states asked for, each (B, T, layer_dim).
        past_key_values: the cache that was handed in, grown by T positions; None without one.
    """

    hidden: Tensor
    layers: tuple[Tensor, ...]
    past_key_values: Any


class Decoder:
    """The decoder of a causal LM in transformers, driven by embeddings."""

    def __init__(self, model: Any, name: str, max_positions: int) -> None:
        """
        Args:
            model: the causal LM.
            name: for messages.
            max_positions: how many positions a sequence may have.
        """
        self._model, self._name, self._max_positions = model, name, max_positions
        base = model.base_model
        body = model.model if base is model else base  # where the body's name is not the announced one
        self.module = getattr(body, "decoder", body)  # OPT's body does nothing but call its decoder
        self._config = model.config.get_text_config()
        self._n_layers: int = self._config.num_hidden_layers  # a configuration's attributes are slow to come by
        self._embedding = model.get_input_embeddings()
        self._scaling = LengthScaling(self.module)
        self._feeding: Feeding | None = None
        self._compiled: CompiledDecoder | None = None
        self.pictures: PictureLayers | None = None

    # --- caches ---

    @cached_property
    def _has_own_cache(self) -> bool:
        """Whether a layer keeps something else than keys and values (a convolution's or recurrent state, …)."""
        layers = DynamicCache(config=self._model.config).layers
        return any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)

    @cached_property
    def can_crop(self) -> bool:
        """Whether a cache can be cut back to any length. A recurrent state can't: it must be computed anew."""
        return not any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in self._new_cache().layers)

    def new_cache(self, batched: bool = False) -> Cache:
        """See `LanguageModel.new_cache`."""
        return RereadCache(self._new_cache) if self._scaling.varies else self._new_cache(batched)

    def _new_cache(self, batched: bool = False) -> Cache:
        if self._compiled is not None and not batched:
            return self._compiled.new_cache()
        if self.pictures is not None:
            return PictureCache()
        if not self._has_own_cache:
            return DynamicCache()
        cache = DynamicCache(config=self._model.config)
        cache.layers = [DynamicLayer() if type(x) is DynamicSlidingWindowLayer else x for x in cache.layers]
        return cache

    @property
    def is_compiled(self) -> bool:
        """Whether single positions run compiled."""
        return self._compiled is not None

    def compile(self) -> None:
        """See `LanguageModel.compile_decoding`."""
        kinds = set(getattr(self._config, "layer_types", None) or ["full_attention"])
        is_plain = (
            self.pictures is None and self.can_crop and self.feeding == Feeding() and not self._scaling.is_dynamic
        )
        if not is_plain or kinds != {"full_attention"} or getattr(self._config, "sliding_window", None):
            raise ConfigError(f"The language model {self._name} can't be compiled.", "Leave --compile out.")
        self._compiled = CompiledDecoder(self.module.forward, self._n_layers, self._max_positions)

    def place_pictures(self, plan: PicturePlan | None, dim: int) -> None:
        """See `LanguageModel.place_pictures`."""
        if self.pictures is not None:
            self.pictures.remove()
            self.pictures = None
        if plan is None:
            return
        kinds = set(getattr(self._config, "layer_types", None) or ["full_attention"])
        if self._has_own_cache or self._scaling.varies or self._compiled is not None or kinds != {"full_attention"}:
            raise ConfigError(
                f"In the language model {self._name} pictures can only stand as text does.",
                "Use a model of plain attention, such as OPT, GPT-J, Llama or Qwen.",
            )
        width = self._config.hidden_size
        self.pictures = PictureLayers(self.module, self._n_layers, dim, width, plan, self._name)

    # --- feeding ---

    @property
    def feeding(self) -> Feeding:
        """How later passes are fed. It is tried when it is first asked for, where a layer keeps a state."""
        if self._feeding is None:
            self._feeding = Feeding()
            if self._has_own_cache:
                self.find_feeding()
        return self._feeding

    @torch.no_grad()
    def find_feeding(self) -> float:
        """Tries how later passes must be fed, and keeps the plainest way that is right.

        Where rounding could hide a state begun anew, every way is tried, and one is right that is not much worse than
        the best.

        Returns:
            By how much its results are off (`feeding.difference`); above `feeding.tolerance` if no way is right.
        """
        ids = some_ids(self._embedding.weight.shape[0]).to(self._embedding.weight.device)
        embeds = mixed(self._embedding(ids))
        expected = self._read(embeds).hidden[:, PASSES[0] :]
        is_clear = is_exact(self._model) or not self._has_own_cache
        offs: dict[Feeding, float] = {}
        for feeding in FEEDINGS:
            self._feeding = feeding
            found = trial(lambda part, past: self._read(part, past).hidden, self.new_cache, self.can_crop, embeds)
            offs[feeding] = difference(found[:, PASSES[0] :], expected, self._model)
            if is_clear and offs[feeding] < tolerance(self._model):
                return offs[feeding]
        best = min(offs.values())
        self._feeding = next((feeding for feeding in FEEDINGS if offs[feeding] <= 1.5 * best), FEEDINGS[0])
        return offs[self._feeding]

    # --- running ---

    def __call__(self, inputs_embeds: Tensor, past: Any, layers: Sequence[int], mask: Tensor | None) -> LMOutput:
        """See `LanguageModel.forward`."""
        return self._read(inputs_embeds, past, layers, mask)

    def _read(
        self, embeds: Tensor, past: Any = None, layers: Sequence[int] = (-1,), mask: Tensor | None = None
    ) -> LMOutput:
        """Runs the decoder; again over everything in the cache where positions are scaled otherwise now."""
        with self._scaling.of_this_text():
            if not isinstance(past, RereadCache):
                return self._continue(embeds, past, layers, mask)
            new = embeds.shape[1]
            length = past.get_seq_length() + new
            if mask is not None and self._takes_positions:
                length = int(mask.sum(dim=1).max())
            output: LMOutput = past.read(
                embeds, self._scaling.at(length), lambda part, cache: self._continue(part, cache, layers, mask)
            )
            return LMOutput(output.hidden[:, -new:], tuple(state[:, -new:] for state in output.layers), past)

    def _continue(self, embeds: Tensor, past: Any, layers: Sequence[int], mask: Tensor | None) -> LMOutput:
        """Runs the decoder as the model wants to be fed."""
        feeding = Feeding() if past is None else self.feeding
        before = 0 if feeding == Feeding() else past.get_seq_length()
        if not before or not feeding.singly:
            return self._run(embeds, past, layers, mask, before if feeding.numbered else None)
        steps = []
        for i, part in enumerate(embeds.split(1, dim=1), start=before):
            seen = None if mask is None else mask[:, : i + 1]
            steps.append(self._run(part, past, layers, seen, i if feeding.numbered else None))
        states = zip(*(step.layers for step in steps), strict=True)
        hidden = torch.cat([step.hidden for step in steps], dim=1)
        return LMOutput(hidden, tuple(torch.cat(parts, dim=1) for parts in states), past)

    def _run(
        self, embeds: Tensor, past: Any, layers: Sequence[int], mask: Tensor | None, first: int | None
    ) -> LMOutput:
        """One pass. `first` is the number of its first position, if the model must be told."""
        if self.pictures is None:
            return self._run_plain(embeds, past, layers, mask, first)
        with self.pictures.reading(embeds, past, mask) as plain:
            return self._run_plain(plain, past, layers, mask, first)

    def _run_plain(
        self, embeds: Tensor, past: Any, layers: Sequence[int], mask: Tensor | None, first: int | None
    ) -> LMOutput:
        count, new = self._n_layers, embeds.shape[1]
        weight = self._embedding.weight
        options = {} if mask is None else self._masked(mask, new)
        if mask is None and first is not None and self._takes_positions:
            options["position_ids"] = torch.arange(first, first + new, device=weight.device)[None]
        run = self.module
        if self._compiled is not None and mask is None and past is not None and embeds.shape[:2] == (1, 1):
            run = self._compiled if self._compiled.made(past) else run
        output = run(
            inputs_embeds=embeds.to(device=weight.device, dtype=weight.dtype),
            past_key_values=past,
            use_cache=past is not None,
            output_hidden_states=any(layer not in (-1, count) for layer in layers),
            **options,
        )
        last = output.last_hidden_state
        states = tuple(last if layer in (-1, count) else output.hidden_states[layer] for layer in layers)
        return LMOutput(last, states, past)

    def _masked(self, mask: Tensor, new: int) -> dict[str, Tensor]:
        """What the decoder is told of padding on the left, for its `new` last positions."""
        options = {"attention_mask": mask.long()}
        if self._takes_positions:
            options["position_ids"] = (mask.long().cumsum(dim=1) - 1).clamp(min=0)[:, -new:]
        return options

    @cached_property
    def _takes_positions(self) -> bool:
        return "position_ids" in inspect.signature(self.module.forward).parameters
