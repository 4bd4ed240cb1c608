"""Models of real shapes with random weights, made in memory: speed depends only on shapes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fromage_lite.config import FromageConfig
from fromage_lite.errors import ConfigError
from fromage_lite.language.model import LanguageModel
from fromage_lite.model.fromage import Fromage
from fromage_lite.placement import Placement
from fromage_lite.vision import VisionEncoder

OPT_SHAPES: dict[str, dict[str, int]] = {
    "opt-125m": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    "opt-1.3b": {"hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 32},
    "opt-6.7b": {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32},
}
"""Zhang et al. 2022 (arXiv 2205.01068), table 1; feed-forward layers are four times as wide."""
OPT_ROWS, OPT_WORDS = 50272, 50265
"""Rows of the embedding, and how many of them are words."""
CLIP_SHAPES: dict[str, dict[str, int]] = {
    "clip-vit-base-patch32": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "patch_size": 32,
        "image_size": 224,
    },
    "clip-vit-large-patch14": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
        "image_size": 224,
    },
}


def random_model(lm: str, encoder: str, place: Placement) -> Fromage:
    """A FROMAGe with random weights between an OPT and a CLIP of these shapes. It has no end-of-text token.

    Raises:
        ConfigError: there is no such shape.
    """
    for name, shapes in ((lm, OPT_SHAPES), (encoder, CLIP_SHAPES)):
        _check_shape(name, shapes)
    torch.manual_seed(0)
    language = LanguageModel(_opt(lm, place), _tokenizer(), lm)
    config = FromageConfig(language_model=lm, vision_encoder=encoder, prompt_template="qa")
    return Fromage.from_parts(language, random_encoder(encoder, place), config)


def random_encoder(name: str, place: Placement) -> VisionEncoder:
    """A CLIP image encoder of a shape of `CLIP_SHAPES`, with random weights.

    Raises:
        ConfigError: there is no such shape.
    """
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    _check_shape(name, CLIP_SHAPES)
    with tempfile.TemporaryDirectory() as folder:
        CLIPVisionModel(CLIPVisionConfig(**CLIP_SHAPES[name])).to(place.dtype).save_pretrained(folder)
        CLIPImageProcessor().save_pretrained(folder)
        return VisionEncoder.load(str(Path(folder)), place)


def _check_shape(name: str, shapes: Mapping[str, object]) -> None:
    if name not in shapes:
        raise ConfigError(f"There is no shape {name!r}.", f"Choose one of: {', '.join(shapes)}.")


def _opt(name: str, place: Placement) -> Any:
    from transformers import AutoModelForCausalLM, OPTConfig

    from fromage_lite.language.loading import lm_options

    shape = OPT_SHAPES[name]
    config = OPTConfig(
        **shape,
        ffn_dim=4 * shape["hidden_size"],
        word_embed_proj_dim=shape["hidden_size"],
        vocab_size=OPT_ROWS,
        eos_token_id=None,  # random weights would end a text at random; this way every run has its full length
    )
    with place.device:  # weights are made where they are used, so there is never a second copy
        model = AutoModelForCausalLM.from_config(config, dtype=place.dtype)
    if place.quantize is None:
        return model
    with tempfile.TemporaryDirectory() as folder:  # a model is rounded as it is read
        model.save_pretrained(folder)
        return AutoModelForCausalLM.from_pretrained(folder, **lm_options(place))


def _tokenizer() -> Any:
    """As many words as OPT has, `word0` to `word50264`, so that as little of the vocabulary is suppressed."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {f"word{number}": number for number in range(OPT_WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="word0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)
