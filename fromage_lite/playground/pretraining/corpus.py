"""The LM's pretraining text: documents of the grammar as token ids with loss weights. Pictures become spans of tags."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from fromage_lite.playground.text import documents, drills, searches
from fromage_lite.playground.text.document import SLIPS, Document, Picture, Words, as_typed
from fromage_lite.playground.text.grammar import PICTURE_END, PICTURE_START, span, tags
from fromage_lite.playground.text.kept_apart import is_kept_apart
from fromage_lite.playground.world.scene import Split
from fromage_lite.pretraining import batches as batching
from fromage_lite.pretraining.tokenizer import EOS_ID

Maker = Callable[[random.Random, Split], Document]

MIXTURE: dict[Maker, float] = {
    documents.captioned: 1.0,
    documents.illustrated: 1.2,
    documents.picture_questions: 3.0,
    documents.two_pictures: 0.8,
    documents.described_questions: 2.5,
    documents.requests: 2.4,
    documents.story: 0.5,
    documents.conversation: 1.1,
    documents.mixed_dialogue: 1.4,
    documents.long_dialogue: 0.3,
    documents.asked_about_pictures: 0.9,
    documents.own_picture: 2.5,
    searches.searches: 1.2,
}
DRILLS: tuple[Maker, ...] = (
    drills.echo,
    drills.recall,
    drills.membership,
    drills.neighbours,
    drills.hard_questions,
    drills.hard_questions,
)
_DRILL_SHARES = ((1000, 0.7), (6000, 0.3))
_LATE_DRILL_SHARE = 0.1
"""Reading its own context comes last of all that the LM learns, and much sooner with practice in nothing else."""

_QUESTION_WEIGHT = 0.1
_TOLD_TAG_WEIGHT = 0.3
_EMPTY_SPAN_SHARE = 0.4
"""A picture given in answer has its tags where what was found doesn't follow, and is else left open: `[ [ tags ]`."""


@dataclass(frozen=True)
class EncodedDocument:
    """A document as the LM reads it.

    Attributes:
        ids: token ids, led by `</s>`.
        weights: loss weight of each token as a target (0 for what can't be foretold).
        noisy: True at the tags of shown pictures, whose embeddings get noise in training.
        spans: positions of `[` whose tags the text before has told, each with its tags.
    """

    ids: list[int]
    weights: list[float]
    noisy: list[bool]
    spans: list[tuple[int, list[str]]]


def share_of_drills(step: int) -> float:
    """Share of drills among the documents of a training step."""
    return next((share for end, share in _DRILL_SHARES if step < end), _LATE_DRILL_SHARE)


def random_document(
    rng: random.Random, split: Split = "train", drill_share: float = _LATE_DRILL_SHARE, with_slips: bool = True
) -> Document:
    """A document of the training mixture, or with probability `drill_share` a drill; without slips, no word in it is
    misspelt."""
    is_drill = rng.random() < drill_share
    while True:
        if is_drill:
            document = rng.choice(DRILLS)(rng, split)
        else:
            maker = rng.choices(list(MIXTURE), list(MIXTURE.values()))[0]
            if not with_slips and maker is searches.searches:
                maker = partial(searches.searches, slips=0.0)
            document = as_typed(maker(rng, split), rng, SLIPS if with_slips else 0.0)
        if not is_kept_apart(document):
            return document


def as_text(document: Document) -> str:
    """The document with every picture as a picture span."""
    return "".join(piece.text if isinstance(piece, Words) else span(piece.scene) for piece in document)


class Encoder:
    """Turns documents into token ids."""

    def __init__(self, tokenizer: Any, max_tokens: int = 512) -> None:
        self._tokenizer, self._max_tokens = tokenizer, max_tokens
        self._cache: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        if text not in self._cache:
            if len(self._cache) > 200_000:
                self._cache.clear()
            self._cache[text] = self._tokenizer.encode(text, add_special_tokens=False)
        return self._cache[text]

    def encode(self, document: Document, rng: random.Random) -> EncodedDocument:
        ids, weights, noisy, spans = [EOS_ID], [0.0], [False], []
        label_all = not any(isinstance(piece, Words) and not piece.label for piece in document)

        def add(text: str, weight: float, noise: bool = False) -> None:
            new = self.ids(text)
            ids.extend(new)
            weights.extend([weight] * len(new))
            noisy.extend([noise] * len(new))

        for piece, after in zip(document, [*document[1:], None], strict=True):
            if isinstance(piece, Words):
                add(piece.text, 1.0 if piece.label or label_all else _QUESTION_WEIGHT)
                continue
            add(PICTURE_START, 1.0 if piece.answer else _QUESTION_WEIGHT)
            if isinstance(after, Picture) and after.found:
                spans.append((len(ids) - 1, tags(piece.scene)))
                continue
            if not (piece.answer and rng.random() < _EMPTY_SPAN_SHARE):
                if piece.told:
                    spans.append((len(ids) - 1, tags(piece.scene)))
                for tag in tags(piece.scene):
                    add(" " + tag, _TOLD_TAG_WEIGHT if piece.told else 0.0, noise=not piece.told)
            add(PICTURE_END, 0.1)
        ids.append(EOS_ID)
        weights.append(1.0)
        noisy.append(False)
        end = self._max_tokens
        return EncodedDocument(ids[:end], weights[:end], noisy[:end], [span for span in spans if span[0] < end])


def batches(
    tokenizer: Any, seed: int, step: int, tokens: int, split: Split = "train"
) -> Iterator[list[EncodedDocument]]:
    """Batches of about `tokens` positions from step `step` on, documents of like length together.

    Step numbers fix the content: a resumed run sees what an uninterrupted one would have seen.
    """
    encoder = Encoder(tokenizer)

    def draw(rng: random.Random, step: int) -> EncodedDocument:
        return encoder.encode(random_document(rng, split, share_of_drills(step)), rng)

    return batching.batches(draw, seed, step, tokens)
