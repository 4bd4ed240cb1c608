"""The playground's model card, filled in from `figures.json`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from safetensors import safe_open

from fromage_lite.errors import CheckpointError
from fromage_lite.evaluate.figures_file import read_figures
from fromage_lite.playground.evaluation.searching import phrases
from fromage_lite.playground.text.kept_apart import EDGES
from index.files import write_bytes

_HEADER = """---
license: apache-2.0
library_name: fromage-lite
tags: [image-text-to-text, image-retrieval]
---
"""

_TARGETS: dict[str, tuple[str, float]] = {
    "lm_text_qa": ("LM on text alone: answers about a described scene", 0.97),
    "probe_1_2": ("linear probe on the pooled feature names all things, 1-2 things", 0.95),
    "probe_3_4": ("the same, 3-4 things", 0.85),
    "caption_1_2": ("captions: every thing named, none invented, 1-2 things", 0.90),
    "caption_3_4": ("the same, 3-4 things", 0.70),
    "caption_setting": ("captions: setting right", 0.97),
    "vqa": ("questions on pictures, all kinds", 0.85),
    "t2i_r1": ("text-to-image recall@1 of 1,000", 0.60),
    "t2i_r5": ("text-to-image recall@5 of 1,000", 0.90),
    "i2t_r1": ("image-to-text recall@1 of 1,000", 0.60),
    "search_phrases": (
        "searches as people type them: cat, cats, a cat, on a beach, something red; first hit right",
        0.90,
    ),
    "found_vqa": ("questions on a picture that a request found", 0.90),
    "small_talk": ("messages at the edge of the world, kept apart from training: an answer that makes sense", 0.90),
    "ret_when_asked": ("says [RET] when asked for a picture", 0.98),
    "ret_silent_on_questions": ("no [RET] when asked a question", 0.98),
    "request_satisfied": ("first retrieved picture has the things and the setting asked for", 0.85),
    "follow_up_satisfied": ('"and in the snow?" retrieves the changed scene', 0.70),
}

_TEXT = """# The playground models

Small models, trained from nothing, that show the whole of FROMAGe on a laptop. They know a world of 100 pictograms in
8 settings and nothing else.

| folder | what | parameters | file |
|---|---|---|---|
{parts}

- **`lm/`**: Llama architecture with biases in the attention (hidden 320, 4 layers, 512 positions), own byte-level BPE
  tokenizer (1,024 tokens, lower case), pretrained on generated text alone: captions, described scenes with questions,
  dialogues, stories, facts. In that text a *picture span* of 17 tags stands where a picture would stand. Beside the
  next token it learned, at the start of a span that the text before has told, to foretell all 17 tags (multi-token
  prediction; those heads are thrown away), and the embeddings of shown tags got noise in training. A part of the
  documents (70 % up to step 1,000, 30 % up to 6,000, then 10 %) were drills in reading its own context: lists said
  again, pairs looked up, members of a list, neighbours in a row, many hard questions about one scene. Its attention
  heads started as heads that look a few places back and heads that match (mimetic initialization).
  {lm_steps} steps of 4,096 tokens. (The weights in the repository: in the first round the
  output projections of the attention had no bias, and the text grew between rounds: dialogues that come back to an
  earlier picture are in it from the second on, requests for any animal or for plain "cats" from the third, questions
  without an end mark from the fourth; searches in plain words, found pictures that differ from what was asked for, and
  more small talk from the fifth; the user's own picture told apart from found ones in the sixth. The tag-foretelling
  heads began anew in the fifth and the sixth.)
- **`encoder/`**: a CLIP in open_clip's format (ModifiedResNet, 96 px, and a text tower of 2 layers), pretrained on
  rendered scenes and captions. Beside the contrastive loss its pooled feature learned, through linear heads that are
  thrown away, to name the things in a scene and, from left to right, count, size, colour and name of each group.
  {encoder_steps} steps of 128 pictures, and {readout_steps} more in which these names were also read by least squares.
- **`fromage/`**: the bridge of the paper: captions only. What it does beyond captions and retrieval is emergent.
- **`fromage-chat/`**: the default: the same parameters, trained on captions and on dialogues over pictures.
- **`words.txt`**: the words of the LM's text. Misspelt ones are read as the one of these that was meant.

Both bridges are 17 visual tokens, one for each tag of a picture span, and a retrieval space of 256 dimensions; LM and
encoder are frozen. Their map to visual tokens begins as the least-squares estimate of the LM's embeddings of these tags
(`visual_init = "text"`), and is then trained as the rest.

## Figures

On held-out scenes, n = 1,000 for retrieval and the probe, 500 for captions and questions, 300 for requests. *Unseen
pairs* are scenes with two things that never occurred together in any training. Made with

    fromage-lite evaluate --model checkpoints/playground --json checkpoints/playground/figures.json

| key | figure | target | `fromage-chat` | unseen pairs | `fromage` |
|---|---|---|---|---|---|
{figures}

Questions on pictures by kind (right only if the answer is word for word the expected one):

| kind | `fromage-chat` | unseen pairs | `fromage` (zero-shot) |
|---|---|---|---|
{kinds}

`later_vqa`, the share of right answers to a question on a picture after one to three other turns, is {later_vqa}
({unseen_later_vqa} on unseen pairs). `encoder_t2i_r1`, the encoder's own text tower on the same texts and pictures, is
{encoder_t2i_r1}.

What people try first: `search_phrases` takes {searches} searches, each in six forms or more; in wrappings that no
training text has ("pics of cats", `search_unseen_forms`) it is {search_unseen_forms}, with one word misspelt
(`search_slips`) {search_slips}. `found_vqa` asks about the picture that a request found, whatever its words said.
`small_talk` is {edges} messages that no training text holds. A first hit counts as what was asked for from a cosine of
{match_score} on (`match_score` in `config.json`): of first hits that have not the right things in the right place
{match_told} are told so (`match_told`), of those that have, {match_trusted} are trusted (`match_trusted`).

## How to make them again

    fromage-lite make-playground                  # everything
    fromage-lite train --recipe fromage           # one bridge, from the shipped frozen models
    fromage-lite train --recipe fromage-chat

{times}

## Limits

Lower-case English of a small grammar; positions are left and right only; pictures that are no playground scenes are
answered as if they were. The world's pictograms are Noto Color Emoji (Google; the font's licence is the SIL Open Font
License 1.1, its images Apache 2.0).
"""


_BRIDGES = {
    "fromage": "captions of pictures only, as in the FROMAGe paper",
    "fromage-chat": "captions and dialogues over pictures; the chat's default",
}
_BRIDGE_TEXT = """# {name}

A bridge between the playground's frozen language model (`../lm`) and image encoder (`../encoder`), trained on {what}.
Figures, data and limits are in [the playground's model card](../README.md). Load it, or train it again:

    Fromage.from_pretrained("checkpoints/playground/{name}")
    fromage-lite train --recipe {name}
"""


def _count(file: Path) -> int:
    with safe_open(file, "pt") as tensors:
        return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118


def _parts(folder: Path) -> str:
    lines = []
    for name, what in (
        ("lm", "language model"),
        ("encoder", "image encoder"),
        ("fromage", "bridge, captions only"),
        ("fromage-chat", "bridge, the chat's default"),
    ):
        files = list((folder / name).glob("*.safetensors"))
        if not files:
            raise CheckpointError(f"{folder / name} has no weights yet.", f"Run the stage {name} first.")
        megabytes = files[0].stat().st_size / 1e6
        lines.append(f"| `{name}/` | {what} | {_count(files[0]) / 1e6:.1f} M | {megabytes:.1f} MB |")
    return "\n".join(lines)


def write_card(
    folder: Path,
    lm_steps: Sequence[int],
    encoder_steps: tuple[int, Sequence[int]],
    minutes: dict[str, float] | None = None,
) -> None:
    """Write `README.md` of the playground's folder from its files and `figures.json`.

    Raises:
        CheckpointError: weights or figures are missing.
    """
    figures = read_figures(folder)

    def cell(key: str) -> str:
        return f"{figures[key]:.3f}" if key in figures else "–"

    rows = [
        f"| `{key}` | {what} | >= {target:.2f} | "
        f"{cell(key)} | {cell('unseen_' + key)} | {cell('captions_only_' + key)} |"
        for key, (what, target) in _TARGETS.items()
    ]
    rows[6] = rows[6].rsplit("|", 2)[0] + f"| {cell('zero_shot_vqa')} (zero-shot) |"
    kinds = sorted(key.removeprefix("vqa_") for key in figures if key.startswith("vqa_"))
    text = _TEXT.format(
        parts=_parts(folder),
        lm_steps=" + ".join(f"{steps:,}" for steps in lm_steps),
        encoder_steps=f"{encoder_steps[0]:,}",
        readout_steps=" and ".join(f"{steps:,}" for steps in encoder_steps[1]),
        figures="\n".join(rows),
        kinds="\n".join(
            f"| {k} | {cell('vqa_' + k)} | {cell('unseen_vqa_' + k)} | {cell('zero_shot_vqa_' + k)} |" for k in kinds
        ),
        encoder_t2i_r1=cell("encoder_t2i_r1"),
        later_vqa=cell("later_vqa"),
        unseen_later_vqa=cell("unseen_later_vqa"),
        searches=len(phrases()),
        edges=len(EDGES),
        **{
            key: cell(key)
            for key in ("search_unseen_forms", "search_slips", "match_score", "match_told", "match_trusted")
        },  # fmt: skip
        times=_times(minutes or {}),
    )
    write_bytes(folder / "README.md", (_HEADER + text).encode())
    for name, what in _BRIDGES.items():
        write_bytes(folder / name / "README.md", (_HEADER + _BRIDGE_TEXT.format(name=name, what=what)).encode())


def _times(minutes: dict[str, float]) -> str:
    if not minutes:
        return ""
    stages = ", ".join(f"{stage} {value:.0f} min" for stage, value in minutes.items())
    return f"Measured on two CPU cores, some stages side by side: {stages}."
