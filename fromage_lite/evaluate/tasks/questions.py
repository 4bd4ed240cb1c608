"""Questions about pictures, answered after no example or a few: what a frozen LM learns from its context."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from fromage_lite.evaluate.formats.questions import PictureQuestion
from fromage_lite.evaluate.intervals import Figure, mean_figure
from fromage_lite.evaluate.tasks.queries import padded_on_left
from fromage_lite.evaluate.tasks.result import Sample, TaskResult, some_of_both
from fromage_lite.evaluate.tasks.seen import SeenPictures
from fromage_lite.evaluate.vqa_accuracy import answer_in, vqa_accuracy
from fromage_lite.model.beams import beam_search_batch
from fromage_lite.model.fromage import Fromage, ModelSegment
from fromage_lite.progress import progress_bar
from fromage_lite.text.message import ImageSegment
from fromage_lite.text.templates import get_template

SHOTS = (0, 1, 2, 4, 8)


def evaluate_questions(
    model: Fromage,
    seen: SeenPictures,
    data: Sequence[PictureQuestion],
    examples: Sequence[PictureQuestion] = (),
    *,
    shots: Sequence[int] = SHOTS,
    max_new_tokens: int = 20,
    batch_size: int = 16,
    seed: int = 0,
) -> TaskResult:
    """`shots_N/accuracy`, and `shots_N/KIND/accuracy` by kind of question.

    Examples stand before the question as turns of one dialogue in the model's own template, drawn anew for each
    question; the draws are nested, so that more shots are more of the same. Where all do not fit into the LM's
    positions the first are left out (counted as `shortened`).

    Args:
        model: the model.
        seen: gets the pictures.
        data: the questions.
        examples: questions to draw from, of other pictures; needed for more than 0 shots.
        shots: which N.
        max_new_tokens: longer answers are cut.
        batch_size: questions at once.
        seed: of the draws and the intervals.
    """
    seen.see([question.picture for question in data])
    if examples:
        seen.see([question.picture for question in examples])
    kept = [question for question in data if question.picture.id in seen]
    known = [question for question in examples if question.picture.id in seen]
    drawn = _draws(kept, known, max(shots), seed)
    figures: dict[str, Figure] = {}
    samples: list[Sample] = []
    counts = {"evaluated": len(kept), "missing": len(data) - len(kept), "shortened": 0}
    for n in shots:
        if n and not known:
            continue
        prompts = []
        for question, before in zip(kept, drawn, strict=True):
            prompt, is_whole = _prompt(model, seen, [*before[:n], question], max_new_tokens)
            prompts.append(prompt)
            counts["shortened"] += not is_whole
        said = _answers(model, prompts, max_new_tokens, batch_size)
        right = [vqa_accuracy(reply, question.answers) for reply, question in zip(said, kept, strict=True)]
        figures[f"shots_{n}/accuracy"] = mean_figure(right, seed)
        for kind in sorted({question.kind for question in kept} - {""}):
            of_kind = [value for value, question in zip(right, kept, strict=True) if question.kind == kind]
            figures[f"shots_{n}/{kind}/accuracy"] = mean_figure(of_kind, seed)
        if n == min(shots):
            for question, reply, value in zip(kept, said, right, strict=True):
                asked, wanted = question.text, question.best_answer
                samples.append(Sample(asked, (question.picture.id,), wanted, reply, is_right=value > 0.5))
    return TaskResult(figures, counts, some_of_both(samples))


def _draws(
    data: Sequence[PictureQuestion], examples: Sequence[PictureQuestion], n: int, seed: int
) -> list[list[PictureQuestion]]:
    """For each question up to `n` examples about other pictures."""
    drawn = []
    for question in data:
        rng = random.Random(f"shots {seed} {question.id}")
        mixed = rng.sample(examples, min(len(examples), n + 8)) if n else []
        drawn.append([example for example in mixed if example.picture.id != question.picture.id][:n])
    return drawn


def _prompt(
    model: Fromage, seen: SeenPictures, questions: Sequence[PictureQuestion], room: int
) -> tuple[list[ModelSegment], bool]:
    """The last of the questions after the others with their answers, and whether all fit."""
    template = get_template(model.config.prompt_template, model.language.tokenizer)
    for start in range(len(questions)):
        segments: list[ModelSegment] = []
        for number, question in enumerate(questions[start:]):
            message = (ImageSegment(question.picture.id), question.text)
            segments += [
                part if isinstance(part, str) else seen.segment(part.path)
                for part in template.render_turn(message, number == 0)
            ]
            if question is not questions[-1]:
                segments.append(template.render_reply(question.best_answer))
        if model.prompt_length(segments) + room <= model.language.max_positions:
            return segments, start == 0
    return segments, False


def _answers(
    model: Fromage, prompts: Sequence[Sequence[ModelSegment]], max_new_tokens: int, batch_size: int
) -> list[str]:
    template = get_template(model.config.prompt_template, model.language.tokenizer)
    stop_ids = model.language.token_ids(template.stop_tokens)
    answers = [""] * len(prompts)
    lengths = [model.prompt_length(prompt) for prompt in prompts]
    order = sorted(range(len(prompts)), key=lengths.__getitem__)
    with progress_bar("Answering", "question") as progress:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            with torch.inference_mode():
                inputs, mask = padded_on_left([model.prompt_embeds(prompts[row]) for row in rows])
            beams = beam_search_batch(
                model, inputs, 1, max_new_tokens, mask=mask, stop_strings=template.stop_strings, stop_ids=stop_ids
            )
            for row, texts in zip(rows, beams, strict=True):
                answers[row] = answer_in(texts[0].text) if texts else ""
            progress(min(start + batch_size, len(order)), len(order))
    return answers
