"""Decoding: first token, tokens per second as a share of what memory allows, a dialogue, `generate` of transformers."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from PIL import Image

from fromage_lite.bench.hardware import memory_bandwidth, paired_seconds, peak_memory, seconds, synchronize
from fromage_lite.config import GenerationSettings
from fromage_lite.model.decoding import DecodingState, stream
from fromage_lite.model.fromage import Fromage, ModelSegment

TURNS = 5
PROMPT_TOKENS = 20


@dataclass(frozen=True)
class DecodingFigures:
    """Medians, in seconds unless named otherwise.

    Attributes:
        first_token: an image and 20 text tokens to the first new token.
        reply: the same to the last new token.
        tokens_per_second: after the first.
        bandwidth_share: bytes read per second over what a matrix-vector product reaches.
        dialogue: five such turns.
        generate: the reply by `transformers`' `generate` on the same `inputs_embeds`.
        reply_over_generate: the reply's time over that of `generate` right after it.
        peak_bytes: most memory held.
    """

    first_token: float
    reply: float
    tokens_per_second: float
    bandwidth_share: float
    dialogue: float
    generate: float
    reply_over_generate: float
    peak_bytes: int


def measure_decoding(model: Fromage, new_tokens: int, repeats: int) -> DecodingFigures:
    """Greedy decoding at batch size 1, without `[RET]`."""
    device = model.language.device
    settings = GenerationSettings(max_new_tokens=new_tokens, ret_mode="off")
    firsts: list[float] = []

    def reply() -> None:
        firsts.append(_turn(model, DecodingState(model), settings))

    pairs = paired_seconds(reply, lambda: _generate(model, new_tokens), device, repeats)
    whole = statistics.median(ours for ours, _ in pairs)
    first = statistics.median(firsts[-repeats:])
    per_token = (whole - first) / (new_tokens - 1)
    bandwidth = memory_bandwidth(device, model.language.dtype)
    return DecodingFigures(
        first_token=first,
        reply=whole,
        tokens_per_second=1 / per_token,
        bandwidth_share=_bytes_per_token(model) / per_token / bandwidth,
        dialogue=seconds(lambda: _dialogue(model, settings), device, max(1, repeats // 2)),
        generate=statistics.median(theirs for _, theirs in pairs),
        reply_over_generate=statistics.median(ours / theirs for ours, theirs in pairs),
        peak_bytes=peak_memory(device),
    )


def _prompt(model: Fromage) -> list[ModelSegment]:
    text = model.language.decode(list(range(100, 100 + PROMPT_TOKENS)))
    return [Image.new("RGB", (256, 256), (200, 80, 40)), text]


def _turn(model: Fromage, state: DecodingState, settings: GenerationSettings) -> float:
    """One turn; the time to its first token, the image's encoding included."""
    started = time.perf_counter()
    first = 0.0
    with torch.inference_mode():
        embeds = model.prompt_embeds(_prompt(model))
    for token in stream(model, state, embeds, settings):
        if not first and token.id is not None:
            synchronize(model.language.device)
            first = time.perf_counter() - started
    return first


def _dialogue(model: Fromage, settings: GenerationSettings) -> None:
    state = DecodingState(model)
    for _ in range(TURNS):
        _turn(model, state, settings)


@torch.inference_mode()
def _generate(model: Fromage, new_tokens: int) -> None:
    embeds = model.prompt_embeds(_prompt(model)).to(model.language.dtype)
    mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
    lm = model.language.model
    lm.generate(
        inputs_embeds=embeds,
        attention_mask=mask,
        do_sample=False,
        min_new_tokens=new_tokens,
        max_new_tokens=new_tokens,
        pad_token_id=0,
        eos_token_id=None,
    )


def _bytes_per_token(model: Fromage) -> int:
    """Weights that one token reads: all but the input table, of which it reads a row; a tied table is the head's."""
    language = model.language
    total = sum(p.numel() * p.element_size() for p in language.model.parameters())  # a tied table counts once
    if language.is_tied:
        return total
    table = language.model.get_input_embeddings().weight
    return total - table.numel() * table.element_size()
