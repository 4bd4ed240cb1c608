"""Visual Dialog, pictures by dialogue (the paper's Table 2, T2I): the picture that a dialogue is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from fromage_lite.evaluate.formats.dialogues import PictureDialogue
from fromage_lite.evaluate.intervals import Figure, mean_figure
from fromage_lite.evaluate.ranking import rank_figures
from fromage_lite.evaluate.tasks.answers import question_text
from fromage_lite.evaluate.tasks.queries import need_retrieval, query_embeds, text_tower
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
    the first N rounds; `text_tower/rounds_N/…` by the frozen encoder alone. `caption_last/…` has the caption after the
    rounds: a bridge trained on captions alone has read `[RET]` after nothing else.

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
    pictures, tower = seen.image_embeds(ids), text_tower(model)
    own = None if tower is None else tower.pictures(seen.features(ids))
    figures: dict[str, Figure] = {}
    samples: list[Sample] = []
    for form in ("", "caption_last/"):
        first = None
        for n in rounds:
            texts = [dialogue_text(dialogue, n, "last" if form else "first") for dialogue in kept]
            queries = query_embeds(model, [[text] for text in texts])
            found = ranks_in_groups(queries, pictures, groups, groups)
            figures |= {f"{form}rounds_{n}/{name}": value for name, value in rank_figures(found, seed=seed).items()}
            first = found if first is None else first
            figures[f"{form}gain/rounds_{n}"] = mean_figure((found == 1).astype(float) - (first == 1), seed)
            if tower is not None and own is not None:
                told = rank_figures(ranks_in_groups(tower.texts(texts), own, groups, groups), seed=seed)
                figures |= {f"text_tower/{form}rounds_{n}/{name}": value for name, value in told.items()}
            if n == max(rounds):
                samples += _samples(texts, ids, queries, pictures, found)
    without = query_embeds(model, [[dialogue_text(dialogue, None, None)] for dialogue in kept])
    back = ranks_in_groups(pictures, without, groups, groups)
    figures |= {f"as_original/{name}": value for name, value in rank_figures(back, seed=seed).items()}
    return TaskResult(figures, {"dialogues": len(kept), "missing": len(data) - len(kept)}, samples)


def dialogue_text(dialogue: PictureDialogue, n: int | None, caption: Literal["first", "last"] | None) -> str:
    """`caption Q: question? A: answer. Q: …`, joined as in the original.

    Args:
        dialogue: the dialogue.
        n: how many rounds; None is all.
        caption: where the picture's caption stands; None leaves it out.
    """
    parts = [f"Q: {question_text(turn.question)} A: {_ended(turn.answer)}" for turn in dialogue.rounds[:n]]
    if caption is not None:
        parts.insert(0 if caption == "first" else len(parts), _ended(dialogue.caption))
    return " ".join(parts)


def _samples(
    texts: Sequence[str],
    ids: Sequence[str],
    queries: npt.NDArray[np.float32],
    pictures: npt.NDArray[np.float32],
    found: npt.NDArray[np.int64],
) -> list[Sample]:
    samples = []
    for row, text in enumerate(texts):
        best = np.argsort(-(pictures @ queries[row]), kind="stable")[:3]
        got = tuple(ids[place] for place in best)
        samples.append(Sample(text, wanted_picture=ids[row], found=got, is_right=bool(found[row] == 1)))
    return some_of_both(samples, 2)


def _ended(text: str) -> str:
    return text if text.endswith(MARKS) else text + "."
