"""How large a language model is, from its configuration and its files' headers alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fromage_lite.checkpoint.footprint import CACHE_POSITIONS
from fromage_lite.checkpoint.locate import resolve_model_name
from fromage_lite.config import FromageConfig
from fromage_lite.placement import Quantize, count_parameters, without_weights

_NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)  # half a byte, a byte a block of 64, and four a block of 256 of those


@dataclass(frozen=True)
class ModelSize:
    """What of a language model takes memory.

    Attributes:
        parameters: numbers in all weights; shared ones count once.
        quantizable: those of them in linear layers other than the head.
        rows: output rows of these layers; each keeps a scale when they are rounded to int8.
        cache: numbers that one position adds to the KV cache.
        max_positions: how many positions the model has; None if it names no limit.
        stored_bytes: what the weights take where they are quantised already in their file, else None.
    """

    parameters: int
    quantizable: int
    rows: int
    cache: int
    max_positions: int | None = None
    stored_bytes: int | None = None

    def weight_bytes(self, dtype: torch.dtype, quantize: Quantize | None) -> int:
        """Bytes of the loaded weights."""
        if self.stored_bytes is not None:
            return self.stored_bytes
        if quantize is None:
            return self.parameters * dtype.itemsize
        rounded = self.quantizable + 4 * self.rows if quantize == "int8" else round(self.quantizable * _NF4_BYTES)
        return (self.parameters - self.quantizable) * dtype.itemsize + rounded

    def cache_bytes(self, dtype: torch.dtype) -> int:
        """Bytes of keys and values of a full dialogue, at most `CACHE_POSITIONS` positions."""
        return self.cache * dtype.itemsize * min(self.max_positions or CACHE_POSITIONS, CACHE_POSITIONS)


def language_model_size(config: FromageConfig, base_dir: Path | None = None) -> ModelSize:
    """The LM's size, from its configuration; from its files' headers where they hold quantised weights."""
    from transformers import AutoConfig

    name = resolve_model_name(config.language_model, base_dir)
    settings = AutoConfig.from_pretrained(name, revision=config.language_model_revision)
    size = size_of(settings)
    if getattr(settings, "quantization_config", None) is None:
        return size
    return dataclasses.replace(size, stored_bytes=stored_bytes(name, config.language_model_revision))


def size_of(settings: Any) -> ModelSize:
    """The size of the causal LM that a transformers configuration describes; the model is made without weights."""
    from transformers import AutoModelForCausalLM

    with without_weights():
        model = AutoModelForCausalLM.from_config(settings)
    text = settings.get_text_config()
    head = model.get_output_embeddings()
    linear = [m for m in model.modules() if type(m).__name__ in ("Linear", "Conv1D") and m is not head]
    heads = getattr(text, "num_key_value_heads", None) or getattr(text, "num_kv_heads", None)
    heads = heads or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    limits = (getattr(text, name, None) for name in ("max_position_embeddings", "n_positions", "max_seq_len"))
    return ModelSize(
        parameters=count_parameters(model),
        quantizable=sum(module.weight.numel() for module in linear),
        rows=sum(getattr(module, "out_features", module.weight.shape[-1]) for module in linear),
        cache=2 * text.num_hidden_layers * heads * width,
        max_positions=next((limit for limit in limits if isinstance(limit, int) and limit > 0), None),
    )


def stored_bytes(name: str, revision: str | None = None) -> int:
    """Bytes of all tensors in a model's safetensors files, from their headers.

    They are read in a folder, in the Hub's cache, or over the network from the Hub.

    Args:
        name: an absolute folder or a Hub id.
        revision: on the Hub.
    """
    from huggingface_hub import get_safetensors_metadata, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError
    from safetensors import safe_open

    folder = Path(name)
    if not folder.is_dir():
        try:
            cached = snapshot_download(name, revision=revision, local_files_only=True, allow_patterns="*.safetensors")
            folder = Path(cached)
        except LocalEntryNotFoundError:
            metadata = get_safetensors_metadata(name, revision=revision).files_metadata.values()
            offsets = [tensor.data_offsets for file in metadata for tensor in file.tensors.values()]
            return sum(end - start for start, end in offsets)
    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            total += sum(_stored(file.get_slice(key)) for key in file.keys())  # noqa: SIM118  it is no dict
    return total


def _stored(tensor: Any) -> int:
    count = 1
    for size in tensor.get_shape():
        count *= size
    kind = tensor.get_dtype()  # "BOOL", "BF16", "F8_E4M3", "F4", …
    bits = 8 if kind == "BOOL" else int("".join(filter(str.isdigit, kind.split("_")[0])))
    return count * bits // 8
