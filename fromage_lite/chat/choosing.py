"""Which of the pictures that a search found are shown in a dialogue, and what to say of them. Pure: scores in, choice
out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from index.search.hits import Hit

NEAREST = "No picture here fits that well; this is the nearest."
AGAIN = "No other picture here fits that well, so this one comes again."


@dataclass(frozen=True)
class Choice:
    """What a reply shows.

    Attributes:
        hits: the pictures in order of preference, to be shown from the first on.
        remark: what the user should know of them; empty if they are as wished.
    """

    hits: tuple[Hit, ...]
    remark: str = ""


def choose(found: Sequence[Hit], shown: Collection[int], match_score: float | None) -> Choice:
    """Prefers pictures that were not shown yet, as long as they fit.

    Args:
        found: best first, those shown before among them.
        shown: ids of those.
        match_score: the score from which on a picture counts as what was wished for; None knows of none: then nothing
            comes twice, and nothing is said of how well it fits.
    """
    fresh = tuple(hit for hit in found if hit.id not in shown)
    if match_score is None or (fresh and fresh[0].score >= match_score):
        return Choice(fresh)
    fitting = tuple(hit for hit in found if hit.score >= match_score)  # all of them shown before
    if fitting:
        return Choice((*fitting, *fresh), AGAIN)
    return Choice(fresh, NEAREST if fresh else "")
