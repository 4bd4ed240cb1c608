"""All figures of the model of photographs on simulated ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from fromage_lite.checkpoint.locate import checkpoint_folder
from fromage_lite.config import read_config
from fromage_lite.evaluate.matches import calibrated, write_match_score
from fromage_lite.model.fromage import Fromage
from fromage_lite.photos.encoder import ENCODER
from fromage_lite.photos.evaluation.figures import Figures, PhotosEvaluation, scored_requests
from fromage_lite.photos.evaluation.real import real_figures
from fromage_lite.progress import Report


def sees_photographs(folder: Path) -> bool:
    """Whether a bridge, or the default one of a folder of bridges, is one for photographs: its encoder says so.

    Raises:
        CheckpointError: there is none.
    """
    return read_config(checkpoint_folder(folder)).vision_encoder == ENCODER


def evaluate_photos(
    folder: Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    quantize: str = "none",
    n: int = 300,
    seed: int = 1,
    photographs: Path | None = None,
    report: Report = print,
) -> Figures:
    """The flat table of figures.

    Args:
        folder: the model's folder.
        device, dtype, quantize: where the models run and how precisely; as in `LoadOptions`.
        n: pictures or questions a figure.
        seed: of pictures and questions.
        photographs: a folder of real ones, filled by `scripts/fetch_photographs.py`; None measures on simulated ones
            alone.
        report: gets a line a group of figures.
    """
    model = Fromage.from_pretrained(folder, device=device, dtype=dtype, quantize=quantize)
    measured = PhotosEvaluation(model, n=n, seed=seed)
    figures: Figures = {}
    parts: list[Callable[[], Figures]] = [
        measured.language_model,
        measured.named,
        measured.yes_no,
        measured.other_questions,
        measured.two,
        measured.requests,
        measured.own_picture,
        measured.strangers,
        measured.matches,
    ]
    if photographs is not None:
        parts.append(partial(real_figures, model, photographs))
    for part in parts:
        made = part()
        figures.update(made)
        report("  ".join(f"{key} {value:.3f}" for key, value in made.items()))
    return figures


def calibrate(folder: Path, device: str = "auto", n: int = 300, seed: int = 2) -> float:
    """Measures the score from which on a picture counts as what was asked for, and writes it into the configuration in
    `folder` (`match_score`). The seed is another than that of the figures."""
    model = Fromage.from_pretrained(folder, device=device)
    return write_match_score(folder, calibrated(scored_requests(model, n, seed)))
