"""The architecture of the shipped LMs, how they answer text alone, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fromage_lite.pretraining.initialization import LOOK_BACK, initialize
from fromage_lite.pretraining.tokenizer import BOS_ID, EOS_ID, PAD_ID

MAX_POSITIONS = 512
WIDTH = 320


def make_model(vocab_size: int) -> Any:
    """The untrained LM: Llama architecture, 5.3 M parameters, with first weights that can copy from the context.

    It has biases in the attention, as Qwen2 does. It is no Qwen2: transformers would load another tokenizer for it.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=WIDTH,
        intermediate_size=880,
        num_hidden_layers=len(LOOK_BACK),
        num_attention_heads=WIDTH // 64,
        num_key_value_heads=WIDTH // 64,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        attention_bias=True,
        initializer_range=0.06,
        bos_token_id=EOS_ID,
        eos_token_id=EOS_ID,
        pad_token_id=PAD_ID,
    )
    model = LlamaForCausalLM(config)
    initialize(model)
    return model


@torch.no_grad()
def greedy_answers(model: Any, tokenizer: Any, prompts: list[str], max_new_tokens: int = 24) -> list[str]:
    """The LM's greedy continuation of each prompt up to the end of the line (used to measure text alone)."""
    answers = [""] * len(prompts)
    encoded = [tokenizer.encode(prompt) for prompt in prompts]
    by_length: dict[int, list[int]] = {}
    for i, ids in enumerate(encoded):
        by_length.setdefault(len(ids), []).append(i)
    for rows in by_length.values():
        ids = torch.tensor([encoded[i] for i in rows], device=model.device)
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=PAD_ID,
        )
        for i, row in zip(rows, out[:, ids.shape[1] :].tolist(), strict=True):
            answers[i] = tokenizer.decode(row, skip_special_tokens=True).split("\n")[0].strip()
    return answers


def save(model: Any, tokenizer: Any, out: Path, suppressed: Sequence[str]) -> None:
    """Write the LM in bf16 as a folder that `AutoModelForCausalLM.from_pretrained` loads.

    Args:
        model: in float32.
        tokenizer: its tokenizer.
        out: the folder.
        suppressed: texts whose tokens are never generated.
    """
    from transformers import GenerationConfig

    never = [i for text in suppressed for i in tokenizer.encode(text, add_special_tokens=False)]
    half = make_model(model.config.vocab_size)
    half.load_state_dict(model.state_dict())
    half = half.to(torch.bfloat16)
    half.generation_config = GenerationConfig(
        bos_token_id=EOS_ID,
        eos_token_id=EOS_ID,
        pad_token_id=PAD_ID,
        suppress_tokens=[BOS_ID, PAD_ID, *never],
    )
    half.save_pretrained(out)
    tokenizer.save_pretrained(out)
