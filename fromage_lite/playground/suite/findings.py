"""The paper's findings, each with what was measured here and whether it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fromage_lite.evaluate.intervals import Figure
from fromage_lite.evaluate.report.document import shown
from fromage_lite.evaluate.tasks.result import TaskResult


@dataclass(frozen=True)
class Finding:
    """A claim and the figures that speak for or against it.

    Attributes:
        claim: what the paper found.
        seen: what was measured here.
        verdict: `yes`, `no`, or `not told apart` where the intervals leave it open.
    """

    claim: str
    seen: str
    verdict: str


def verdict(better: Figure, worse: Figure) -> str:
    """Whether one figure is above another. Intervals that don't touch say so; others leave it open."""
    if better.low > worse.high:
        return "yes"
    return "no" if worse.low > better.high else "not told apart"


def of_difference(difference: Figure) -> str:
    """Whether a paired difference is above 0."""
    if difference.low > 0:
        return "yes"
    return "no" if difference.high < 0 else "not told apart"


def findings(tasks: Mapping[str, TaskResult], ablations: Mapping[str, TaskResult]) -> list[Finding]:
    """All findings that the figures allow to judge.

    Args:
        tasks: the paper's bridge, by stage.
        ablations: by their names, with `without_ret`.
    """
    stories = tasks["stories"].figures
    found = [
        _gain("more context helps: 5 captions find more than 1", stories, "", "5_captions"),
        _gain("so do 5 captions with 4 pictures", stories, "", "5_captions_4_images"),
        _pair(
            "pictures in the context help beside the captions",
            stories["5_captions_4_images/recall@1"],
            stories["5_captions/recall@1"],
            "5 captions + 4 pictures",
            "5 captions",
        ),
    ]
    if "text_tower/gain/5_captions" in stories:
        found.append(_loss("the encoder's own text tower loses by a long context", stories))
    dialogues = tasks["dialogues"].figures
    last = max((name for name in dialogues if name.startswith("gain/rounds_")), key=lambda n: int(n.rpartition("_")[2]))
    for form, words in (("", "the caption first"), ("caption_last/", "the caption last")):
        found.append(
            Finding(
                f"more rounds of a dialogue find more ({words})",
                f"recall@1 rises by {shown(dialogues[form + last])}",
                of_difference(dialogues[form + last]),
            )
        )
    found += _of_ablations(ablations)
    return found


def _of_ablations(ablations: Mapping[str, TaskResult]) -> list[Finding]:
    figures = {name: result.figures for name, result in ablations.items()}
    together, without = figures["together"], figures["without_ret"]
    recall, context = "text_to_image/recall@1", "5_captions_4_images/recall@1"
    pairs = [
        ("[RET] finds more than the mean of the caption's states", recall, together, without, "[RET]", "mean"),
        ("so it does in stories", context, together, without, "[RET]", "mean"),
        ("both losses together retrieve as well as retrieval alone", recall, together, figures["retrieval"], "both",
         "retrieval alone"),
        ("both losses together caption as well as captioning alone", "cider_d", together, figures["captioning"],
         "both", "captioning alone"),
        ("more visual tokens caption better (17 against 1)", "cider_d", figures["scaled_17"], figures["scaled_1"],
         "17", "1"),
        ("more data retrieve better", recall, together, figures["pictures_64"], "all pictures", "64"),
        ("training captions better than the least-squares beginning alone", "cider_d", together,
         figures["untrained"], "trained", "one step"),
    ]  # fmt: skip
    return [_pair(claim, a[key], b[key], first, second) for claim, key, a, b, first, second in pairs]


def _pair(claim: str, better: Figure, worse: Figure, first: str, second: str) -> Finding:
    return Finding(claim, f"{first}: {shown(better)}; {second}: {shown(worse)}", verdict(better, worse))


def _gain(claim: str, stories: Mapping[str, Figure], prefix: str, context: str) -> Finding:
    difference = stories[f"{prefix}gain/{context}"]
    return Finding(claim, f"recall@1 rises by {shown(difference)} over 1 caption", of_difference(difference))


def _loss(claim: str, stories: Mapping[str, Figure]) -> Finding:
    difference = stories["text_tower/gain/5_captions"]
    told = {"yes": "no", "no": "yes"}.get(of_difference(difference), "not told apart")
    return Finding(claim, f"its recall@1 with 5 captions changes by {shown(difference)} against 1 caption", told)
