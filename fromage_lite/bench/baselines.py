"""What decoding is measured against: everything computed anew for each token, `generate`, and the layers alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from fromage_lite.bench.hardware import synchronize
from fromage_lite.model.fromage import Fromage


@torch.inference_mode()
def rerun(model: Fromage, parts: list[Tensor], new_tokens: int) -> list[int]:
    """A greedy dialogue as the original implementation decodes: each token reads all before it anew, and gives logits
    of all positions and hidden states of all layers (`generate` in `models.py` of kohjingyu/fromage).

    Args:
        model: the model.
        parts: what each turn brings, (1, T, D) each.
        new_tokens: how many each reply has.

    Returns:
        The ids of all replies.
    """
    language, ids = model.language, []
    embeds = parts[0][:, :0].to(language.dtype)
    for part in parts:
        embeds = torch.cat([embeds, part.to(language.dtype)], dim=1)
        for _ in range(new_tokens):
            output = language.model(inputs_embeds=embeds, use_cache=False, output_hidden_states=True)
            logits = output.logits[0, -1, : language.vocab_size]
            logits[list(model.suppressed_ids)] = float("-inf")
            ids.append(int(logits.argmax()))
            embeds = torch.cat([embeds, model.token_embeds(ids[-1:]).to(language.dtype)], dim=1)
    return ids


@torch.inference_mode()
def generate(model: Fromage, embeds: Tensor, new_tokens: int) -> None:
    """A greedy reply to `embeds` (1, T, D) by transformers' `generate`."""
    embeds = embeds.to(model.language.dtype)
    model.language.model.generate(
        inputs_embeds=embeds,
        attention_mask=torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device),
        do_sample=False,
        min_new_tokens=new_tokens,
        max_new_tokens=new_tokens,
        pad_token_id=0,
        eos_token_id=None,
    )


@torch.inference_mode()
def bare_loop(model: Fromage, embeds: Tensor, new_tokens: int) -> float:
    """Seconds that a token takes in OPT's layers, final norm and head called one after the other, and in nothing else.

    The cache holds `embeds` (1, T, D) before and grows, as in a reply.
    """
    language = model.language
    decoder, head = language.decoder, language.model.get_output_embeddings()
    cache = DynamicCache()
    language.forward(embeds.to(language.dtype), cache)
    hidden = embeds[:, -1:].to(language.dtype)
    synchronize(language.device)
    started = time.perf_counter()
    for _ in range(new_tokens):
        state = hidden
        for layer in decoder.layers:
            state = layer(state, past_key_values=cache, use_cache=True)
        head(decoder.final_layer_norm(state[:, -1])).argmax()
    synchronize(language.device)
    return (time.perf_counter() - started) / new_tokens


class LayerClock:
    """Seconds spent in an OPT's layers and head for single positions, and how many there were."""

    def __init__(self) -> None:
        self.seconds, self.tokens = 0.0, 0
        self._since = 0.0

    @contextmanager
    def running(self, model: Fromage) -> Iterator[None]:
        """Counts what the model does meanwhile, on a CPU: on a GPU kernels run on after their launch."""
        layers, head = model.language.decoder.layers, model.language.model.get_output_embeddings()
        hooks = [
            layers[0].register_forward_pre_hook(lambda _module, inputs: self._start(inputs[0].shape[1] == 1)),
            layers[-1].register_forward_hook(lambda *_: self._stop()),
            head.register_forward_pre_hook(lambda *_: self._start(True)),
            head.register_forward_hook(lambda *_: self._stop(1)),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _start(self, counts: bool) -> None:
        self._since = time.perf_counter() if counts else 0.0

    def _stop(self, tokens: int = 0) -> None:
        if self._since:
            self.seconds += time.perf_counter() - self._since
            self.tokens += tokens
