"""Visual Dialog, answers by likelihood (the paper's Table 2, IT2T): which of a hundred the model finds likeliest."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fromage_lite.evaluate.formats.dialogues import PictureDialogue, Round
from fromage_lite.evaluate.intervals import mean_figure
from fromage_lite.evaluate.ranking import choice_figures, ndcg, rank_of
from fromage_lite.evaluate.tasks.result import Sample, TaskResult, some_of_both
from fromage_lite.evaluate.tasks.seen import SeenPictures
from fromage_lite.model.fromage import Fromage, ModelSegment
from fromage_lite.model.likelihood import continuation_log_likelihoods
from fromage_lite.progress import progress_bar
from fromage_lite.text.message import ImageSegment, Segment
from fromage_lite.text.templates import get_template

_END_MARK = re.compile(r"[.?!]$")


def evaluate_answers(
    model: Fromage,
    seen: SeenPictures,
    data: Sequence[PictureDialogue],
    *,
    as_original: bool = False,
    batch_size: int = 25,
    seed: int = 0,
) -> TaskResult:
    """`recall@1`, `@5`, `@10`, `mrr`, `mean_rank` over all rounds, and `ndcg` over those with dense annotations.

    An answer's score is the log-probability of its tokens and of the end of the turn after it. The model reads picture
    and dialogue once a round; the answers share that.

    Args:
        model: the model.
        seen: gets the pictures.
        data: the dialogues.
        as_original: score and write as evals/eval_visdial_generation.py does, faults included: logits are not shifted,
            every answer begins with the beginning-of-text token, and NDCG is taken one round after the annotated one.
        batch_size: answers read at once; memory holds the context so many times.
        seed: of the intervals.
    """
    seen.see(dialogue.picture for dialogue in data)
    kept = [dialogue for dialogue in data if dialogue.picture.id in seen]
    found: list[int] = []
    scored: list[tuple[Round, npt.NDArray[np.float32]]] = []
    samples: list[Sample] = []
    with progress_bar("Choosing answers", "dialogue") as progress:
        for number, dialogue in enumerate(kept, start=1):
            for place, turn in enumerate(dialogue.rounds):
                context, options = _written(model, seen, dialogue, place, as_original)
                scores = continuation_log_likelihoods(
                    model, context, options, batch_size=batch_size, shifted=not as_original
                ).numpy()
                found.append(rank_of(scores, turn.right))
                scored.append((turn, scores))
                if place == number % len(dialogue.rounds):
                    samples.append(_sample(dialogue, place, scores, found[-1]))
            progress(number, len(kept))
    gains = _gains(scored, late=1 if as_original else 0)
    figures = choice_figures(np.array(found, dtype=np.int64), seed)
    if gains:
        figures["ndcg"] = mean_figure(gains, seed)
    counts = {
        "dialogues": len(kept),
        "rounds": len(found),
        "rounds_with_dense_annotations": len(gains),
        "missing": len(data) - len(kept),
    }
    return TaskResult(figures, counts, some_of_both(samples))


def question_text(question: str) -> str:
    """A question with its mark: Visual Dialog's have none."""
    return question if _END_MARK.search(question) else question + "?"


@torch.inference_mode()
def _written(
    model: Fromage, seen: SeenPictures, dialogue: PictureDialogue, place: int, as_original: bool
) -> tuple[Tensor, list[list[int]]]:
    """The context of round `place`, (1, T, D), and the ids of its answers."""
    picture = seen.segment(dialogue.picture.id)
    options = dialogue.rounds[place].options
    if as_original:
        lines: list[str] = []
        for turn in dialogue.rounds[:place]:
            lines += [f"Q: {turn.question}?", f"A: {turn.answer}"]
        lines.append(f"Q: {dialogue.rounds[place].question}?")
        ids = model.language.tokenize("\n".join(lines) + "\nA: ", add_bos=True)
        words = model.token_embeds(ids)
        context = torch.cat([model.visual_rows(picture[None]).to(words), words], dim=1)
        return context, [model.language.tokenize(option, add_bos=True) for option in options]
    template = get_template(model.config.prompt_template, model.language.tokenizer)
    segments: list[ModelSegment] = []
    for number, turn in enumerate(dialogue.rounds[: place + 1]):
        message: list[Segment] = [question_text(turn.question)]
        if number == 0:
            message.insert(0, ImageSegment(dialogue.picture.id))
        segments += [part if isinstance(part, str) else picture for part in template.render_turn(message, number == 0)]
        if number < place:
            segments.append(template.render_reply(turn.answer))
    written = [template.render_reply(option) + template.turn_end for option in options]
    return model.prompt_embeds(segments), [model.language.tokenize(text) for text in written]


def _gains(scored: Sequence[tuple[Round, npt.NDArray[np.float32]]], late: int) -> list[float]:
    """NDCG of the rounds with dense annotations; `late` rounds after them, as in the original."""
    gains = []
    for number, (turn, _) in enumerate(scored):
        if turn.relevance is not None and number + late < len(scored):
            gain = ndcg(scored[number + late][1], turn.relevance)
            if not np.isnan(gain):
                gains.append(gain)
    return gains


def _sample(dialogue: PictureDialogue, place: int, scores: npt.NDArray[np.float32], rank: int) -> Sample:
    turn = dialogue.rounds[place]
    asked = " ".join(f"{question_text(r.question)} {r.answer}" for r in dialogue.rounds[:place])
    return Sample(
        f"{asked} {question_text(turn.question)}".strip(),
        (dialogue.picture.id,),
        wanted=turn.options[turn.right],
        said=turn.options[int(scores.argmax())],
        is_right=rank == 1,
    )
