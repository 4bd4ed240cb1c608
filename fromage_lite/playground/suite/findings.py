"""The paper's findings, each with what was measured here and whether it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fromage_lite.evaluate.intervals import Figure
from fromage_lite.evaluate.report.document import shown
from fromage_lite.evaluate.tasks.result import TaskResult

WITHOUT = "without_ret"

Judge = Callable[[Figure, Figure], str]


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


def no_worse(one: Figure, other: Figure) -> str:
    """Whether one figure is not below another, as far as the intervals tell."""
    return "no" if verdict(one, other) == "no" else "yes"


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
        _gain("more context helps: 5 captions find more than 1", stories, "5_captions"),
        _gain("so do 5 captions with 4 pictures", stories, "5_captions_4_images"),
        Finding(
            "pictures in the context help beside the captions",
            f"recall@1 rises by {shown(stories['gain/4_images'])} from 5 captions to 5 captions + 4 pictures",
            of_difference(stories["gain/4_images"]),
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
    recall, context = "text_to_image/recall@1", "5_captions_4_images/recall@1"
    told = [
        ("[RET] finds more than the mean of the caption's states", recall, "together", WITHOUT, "[RET]", "mean"),
        ("so it does in stories", context, "together", WITHOUT, "[RET]", "mean"),
        ("more visual tokens caption better", "cider_d", "scaled_17", "scaled_1", "17 tokens", "1 token"),
        ("and read pictures in a story better", context, "scaled_17", "scaled_1", "17 tokens", "1 token"),
        ("more data retrieve better", recall, "together", "pictures_64", "all pictures", "64 pictures"),
        ("training captions better than its beginning", "cider_d", "together", "untrained", "trained", "one step"),
        ("the least-squares beginning captions better than a scaled one, both trained alike", "cider_d", "together",
         "scaled_17", "text", "scaled"),
    ]  # fmt: skip
    equal = [
        ("both losses together retrieve no worse than retrieval alone", recall, "retrieval", "retrieval alone"),
        ("both losses together caption no worse than captioning alone", "cider_d", "captioning", "captioning alone"),
    ]
    found = [
        _pair(claim, figures[first][key], figures[second][key], one, other, verdict)
        for claim, key, first, second, one, other in told
    ]
    return found + [
        _pair(claim, figures["together"][key], figures[other][key], "both", name, no_worse)
        for claim, key, other, name in equal
    ]


def _pair(claim: str, one: Figure, other: Figure, first: str, second: str, judge: Judge) -> Finding:
    return Finding(claim, f"{first}: {shown(one)}; {second}: {shown(other)}", judge(one, other))


def _gain(claim: str, stories: Mapping[str, Figure], context: str) -> Finding:
    difference = stories[f"gain/{context}"]
    return Finding(claim, f"recall@1 rises by {shown(difference)} over 1 caption", of_difference(difference))


def _loss(claim: str, stories: Mapping[str, Figure]) -> Finding:
    difference = stories["text_tower/gain/5_captions"]
    told = {"yes": "no", "no": "yes"}.get(of_difference(difference), "not told apart")
    return Finding(claim, f"its recall@1 with 5 captions changes by {shown(difference)} against 1 caption", told)
