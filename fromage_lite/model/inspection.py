"""A look inside: which words of the language model an image's visual tokens are closest to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fromage_lite.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from fromage_lite.language.model import LanguageModel
    from fromage_lite.model.fromage import Fromage

_BLOCK = 16_384  # vocabulary rows compared at once


@dataclass(frozen=True)
class TokenMatch:
    """A token of the language model's vocabulary that is close to a visual token.

    Attributes:
        id: its number.
        text: the token's text, including a leading blank.
        cosine: between its input embedding and the visual token.
    """

    id: int
    text: str
    cosine: float


@dataclass(frozen=True)
class PatchGrid:
    """A picture as the encoder sees it; its visual tokens are the patches, row by row.

    Attributes:
        image: cropped and scaled for the encoder, RGB.
        rows, columns: how many patches.
    """

    image: Image
    rows: int
    columns: int


def patch_grid(model: Fromage, image: Image) -> PatchGrid | None:
    """The patches of a picture that are its visual tokens; None if its visual tokens stand for the whole picture.

    What the encoder sees is recovered from `preprocess` itself: a black and a white picture show how it scales values.
    """
    import torch
    from PIL import Image as Pillow

    if model.config.visual_input != "grid":
        return None
    black, white = Pillow.new("RGB", image.size), Pillow.new("RGB", image.size, "white")
    low, high, seen = model.vision.preprocess([black, white, image])  # (3, H, W) each
    height, width = seen.shape[1:]
    rows = round((model.config.n_visual_tokens * height / width) ** 0.5)
    columns = model.config.n_visual_tokens // max(rows, 1)
    if rows * columns != model.config.n_visual_tokens:
        return None  # a visual token is not a patch
    pixels = (seen - low) / (high - low).clamp(min=1e-6) * 255
    pixels = pixels.round().clamp(0, 255).to(torch.uint8)
    return PatchGrid(Pillow.fromarray(pixels.permute(1, 2, 0).numpy()), rows, columns)


def nearest_tokens(model: Fromage, pooled: Tensor, k: int = 8) -> list[list[list[TokenMatch]]]:
    """The words nearest to each visual token, by cosine with the language model's input embeddings.

    Visual tokens live in the space of word embeddings, but nothing forces them close to words: a low cosine says that a
    token means something for which there is no single word.

    Args:
        model: the joined model.
        pooled: features of B pictures, (B, visual_dim).
        k: words for each visual token, or all words if there are fewer.

    Returns:
        B lists (pictures) of V lists (visual tokens) of `k` matches, best first, without `[RET]` and without rows that
        belong to no word.

    Raises:
        ConfigError: the visual tokens are not among the LM's input embeddings.
    """
    import torch
    from torch.nn import functional as F

    if model.config.inject_layers:
        raise ConfigError(
            "This model's pictures stand inside the language model, where there are no words beside them."
        )
    with torch.no_grad():
        visual = model.visual_embeds(pooled).float()  # (B, V, D)
    batch, count, dim = visual.shape
    visual = F.normalize(visual.reshape(-1, dim), dim=-1)  # (B V, D)
    language = model.language
    words = min(language.vocab_size, len(language.tokenizer))
    best = visual.new_empty(len(visual), 0)
    ids = torch.empty(len(visual), 0, dtype=torch.long, device=visual.device)
    for start in range(0, words, _BLOCK):
        block = torch.arange(start, min(start + _BLOCK, words))
        rows = F.normalize(model.token_embeds(block.tolist())[0, :, :dim].float().to(visual.device), dim=-1)  # (n, D)
        best = torch.cat([best, visual @ rows.T], dim=1)
        ids = torch.cat([ids, block.to(visual.device).expand(len(visual), -1)], dim=1)
        best, order = best.topk(min(k, best.shape[1]), dim=1)
        ids = ids.gather(1, order)
    matches = [
        [TokenMatch(id, token_text(language, id), cosine) for id, cosine in zip(row, cosines, strict=True)]
        for row, cosines in zip(ids.tolist(), best.tolist(), strict=True)
    ]
    return [matches[i * count : (i + 1) * count] for i in range(batch)]


def token_text(language: LanguageModel, id: int) -> str:
    """A token as text; for part of a character, the tokenizer's own name for it."""
    text = language.tokenizer.decode([id], clean_up_tokenization_spaces=False)
    return text if text and "\ufffd" not in text else str(language.tokenizer.convert_ids_to_tokens(id))
