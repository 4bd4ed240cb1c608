"""Captions of pictures, and how well they say what people said."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from fromage_lite.evaluate.formats.captions import Captioned
from fromage_lite.evaluate.intervals import Figure, figure, mean_figure
from fromage_lite.evaluate.tasks.queries import padded_on_left, text_tower
from fromage_lite.evaluate.tasks.result import Sample, TaskResult
from fromage_lite.evaluate.tasks.seen import SeenPictures
from fromage_lite.evaluate.texts.bleu import ORDER, bleu_counts, bleu_of
from fromage_lite.evaluate.texts.cider import cider_d
from fromage_lite.evaluate.texts.clipscore import PREFIX, clip_scores, ref_clip_scores
from fromage_lite.evaluate.texts.rouge import rouge_l
from fromage_lite.evaluate.texts.tokens import CaptionTokenizer
from fromage_lite.model.beams import beam_search_batch
from fromage_lite.model.fromage import Fromage
from fromage_lite.progress import progress_bar

STOPS = ("\n", ".")
"""A caption is one sentence: the original cuts there, too (`truncate_caption`)."""


def write_captions(
    model: Fromage,
    seen: SeenPictures,
    ids: Sequence[str],
    *,
    n_beams: int = 1,
    max_new_tokens: int = 40,
    prompt: str = "",
    batch_size: int = 32,
) -> list[str]:
    """The model's caption of each picture: what it says right after the picture, without its full stop.

    Args:
        model: the model.
        seen: has all of the pictures.
        ids: which.
        n_beams: 1 is greedy.
        max_new_tokens: longer captions are cut.
        prompt: words between picture and caption.
        batch_size: pictures at once.
    """
    captions: list[str] = []
    with progress_bar("Writing captions", "picture") as progress:
        for start in range(0, len(ids), batch_size):
            part = ids[start : start + batch_size]
            with torch.inference_mode():
                inputs, mask = padded_on_left([model.prompt_embeds([seen.segment(id), prompt]) for id in part])
            beams = beam_search_batch(model, inputs, n_beams, max_new_tokens, mask=mask, stop_strings=STOPS)
            captions += [texts[0].text.strip() if texts else "" for texts in beams]
            progress(len(captions), len(ids))
    return captions


def caption_figures(captions: Sequence[str], references: Sequence[Sequence[str]], seed: int = 0) -> dict[str, Figure]:
    """`bleu_1` to `bleu_4`, `rouge_l`, `cider_d` of captions, each with the references of its picture."""
    tokenize = CaptionTokenizer()
    said = [tokenize(caption) for caption in captions]
    known = [[tokenize(reference) for reference in texts] for texts in references]
    counts = bleu_counts(said, known)
    figures = {f"bleu_{n + 1}": figure(counts, _bleu(n), seed) for n in range(ORDER)}
    rouge = [rouge_l(caption, texts) for caption, texts in zip(said, known, strict=True)]
    return figures | {"rouge_l": mean_figure(rouge, seed), "cider_d": mean_figure(cider_d(said, known), seed)}


def _bleu(n: int) -> Callable[[npt.NDArray[np.float64]], float]:
    return lambda sample: float(bleu_of(sample)[n])


def evaluate_captions(
    model: Fromage,
    seen: SeenPictures,
    data: Sequence[Captioned],
    *,
    beams: Sequence[int] = (1, 3),
    max_new_tokens: int = 40,
    prompt: str = "",
    clip_prefix: str = PREFIX,
    seed: int = 0,
) -> TaskResult:
    """Captions by each number of beams (`greedy/…`, `beam_3/…`), scored by words and by the encoder's text tower.

    NoCaps' pictures are also scored by domain. CIDEr-D weighs words by the references of the pictures scored.
    """
    seen.see(entry.picture for entry in data)
    kept = [entry for entry in data if entry.picture.id in seen]
    ids = [entry.picture.id for entry in kept]
    references = [entry.captions for entry in kept]
    figures: dict[str, Figure] = {}
    samples: list[Sample] = []
    tower = text_tower(model)
    for n_beams in beams:
        name = "greedy" if n_beams == 1 else f"beam_{n_beams}"
        captions = write_captions(model, seen, ids, n_beams=n_beams, max_new_tokens=max_new_tokens, prompt=prompt)
        for domain in ("", *sorted({entry.domain for entry in kept} - {""})):
            rows = [row for row, entry in enumerate(kept) if domain in ("", entry.domain)]
            scored = caption_figures([captions[r] for r in rows], [references[r] for r in rows], seed)
            figures |= {f"{name}/{domain}{'/' if domain else ''}{key}": value for key, value in scored.items()}
        if tower is not None:
            scores = clip_scores(captions, tower.pictures(seen.features(ids)), tower.texts, clip_prefix)
            with_references = ref_clip_scores(captions, references, scores, tower.texts, clip_prefix)
            figures[f"{name}/clip_score"] = mean_figure(scores, seed)
            figures[f"{name}/ref_clip_score"] = mean_figure(with_references, seed)
        if not samples:
            samples = _samples(ids, captions, references)
    counts = {"evaluated": len(kept), "missing": len(data) - len(kept)}
    return TaskResult(figures, counts, samples)


def _samples(ids: Sequence[str], captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[Sample]:
    """The four best and the four worst captions by ROUGE-L."""
    tokenize = CaptionTokenizer()
    scores = [
        rouge_l(tokenize(caption), [tokenize(reference) for reference in known])
        for caption, known in zip(captions, references, strict=True)
    ]
    order = np.argsort(scores, kind="stable")
    chosen = [*order[-4:][::-1], *order[:4]]
    return [
        Sample("", (ids[row],), references[row][0], captions[row], is_right=number < 4)
        for number, row in enumerate(chosen)
    ]
