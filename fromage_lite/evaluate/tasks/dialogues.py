"""Visual Dialog, pictures by dialogue (the paper's Table 2, T2I): the picture that a dialogue is about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fromage_lite.evaluate.formats.dialogues import PictureDialogue
from fromage_lite.evaluate.intervals import Figure, mean_figure
from fromage_lite.evaluate.ranking import rank_figures
from fromage_lite.evaluate.tasks.answers import question_text
from fromage_lite.evaluate.tasks.queries import need_retrieval, query_embeds, text_tower, unit
from fromage_lite.evaluate.tasks.result import Sample, TaskResult, some_of_both
from fromage_lite.evaluate.tasks.retrieval import ranks_in_groups
from fromage_lite.evaluate.tasks.seen import SeenPictures
from fromage_lite.model.fromage import Fromage

MARKS = (".", "?", "!")


def evaluate_dialogues(
    model: Fromage,
    seen: SeenPictures,
    data: Sequence[PictureDialogue],
    *,
    rounds: Sequence[int] = tuple(range(11)),
    seed: int = 0,
    alike: Sequence[object] = (),
) -> TaskResult:
    """`rounds_N/…`: recall@1, 5, 10 and median rank of the picture among those of all dialogues, from its caption and
    the first N rounds; `text_tower/rounds_N/…` by the frozen encoder alone.

    `as_original/…` is the setting of evals/eval_visdial_retrieval.py: all rounds without the caption, and for each
    picture the rank of its dialogue among all, which is the other direction.

    Args:
        model: the model.
        seen: gets the pictures.
        data: the dialogues.
        rounds: which N.
        seed: of the intervals.
        alike: as for `evaluate_retrieval`.
    """
    need_retrieval(model)
    seen.see(dialogue.picture for dialogue in data)
    numbers: dict[object, int] = {}
    kept, kinds = [], []
    for number, dialogue in enumerate(data):
        if dialogue.picture.id in seen:
            kept.append(dialogue)
            kinds.append(numbers.setdefault(alike[number] if alike else number, len(numbers)))
    groups = np.array(kinds, dtype=np.int64)
    ids = [dialogue.picture.id for dialogue in kept]
    pictures, own = seen.image_embeds(ids), unit(seen.features(ids))
    encode = text_tower(model)
    figures: dict[str, Figure] = {}
    samples: list[Sample] = []
    first = None
    for n in rounds:
        texts = [dialogue_text(dialogue, n) for dialogue in kept]
        queries = query_embeds(model, [[text] for text in texts])
        found = ranks_in_groups(queries, pictures, groups, groups)
        figures |= {f"rounds_{n}/{name}": value for name, value in rank_figures(found, seed=seed).items()}
        first = found if first is None else first
        figures[f"gain/rounds_{n}"] = mean_figure((found == 1).astype(float) - (first == 1), seed)
        if encode is not None:
            told = rank_figures(ranks_in_groups(encode(texts), own, groups, groups), seed=seed)
            figures |= {f"text_tower/rounds_{n}/{name}": value for name, value in told.items()}
        if n == max(rounds):
            for row, text in enumerate(texts):
                best = np.argsort(-(pictures @ queries[row]), kind="stable")[:3]
                got = tuple(ids[place] for place in best)
                samples.append(Sample(text, wanted_picture=ids[row], found=got, is_right=bool(found[row] == 1)))
    without = query_embeds(model, [[dialogue_text(dialogue, None, caption=False)] for dialogue in kept])
    back = ranks_in_groups(pictures, without, groups, groups)
    figures |= {f"as_original/{name}": value for name, value in rank_figures(back, seed=seed).items()}
    return TaskResult(figures, {"dialogues": len(kept), "missing": len(data) - len(kept)}, some_of_both(samples))


def dialogue_text(dialogue: PictureDialogue, n: int | None, caption: bool = True) -> str:
    """`caption Q: question? A: answer. Q: …`, as the original joins them.

    Args:
        dialogue: the dialogue.
        n: how many rounds; None is all.
        caption: whether it begins with the picture's caption.
    """
    parts = [_ended(dialogue.caption)] if caption else []
    for turn in dialogue.rounds[:n]:
        parts.append(f"Q: {question_text(turn.question)} A: {_ended(turn.answer)}")
    return " ".join(parts)


def _ended(text: str) -> str:
    return text if text.endswith(MARKS) else text + "."
