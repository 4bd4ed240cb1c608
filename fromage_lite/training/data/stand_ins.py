"""Captions without pictures: what a frozen encoder's text tower makes of a caption stands in a picture's place.

An encoder trained on pictures and their texts puts both into one space, so a bridge can be learnt there from texts
alone (CapDec: Nukrai, Mokady and Globerson 2022, arXiv 2211.00575). Two things keep texts and pictures apart: each fill
a region of their own (the modality gap: Liang et al. 2022, arXiv 2203.02053; that taking out the means closes most of
it: Zhang, Sui and Yeung-Levy 2024, arXiv 2401.08567), and a picture shows more than its caption says. The first is
measured on some pictures that nobody has described; the second is noise, whose size the captions themselves decide.

Shapes: N captions, M pictures, S width of the shared space.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fromage_lite.errors import ConfigError, DataError
from fromage_lite.model.fromage import Fromage
from fromage_lite.training.data.interleaved import TrainingData
from index.progress import Progress

STILL_FOUND = 0.99  # of the captions that still find themselves under the noise
LEAST_PICTURES = 24  # fewer measure the gap poorly
_SAMPLE = 2000  # captions among which each must find itself
_CHUNK = 256  # captions encoded at a time
_SPAN = 0.999  # of the captions' variance; directions beyond hold rounding errors
_MOST_ROWS, _MOST_COPIES = 200_000, 8


@dataclass(frozen=True)
class Gap:
    """How pictures lie beside captions in the shared space.

    Attributes:
        texts: mean of the captions, (S,).
        pictures: mean of the pictures, (S,).
        scale: how much of a caption's deviation from the mean its picture shares.
    """

    texts: Tensor
    pictures: Tensor
    scale: float = 1.0

    @classmethod
    def measured(cls, texts: Tensor, pictures: Tensor | None) -> Self:
        """The gap between captions (N, S) and pictures (M, S), which need not belong together; without pictures, none.

        Along a direction in which captions vary by v, pictures vary by scale^2 v and by what no caption says; the slope
        over the directions of the captions is therefore scale^2.
        """
        mean = texts.mean(dim=0)
        if pictures is None:
            return cls(mean, mean)
        variances, directions = torch.linalg.eigh(torch.cov(texts.T.double()))
        order = variances.argsort(descending=True)
        shares = variances[order].cumsum(0) / variances.sum()
        kept = order[: int((shares < _SPAN).sum()) + 1]
        of_texts = variances[kept]
        of_pictures = ((pictures - pictures.mean(dim=0)).double() @ directions[:, kept]).square().sum(dim=0)
        of_pictures /= max(len(pictures) - 1, 1)
        centred = of_texts - of_texts.mean()
        spread = centred.square().sum()
        slope = float((centred * of_pictures).sum() / spread) if spread > 0 else 1.0
        if slope <= 0:  # too few pictures: all that they vary by
            slope = float(of_pictures.sum() / of_texts.sum())
        return cls(mean, pictures.mean(dim=0), min(max(slope, 1e-3), 1.0) ** 0.5)

    def across(self, texts: Tensor) -> Tensor:
        """Captions (N, S) -> where their pictures lie, (N, S)."""
        return self.pictures + self.scale * (texts - self.texts)


def choose_noise(texts: Tensor, seed: int = 0) -> float:
    """The standard deviation per dimension of the most noise under which nearly all captions still find themselves.

    Args:
        texts: (N, S).
        seed: of the noise.
    """
    sample = torch.unique(texts, dim=0)
    generator = torch.Generator().manual_seed(seed)
    sample = sample[torch.randperm(len(sample), generator=generator)[:_SAMPLE]]
    noise = torch.randn(sample.shape, generator=generator)
    own = torch.arange(len(sample))
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        found = torch.cdist(sample + middle * noise, sample).argmin(dim=1) == own
        low, high = (middle, high) if found.float().mean() >= STILL_FOUND else (low, middle)
    return low


@dataclass(frozen=True)
class Captions:
    """Captions to learn from.

    Attributes:
        learnt: the captions.
        held_out: others, for validation.
        texts: for each of `learnt` a text that could replace its picture in the LM's input; None is the caption.
        source: where they come from, for a sentence.
    """

    learnt: Sequence[str]
    held_out: Sequence[str] = ()
    texts: Sequence[str] | None = None
    source: str = ""


def stand_in_data(
    model: Fromage,
    captions: Captions,
    pictures: Sequence[Image.Image] = (),
    *,
    uses: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[TrainingData, str]:
    """Training data in which each picture is the text tower's feature of its caption, and a sentence about it.

    Args:
        model: its encoder has a text tower, and its bridge reads the shared space.
        captions: what to learn.
        pictures: any pictures of the kind that the model will see; none leaves the gap open.
        uses: how often the run will see a caption; each time it gets other noise, as far as the memory allows.
        seed: of the noise.
        progress: called with (captions encoded, captions in all).

    Raises:
        ConfigError: the model can't learn from captions alone.
        DataError: there are too few captions.
    """
    if not model.config.shared_space:
        raise ConfigError(
            "This recipe's bridge doesn't read the space that texts and pictures share.",
            "Set shared_space = true under its [bridge].",
        )
    if len(captions.learnt) < 2:
        raise DataError("There are too few captions to learn from.", "Give some thousands.")
    every = text_features(model, [*captions.learnt, *captions.held_out], progress)
    learnt, held_out = every.split([len(captions.learnt), len(captions.held_out)])
    seen = None
    if pictures:
        seen = torch.cat([_in_space(model, pictures[i : i + 32]) for i in range(0, len(pictures), 32)])
    gap, noise = Gap.measured(learnt, seen), choose_noise(learnt, seed)
    copies = min(max(uses, 1), _MOST_COPIES, max(_MOST_ROWS // len(learnt), 1))
    generator = torch.Generator().manual_seed(seed)

    def stand_ins(texts: Tensor) -> np.ndarray:
        noisy = gap.across(texts) + gap.scale * noise * torch.randn(texts.shape, generator=generator)
        return model.bridge.from_space(noisy).numpy().astype(np.float16)

    digest = hashlib.sha256(f"{model.vision.fingerprint()} {noise} {gap.scale} {copies}".encode())
    digest.update("\n".join([*captions.learnt, *captions.held_out]).encode())
    validation = None
    if len(held_out):
        groups = _groups(captions.held_out)
        validation = TrainingData(stand_ins(held_out), [(c, i) for i, c in enumerate(captions.held_out)], groups=groups)
    lines = list(captions.learnt) * copies
    data = TrainingData(
        features=np.concatenate([stand_ins(learnt) for _ in range(copies)]),
        captions=[(caption, row) for row, caption in enumerate(lines)],
        groups=_groups(lines),
        texts=list(captions.texts or captions.learnt) * copies,
        validation=validation,
        fingerprint=f"texts-{digest.hexdigest()[:16]}",
    )
    return data, _sentence(captions, gap, noise, len(pictures))


def text_features(model: Fromage, texts: Sequence[str], progress: Progress | None = None) -> Tensor:
    """Texts -> unit vectors in the shared space, (N, S) float32 on the CPU. Of long ones the beginning counts.

    Raises:
        ConfigError: the encoder has no text tower.
    """
    tower = model.vision.text_tower()
    parts: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(texts), _CHUNK):
            parts.append(tower.encode_text(texts[start : start + _CHUNK]).cpu())
            if progress is not None:
                progress(min(start + _CHUNK, len(texts)), len(texts))
    return torch.cat(parts).clone()


def _in_space(model: Fromage, pictures: Sequence[Image.Image]) -> Tensor:
    return model.bridge.in_space(model.image_features(pictures).pooled).cpu()


def _groups(captions: Sequence[str]) -> np.ndarray:
    """Equal captions are never negatives of each other."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(caption, len(numbers)) for caption in captions])


def _sentence(captions: Captions, gap: Gap, noise: float, n_pictures: int) -> str:
    said = f"{len(captions.learnt):,} captions{captions.source}, no pictures of them; noise {noise:.3f} per dimension."
    if not n_pictures:
        return f"{said} The gap between texts and pictures stays: give a folder of some dozen pictures with --pictures."
    few = f" More than {LEAST_PICTURES} would be better." if n_pictures < LEAST_PICTURES else ""
    apart = float((gap.texts - gap.pictures).norm())
    return f"{said} {n_pictures} other pictures tell how far pictures lie from texts: {apart:.2f}.{few}"
