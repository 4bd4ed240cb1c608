"""What the bridge says and finds so far, to be looked at: captions of held-out pictures, pictures of captions."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import shorten, wrap

import numpy as np
import torch
from PIL import Image, ImageDraw

from fromage_lite.config import GenerationSettings
from fromage_lite.model.decoding import DecodingState, stream
from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.recipe import Recipe

SHOWN, FOUND = 4, 3
_MOST_KEYS = 512  # pictures among which is searched
_TILE, _LINE, _LETTERS = 128, 12, 60  # pixels, pixels, characters
_SETTINGS = GenerationSettings(max_new_tokens=24, ret_mode="off")


@dataclass(frozen=True)
class Samples:
    """A few held-out captions with what the model makes of them.

    Attributes:
        rows: (n,) the pictures.
        captions: n, their own.
        said: n, the model's.
        found: n lists of rows, best first; none where the model finds no pictures.
    """

    rows: list[int]
    captions: list[str]
    said: list[str]
    found: list[list[int]]


@torch.no_grad()
def take_samples(model: Fromage, data: TrainingData, recipe: Recipe) -> Samples | None:
    """Captions for the first pictures of the data, and pictures for their captions; None if there are no captions."""
    first = {row: caption for caption, row in reversed(data.captions[: 8 * SHOWN])}
    rows = sorted(first)[:SHOWN]
    if not rows:
        return None
    among = list(dict.fromkeys(row for _, row in data.captions))[:_MOST_KEYS]
    found = []
    if model.config.has_retrieval:
        keys = model.image_embeds(_features(data.features, among, model))
        for row in rows:
            segments = [recipe.input_prefix, first[row]] if recipe.input_prefix else [first[row]]
            best = (model.query_embeds(segments) @ keys.T)[0].topk(min(FOUND, len(among))).indices
            found.append([among[i] for i in best.tolist()])
    visual = data.features if data.grid is None else data.grid
    said = [_caption(model, _features(visual, [row], model), recipe) for row in rows]
    return Samples(rows, [first[row] for row in rows], said, found)


def draw(samples: Samples, data: TrainingData) -> dict[str, Image.Image]:
    """The samples as two sheets, by name; none without pictures."""
    if data.picture is None:
        return {}
    lines = zip(samples.rows, samples.captions, samples.said, strict=True)
    captions = [([row], [f"is: {own}", f"says: {said}"]) for row, own, said in lines]
    if not samples.found:
        return {"samples/captions": _sheet(captions, data)}
    retrieval = [
        (rows, [f"asked for: {caption}"]) for rows, caption in zip(samples.found, samples.captions, strict=True)
    ]
    return {"samples/captions": _sheet(captions, data), "samples/retrieval": _sheet(retrieval, data)}


def _features(array: np.ndarray, rows: list[int], model: Fromage) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array[rows], dtype=np.float32)).to(model.language.device)


def _caption(model: Fromage, features: torch.Tensor, recipe: Recipe) -> str:
    """What the model says after a picture, as it was trained to."""
    separator = recipe.caption_separator.rstrip(" ")  # a blank belongs to the first word
    if recipe.begin_first:
        embeds = model.prompt_embeds(["", features[0], *filter(None, (recipe.input_prefix, separator))])
    elif recipe.input_prefix:  # the beginning of the text comes after it
        before = model.prompt_embeds([features[0], recipe.input_prefix], add_bos=False)
        embeds = torch.cat([before, model.token_embeds(model.language.tokenize(separator, add_bos=True))], dim=1)
    else:
        embeds = model.prompt_embeds([features[0], separator])
    tokens = stream(model, DecodingState(model), embeds, _SETTINGS, stop_strings=("\n", "."))
    return "".join(token.text for token in tokens).strip()


def _sheet(lines: list[tuple[list[int], list[str]]], data: TrainingData) -> Image.Image:
    """One line a sample: its pictures side by side, its texts to their right."""
    assert data.picture is not None
    width = _TILE * max(len(rows) for rows, _ in lines) + 6 * _LETTERS
    sheet = Image.new("RGB", (width, _TILE * len(lines)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (rows, texts) in enumerate(lines):
        top = _TILE * number
        for place, row in enumerate(rows):
            picture = data.picture(row)
            picture.thumbnail((_TILE - 4, _TILE - 4))
            sheet.paste(picture, (_TILE * place + 2, top + 2))
        written = [line for text in texts for line in wrap(_plain(text), _LETTERS)]
        for line, text in enumerate(written[: _TILE // _LINE]):
            pen.text((_TILE * len(rows) + 4, top + _LINE * line), text, fill="black")
    return sheet


def _plain(text: str) -> str:
    """As Pillow's own font can draw it."""
    return shorten(text, 300, placeholder="...").encode("latin-1", "replace").decode("latin-1")
