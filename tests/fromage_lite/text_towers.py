"""Tiny random encoders with text towers and real tokenizers, saved as their own libraries save them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import normalize

from tests.fromage_lite.vision_models import SHORTEST, SIZE, TEXT, VIT, open_clip_family, strong

WORDS = "a cat dog on the beach in snow at night red car tree two small big and of photo".split()
ROOM = 8  # tokens, begin and end included


@dataclass(frozen=True)
class Towers:
    """One tiny model of two towers.

    Attributes:
        save: writes it into a folder; returns its name for `VisionEncoder.load`.
        images: the library's own embeddings of pixel_values, of unit norm, from the folder.
        texts: likewise of texts.
    """

    save: Callable[[Path], str]
    images: Callable[[Path, torch.Tensor], torch.Tensor]
    texts: Callable[[Path, list[str]], torch.Tensor]


def word_tokenizer(folder: Path, bert: bool = False):
    """A tokenizer of whole words that ends each text as the family's does."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $0 </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    names = ["input_ids", "token_type_ids", "attention_mask"] if bert else ["input_ids", "attention_mask"]
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    whole = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **special, model_max_length=ROOM, model_input_names=names
    )
    whole.save_pretrained(folder)


def two_towers(model: torch.nn.Module, processor: str, padding: str | bool, bert: bool = False) -> Towers:
    import transformers

    def save(folder: Path) -> str:
        strong(model).save_pretrained(folder)
        size = {"height": 32, "width": 32}
        getattr(transformers, processor)(size=size, crop_size=size).save_pretrained(folder)
        word_tokenizer(folder, bert)
        return str(folder)

    def load(folder: Path):
        return type(model).from_pretrained(folder).eval()

    @torch.no_grad()
    def images(folder: Path, pixel_values: torch.Tensor) -> torch.Tensor:
        return normalize(load(folder).get_image_features(pixel_values).pooler_output, dim=-1)

    @torch.no_grad()
    def texts(folder: Path, texts: list[str]) -> torch.Tensor:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        tokens = tokenizer(texts, padding=padding, truncation=True, max_length=ROOM, return_tensors="pt")
        return normalize(load(folder).get_text_features(**tokens).pooler_output, dim=-1)

    return Towers(save, images, texts)


def clip() -> Towers:
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig(text_config=TEXT, vision_config=SIZE, projection_dim=24)
    return two_towers(CLIPModel(config), "CLIPImageProcessor", True)


def siglip() -> Towers:
    from transformers import SiglipConfig, SiglipModel

    config = SiglipConfig(text_config=TEXT | {"projection_size": 32}, vision_config=SIZE)
    return two_towers(SiglipModel(config), "SiglipImageProcessor", "max_length")


def chinese_clip() -> Towers:
    from transformers import ChineseCLIPConfig, ChineseCLIPModel

    config = ChineseCLIPConfig(text_config=TEXT, vision_config=SIZE, projection_dim=24)
    return two_towers(ChineseCLIPModel(config), "ChineseCLIPImageProcessor", True, bert=True)


def metaclip() -> Towers:
    from transformers import MetaClip2Config, MetaClip2Model

    config = MetaClip2Config(text_config=TEXT, vision_config=SIZE, projection_dim=24)
    return two_towers(MetaClip2Model(config), "CLIPImageProcessor", True)


def open_clip_towers(**options) -> Towers:
    """A model of open_clip whose text tower takes the ids of its own tokenizer."""
    import open_clip

    text = {"vocab_size": 49408, "context_length": ROOM} | options.pop("text", {})
    family = open_clip_family(options.pop("vision", VIT), SHORTEST, None, (16, 32), text=text, **options)

    def save(folder: Path) -> str:
        family.save(folder)
        assert json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]["embed_dim"] == 24
        return f"open_clip:local-dir:{folder}"

    @torch.no_grad()
    def images(folder: Path, pixel_values: torch.Tensor) -> torch.Tensor:
        return family.load(folder).encode_image(pixel_values, normalize=True)

    @torch.no_grad()
    def texts(folder: Path, texts: list[str]) -> torch.Tensor:
        return family.load(folder).encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(texts), normalize=True)

    return Towers(save, images, texts)


def coca() -> Towers:
    vision = VIT | {"attentional_pool": True, "attn_pooler_queries": 4, "attn_pooler_heads": 2, "output_tokens": True}
    multimodal = {"context_length": ROOM, "vocab_size": 49408, "width": 24, "heads": 2, "layers": 1}
    text = {"embed_cls": True, "output_tokens": True}
    return open_clip_towers(vision=vision, text=text, multimodal_cfg=multimodal, custom_text=True)


TOWERS: dict[str, Callable[[], Towers]] = {
    "clip": clip,
    "siglip": siglip,
    "chinese-clip": chinese_clip,
    "metaclip": metaclip,
    "open_clip": open_clip_towers,
    "open_clip-coca": coca,
}
