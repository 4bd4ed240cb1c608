"""Decoding: first token, tokens per second against the memory bandwidth, a dialogue, transformers' `generate`."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from fromage_lite.bench.baselines import LayerClock, bare_loop, generate, rerun
from fromage_lite.bench.hardware import memory_bandwidth, paired_seconds, peak_memory, seconds, synchronize
from fromage_lite.config import GenerationSettings
from fromage_lite.model.decoding import DecodingState, stream
from fromage_lite.model.fromage import Fromage, ModelSegment

TURNS = 5
PROMPT_TOKENS = 20


@dataclass(frozen=True)
class DecodingFigures:
    """Medians, by the names under which they are published. A ratio is of runs in turns in one process.

    Attributes:
        ttft_ms: from an image and 20 text tokens to the first new token, milliseconds.
        reply_ms: from the same to the last new token.
        tokens_per_second: after the first.
        share_of_bandwidth_limit: bytes read per second, as a share of what a matrix-vector product reads.
        own_ms_per_token: outside the LM's layers and head; None where it can't be told apart (GPU, compiled).
        ratio_vs_bare_loop: the time of the layers and the head called one after the other, over a token's. 1 is no
            time of our own at all.
        ratio_vs_transformers_generate: the time of `generate` for the same reply over ours.
        dialogue_ms: five such turns.
        speedup_64_vs_rerun: the time of the reply where every token reads all before it anew, over ours. (Of as many
            tokens as the reply has; 64 by default.)
        speedup_dialogue_vs_rerun: the same of the dialogue.
        peak_bytes: peak memory.
    """

    ttft_ms: float
    reply_ms: float
    tokens_per_second: float
    share_of_bandwidth_limit: float
    own_ms_per_token: float | None
    ratio_vs_bare_loop: float
    ratio_vs_transformers_generate: float
    dialogue_ms: float
    speedup_64_vs_rerun: float
    speedup_dialogue_vs_rerun: float
    peak_bytes: int


def measure_decoding(model: Fromage, new_tokens: int, repeats: int) -> DecodingFigures:
    """Greedy decoding at batch size 1, without `[RET]`."""
    device = model.language.device
    settings = GenerationSettings(max_new_tokens=new_tokens, ret_mode="off")
    firsts: list[float] = []

    def reply() -> None:
        firsts.append(_turn(model, DecodingState(model), settings))

    prompt = _prompt_embeds(model)
    theirs = paired_seconds(reply, lambda: generate(model, _prompt_embeds(model), new_tokens), device, repeats)
    anew = paired_seconds(reply, lambda: rerun(model, [_prompt_embeds(model)], new_tokens), device, 1)
    bare = [bare_loop(model, prompt, new_tokens) for _ in range(repeats + 1)][1:]
    whole = statistics.median(ours for ours, _ in theirs)
    first = statistics.median(firsts[: repeats + 1][1:])
    per_token = (whole - first) / (new_tokens - 1)
    dialogue = seconds(lambda: _dialogue(model, settings), device, max(1, repeats // 2))
    parts = [_prompt_embeds(model) for _ in range(TURNS)]
    return DecodingFigures(
        ttft_ms=1000 * first,
        reply_ms=1000 * whole,
        tokens_per_second=1 / per_token,
        share_of_bandwidth_limit=_bytes_per_token(model) / per_token / memory_bandwidth(device, model.language.dtype),
        own_ms_per_token=_own_ms(model, settings, repeats),
        ratio_vs_bare_loop=statistics.median(bare) / per_token,
        ratio_vs_transformers_generate=statistics.median(their / our for our, their in theirs),
        dialogue_ms=1000 * dialogue,
        speedup_64_vs_rerun=statistics.median(slow / fast for fast, slow in anew),
        speedup_dialogue_vs_rerun=seconds(lambda: rerun(model, parts, new_tokens), device, 1, warm_up=0) / dialogue,
        peak_bytes=peak_memory(device),
    )


def _own_ms(model: Fromage, settings: GenerationSettings, repeats: int) -> float | None:
    """Milliseconds that a token takes outside the LM's layers and head."""
    if model.language.device.type != "cpu" or model.language.is_compiled:
        return None
    owns = []
    for _ in range(repeats):
        clock, state = LayerClock(), DecodingState(model)
        with clock.running(model), torch.inference_mode():
            steps = stream(model, state, model.prompt_embeds(_prompt(model)), settings)
            next(steps)  # the prompt is read
            clock.seconds, clock.tokens = 0.0, 0
            started = time.perf_counter()
            for _token in steps:
                pass
            whole = time.perf_counter() - started
        owns.append(1000 * (whole - clock.seconds) / clock.tokens)
    return statistics.median(owns)


@torch.inference_mode()
def _prompt_embeds(model: Fromage) -> Tensor:
    return model.prompt_embeds(_prompt(model))


def _prompt(model: Fromage) -> list[ModelSegment]:
    text = model.language.decode(list(range(100, 100 + PROMPT_TOKENS)))
    return [Image.new("RGB", (256, 256), (200, 80, 40)), text]


def _turn(model: Fromage, state: DecodingState, settings: GenerationSettings) -> float:
    """Runs one turn; returns the time to its first token, the encoding of the image included."""
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


def _bytes_per_token(model: Fromage) -> int:
    """The weights that each token reads: all but an untied input table, of which it reads one row."""
    language = model.language
    total = sum(parameter.nbytes for parameter in language.model.parameters())  # a tied table counts once
    return total if language.is_tied else total - language.model.get_input_embeddings().weight.nbytes
