"""Models of real shapes with random weights, made in memory: speed depends on shapes alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from fromage_lite.config import FromageConfig, playground_dir
from fromage_lite.errors import ConfigError
from fromage_lite.language.model import LanguageModel
from fromage_lite.model.fromage import Fromage
from fromage_lite.placement import choose_device, default_dtype, parse_dtype
from fromage_lite.vision import VisionEncoder

OPT_SHAPES: dict[str, dict[str, int]] = {
    "opt-125m": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "opt-1.3b": {"hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 32},
    "opt-6.7b": {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32},
}
"""Zhang et al. 2022 (arXiv 2205.01068), table 1; feed-forward layers are four times as wide."""
CLIP_SHAPES: dict[str, dict[str, int]] = {
    "clip-vit-base-patch32": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                              "num_attention_heads": 12, "patch_size": 32, "image_size": 224},
    "clip-vit-large-patch14": {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
                               "num_attention_heads": 16, "patch_size": 14, "image_size": 224},
}  # fmt: skip


def random_model(lm: str, encoder: str, device_name: str, precision: str) -> Fromage:
    """A FROMAGe with random weights between an OPT and a CLIP of these shapes; the tokenizer is the playground's.

    Raises:
        ConfigError: an unknown shape, device or precision.
    """
    device = choose_device(device_name)
    dtype = parse_dtype(precision) or default_dtype(device)
    for name, shapes in ((lm, OPT_SHAPES), (encoder, CLIP_SHAPES)):
        if name not in shapes:
            raise ConfigError(f"There is no shape {name!r}.", f"Choose one of: {', '.join(shapes)}.")
    torch.manual_seed(0)
    language = LanguageModel(_opt(lm, device, dtype), _tokenizer(), lm)
    language.__dict__["eos_ids"] = frozenset()  # random weights end a text at any time; every run is of full length
    config = FromageConfig(language_model=lm, vision_encoder=encoder, prompt_template="qa")
    return Fromage.from_parts(language, _clip(encoder, device, dtype), config)


def _opt(name: str, device: torch.device, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM, OPTConfig

    shape = OPT_SHAPES[name]
    config = OPTConfig(
        **shape, ffn_dim=4 * shape["hidden_size"], word_embed_proj_dim=shape["hidden_size"], vocab_size=50272
    )
    with device:  # the weights are made where they are used: there is never a second copy
        return AutoModelForCausalLM.from_config(config, dtype=dtype)


def _tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(playground_dir() / "lm")


def _clip(name: str, device: torch.device, dtype: torch.dtype) -> VisionEncoder:
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    with tempfile.TemporaryDirectory() as folder:
        CLIPVisionModel(CLIPVisionConfig(**CLIP_SHAPES[name])).to(dtype).save_pretrained(folder)
        CLIPImageProcessor().save_pretrained(folder)
        return VisionEncoder.load(str(Path(folder)), device=device, dtype=dtype)
