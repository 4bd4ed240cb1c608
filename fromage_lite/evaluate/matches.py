"""How well the score of a request's first hit tells whether it is what was asked for, for any world's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fromage_lite.config import change_config
from fromage_lite.evaluate.metrics import mean

_ABOUT_AS_WELL = 0.02


@dataclass(frozen=True)
class Scored:
    """A request's first hit.

    Attributes:
        score: its cosine.
        fits: whether it is what was asked for.
    """

    score: float
    fits: bool


def calibrated(scored: Sequence[Scored]) -> float:
    """The score that best tells fitting first hits from others, both counted alike: the mean of all that do so about
    as well."""
    fits, others = ([s.score for s in scored if s.fits is kind] for kind in (True, False))
    told = {s.score: mean([x >= s.score for x in fits]) + mean([x < s.score for x in others]) for s in scored}
    best = max(told.values())
    return mean([score for score, value in told.items() if value > best - _ABOUT_AS_WELL])


def write_match_score(folder: Path, score: float) -> float:
    """Writes the score from which on a picture counts as what was asked for into the configuration in `folder`
    (`match_score`), and returns it as written."""
    least = round(score, 3)
    change_config(folder, match_score=least)
    return least


def told_and_trusted(scored: Sequence[Scored], least: float | None) -> dict[str, float]:
    """`match_told`: first hits that do not fit, and whose score says so; `match_trusted`: those that fit, and whose
    score says so. By `least`, else by the best score for these requests."""
    least = calibrated(scored) if least is None else least
    return {
        "match_score": least,
        "match_told": mean([s.score < least for s in scored if not s.fits]),
        "match_trusted": mean([s.score >= least for s in scored if s.fits]),
    }
