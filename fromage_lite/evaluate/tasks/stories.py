"""Contextual retrieval (the paper's Table 1): a story's last picture, found from more and more of what comes before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from fromage_lite.errors import DataError
from fromage_lite.evaluate.formats.stories import Stories, Story
from fromage_lite.evaluate.intervals import Figure, mean_figure
from fromage_lite.evaluate.ranking import rank_figures
from fromage_lite.evaluate.tasks.queries import need_retrieval, query_embeds, text_tower
from fromage_lite.evaluate.tasks.result import Sample, TaskResult, some_of_both
from fromage_lite.evaluate.tasks.seen import SeenPictures
from fromage_lite.model.fromage import Fromage, ModelSegment

Context = Literal["1_caption", "5_captions", "5_captions_4_images"]
"""The last caption alone, all of them, and all with the pictures between them."""
CONTEXTS: tuple[Context, ...] = get_args(Context)

ContextEmbed = Callable[[Sequence[Story], Context], npt.NDArray[np.float32]]
"""Stories -> `(n, R)` unit vectors to search with."""


def evaluate_stories(
    model: Fromage,
    seen: SeenPictures,
    data: Stories,
    *,
    seed: int = 0,
    bos_each: bool = False,
    alike: Callable[[str], object] = lambda id: id,
) -> TaskResult:
    """For each context recall@1, 5, 10 and median rank among all pictures of all stories but those that the story has
    shown before; `text_tower/…` the same by the frozen encoder alone, which reads captions only.

    Stories with a picture that is missing are not evaluated, as in the paper, and counted.

    Args:
        model: the model.
        seen: gets the pictures.
        data: the stories.
        seed: of the intervals.
        bos_each: put the beginning of text before every caption and nothing round pictures, as the original's
            evaluation does; chat and training have it once.
        alike: says of a picture's id what it shows; pictures of equal values are right answers for each other.

    Raises:
        ConfigError: the bridge was not trained to find pictures.
        DataError: no story has all of its pictures.
    """
    need_retrieval(model)
    seen.see(picture for story in data.stories for picture in story.pictures)
    kept = [story for story in data.stories if all(picture.id in seen for picture in story.pictures)]
    if not kept:
        raise DataError("No story has all of its pictures.", "Name the folder that has them: --images.")
    gallery = sorted({p.id for story in data.stories for p in story.pictures if p.id in seen})
    search = Gallery(gallery, [alike(id) for id in gallery])
    pictures, embed = seen.image_embeds(gallery), story_queries(model, seen, bos_each)
    figures: dict[str, Figure] = {}
    samples: list[Sample] = []
    ranks_of: dict[str, npt.NDArray[np.int64]] = {}
    for context in CONTEXTS:
        found, best = search.ranks(kept, embed(kept, context), pictures)
        ranks_of[context] = found
        figures |= {f"{context}/{name}": value for name, value in rank_figures(found, seed=seed).items()}
        samples += _samples(kept, context, found, best)
    figures |= _gains(ranks_of, "", seed)
    tower = text_tower(model)
    if tower is not None:
        own = tower.pictures(seen.features(gallery))
        ranks_of = {}
        for context in CONTEXTS[:2]:
            texts = [" ".join(_captions(story, context)) for story in kept]
            ranks_of[context], _ = search.ranks(kept, tower.texts(texts), own)
            told = rank_figures(ranks_of[context], seed=seed)
            figures |= {f"text_tower/{context}/{name}": value for name, value in told.items()}
        figures |= _gains(ranks_of, "text_tower/", seed)
    counts = {
        "evaluated": len(kept),
        "missing_pictures": len(data.stories) - len(kept),
        "incomplete_stories": data.incomplete,
        "gallery": len(gallery),
    }
    return TaskResult(figures, counts, samples)


def story_queries(model: Fromage, seen: SeenPictures, bos_each: bool = False) -> ContextEmbed:
    """The queries of a model with `[RET]` after the context."""

    def embed(stories: Sequence[Story], context: Context) -> npt.NDArray[np.float32]:
        prompts = [story_prompt(story, context, seen) for story in stories]
        return query_embeds(model, prompts, embed=partial(_with_bos_each, model) if bos_each else None)

    return embed


def story_prompt(story: Story, context: Context, seen: SeenPictures) -> list[ModelSegment]:
    """A story up to its last caption: caption, picture, caption, …"""
    captions = _captions(story, context)
    if context != "5_captions_4_images":
        return [" ".join(captions)]
    prompt: list[ModelSegment] = []
    for number, caption in enumerate(captions):
        prompt.append((" " if number else "") + caption)
        if number + 1 < len(captions):
            prompt.append(seen.segment(story.pictures[number].id))
    return prompt


def _captions(story: Story, context: Context) -> tuple[str, ...]:
    return story.captions[-1:] if context == "1_caption" else story.captions


def _with_bos_each(model: Fromage, prompt: Sequence[ModelSegment]) -> torch.Tensor:
    parts = []
    for segment in prompt:
        if isinstance(segment, str):
            parts.append(model.token_embeds(model.language.tokenize(segment.strip(), add_bos=True)))
        elif isinstance(segment, torch.Tensor):
            parts.append(model.visual_rows(segment[None]).to(parts[0]))
    return torch.cat(parts, dim=1)


class Gallery:
    """All pictures that may be found, by their ids and what each shows: equal values are right for each other."""

    def __init__(self, ids: Sequence[str], shows: Sequence[object]) -> None:
        self._ids = list(ids)
        self._place = {id: number for number, id in enumerate(ids)}
        numbers: dict[object, int] = {}
        self._groups = np.array([numbers.setdefault(value, len(numbers)) for value in shows])

    def ranks(
        self, stories: Sequence[Story], queries: npt.NDArray[np.float32], pictures: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.int64], list[tuple[str, ...]]]:
        """The rank, from 1, of each story's last picture, and the ids of the first three found."""
        found = np.empty(len(stories), dtype=np.int64)
        best: list[tuple[str, ...]] = []
        for row, story in enumerate(stories):
            target = self._place[story.pictures[-1].id]
            scores = pictures @ queries[row]
            before = [self._place[p.id] for p in story.pictures[:-1] if p.id != story.pictures[-1].id]
            scores[before] = -np.inf
            right = self._groups == self._groups[target]
            right[before] = False
            found[row] = 1 + int(((scores >= scores[right].max()) & ~right).sum())
            best.append(tuple(self._ids[place] for place in np.argsort(-scores, kind="stable")[:3]))
        return found, best


def _gains(ranks_of: dict[str, npt.NDArray[np.int64]], prefix: str, seed: int) -> dict[str, Figure]:
    """By how much recall@1 of the same stories rises: `gain/CONTEXT` over the last caption alone, `gain/4_images` from
    captions to captions with pictures. The intervals are those of the paired differences."""
    right = {context: (found == 1).astype(float) for context, found in ranks_of.items()}
    last, captions, with_images = CONTEXTS
    figures = {
        f"{prefix}gain/{context}": mean_figure(values - right[last], seed)
        for context, values in right.items()
        if context != last
    }
    if with_images in right:
        figures[f"{prefix}gain/4_images"] = mean_figure(right[with_images] - right[captions], seed)
    return figures


def _samples(
    stories: Sequence[Story], context: Context, found: npt.NDArray[np.int64], best: Sequence[tuple[str, ...]]
) -> list[Sample]:
    samples = []
    for story, rank, got in zip(stories, found, best, strict=True):
        shown = tuple(p.id for p in story.pictures[:-1]) if context == "5_captions_4_images" else ()
        asked = f"{context.replace('_', ' ')}: " + " ".join(_captions(story, context))
        right = bool(rank == 1)
        samples.append(Sample(asked, shown, wanted_picture=story.pictures[-1].id, found=got, is_right=right))
    return some_of_both(samples, 2)
