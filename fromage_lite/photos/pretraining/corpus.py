"""The LM's pretraining text: documents of the grammar as token ids with loss weights, and pictures as mixtures."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fromage_lite.photos.text import documents, drills, searches
from fromage_lite.photos.text.asking import requests
from fromage_lite.photos.text.document import Asked, Document, Mixture, Question, Words, as_typed
from fromage_lite.photos.text.telling import MAYBE, NO_WORD, YES_WORD
from fromage_lite.photos.text.words import N_TAGS, PICTURE_END, PICTURE_START
from fromage_lite.pretraining import batches as batching
from fromage_lite.pretraining.tokenizer import EOS_ID

Maker = Callable[[random.Random], Document]

MIXTURE: dict[Maker, float] = {
    documents.captioned: 0.6,
    searches.illustrated: 0.8,
    documents.picture_questions: 3.5,
    documents.two_pictures: 2.0,
    requests: 2.4,
    documents.conversation: 1.2,
    documents.mixed_dialogue: 1.3,
    documents.long_dialogue: 0.3,
    documents.asked_about_pictures: 0.7,
    documents.own_picture: 1.0,
    documents.shown_then_asked_for: 1.8,
    searches.searches: 3.0,
}
DRILLS: dict[Maker, float] = {
    drills.yes_no: 3.0,
    drills.naming: 3.5,
    drills.which_one: 2.5,
    drills.facts: 1.0,
    drills.copying: 0.4,
    drills.tagged: 0.5,
}
_DRILL_SHARES = ((300, 0.6), (3000, 0.5))
_LATE_DRILL_SHARE = 0.2
"""Yes/no and which of two is which come last of all that the LM learns, and sooner with practice from the start."""

_QUESTION_WEIGHT = 0.1
_DECISION_WEIGHT = 4.0
_DECISIONS = (f" {YES_WORD}", f" {NO_WORD}", f" {MAYBE}", " the first", " the second", " both", " neither")
"""Answers whose first words decide everything: these weigh more."""


@dataclass(frozen=True)
class EncodedDocument:
    """A document as the LM reads it.

    Attributes:
        ids: token ids, led by `</s>`; the slots' own tokens where visual tokens stand.
        weights: loss weight of each token as a target (0 for what can't be foretold).
        spans: position of the first visual token of each picture that is seen, and what it is.
        things: of each thing that a question asks for the position of its last word, the classes that it means, and how
            much of it the pictures have (`Asked.shares`).
        asked: position of each `[` that stands for a picture given in answer, and what was asked for.
    """

    ids: list[int]
    weights: list[float]
    spans: list[tuple[int, Mixture]]
    asked: list[tuple[int, Mixture]]
    things: list[tuple[int, Asked]]


def share_of_drills(step: int) -> float:
    """Share of drills among the documents of a training step."""
    return next((share for end, share in _DRILL_SHARES if step < end), _LATE_DRILL_SHARE)


def random_document(rng: random.Random, drill_share: float = _LATE_DRILL_SHARE) -> Document:
    """A document of the training mixture, or with probability `drill_share` a drill."""
    makers = DRILLS if rng.random() < drill_share else MIXTURE
    return as_typed(rng.choices(list(makers), list(makers.values()))[0](rng), rng)


def as_text(document: Document) -> str:
    """The words of a document, with `[ ]` where its pictures are."""
    return "".join(piece.text if isinstance(piece, Words) else PICTURE_START + PICTURE_END for piece in document)


class Encoder:
    """Turns documents into token ids."""

    def __init__(self, tokenizer: Any, slots: list[int], max_tokens: int = 512) -> None:
        """
        Args:
            tokenizer: of the LM.
            slots: ids of the `N_TAGS` tokens of the places in a span.
            max_tokens: longer documents are cut.
        """
        assert len(slots) == N_TAGS
        self._tokenizer, self._slots, self._max_tokens = tokenizer, slots, max_tokens
        self._cache: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        if text not in self._cache:
            if len(self._cache) > 200_000:
                self._cache.clear()
            self._cache[text] = self._tokenizer.encode(text, add_special_tokens=False)
        return self._cache[text]

    def encode(self, document: Document) -> EncodedDocument:
        ids, weights = [EOS_ID], [0.0]
        spans: list[tuple[int, Mixture]] = []
        asked: list[tuple[int, Mixture]] = []
        things: list[tuple[int, Asked]] = []
        label_all = not any(isinstance(piece, Words) and not piece.label for piece in document)

        def add(new: list[int], weight: float) -> None:
            ids.extend(new)
            weights.extend([weight] * len(new))

        for piece in document:
            if isinstance(piece, Words):
                if isinstance(piece, Question) and piece.asked and (end := piece.text.rfind(piece.asked.thing)) >= 0:
                    last = len(self.ids(piece.text[: end + len(piece.asked.thing)])) - 1
                    things.append((len(ids) + last, piece.asked))
                add(self.ids(piece.text), 1.0 if piece.label or label_all else _QUESTION_WEIGHT)
                if piece.label and piece.text.startswith(_DECISIONS):
                    first = len(ids) - len(self.ids(piece.text))
                    weights[first : first + 2] = [_DECISION_WEIGHT] * 2
                continue
            if piece.answer:
                add(self.ids(PICTURE_START), 1.0)
                asked.append((len(ids) - 1, piece.mixture))
                continue
            add(self.ids(PICTURE_START), 0.0)
            spans.append((len(ids), piece.mixture))
            add(self._slots, 0.0)
            add(self.ids(PICTURE_END), 0.0)
        ids.append(EOS_ID)
        weights.append(1.0)
        end = self._max_tokens
        return EncodedDocument(
            ids[:end],
            weights[:end],
            [span for span in spans if span[0] + N_TAGS < end],
            [ask for ask in asked if ask[0] < end],
            [thing for thing in things if thing[0] < end],
        )


def batches(encoder: Encoder, seed: int, step: int, tokens: int) -> Iterator[list[EncodedDocument]]:
    """Batches of about `tokens` positions from step `step` on; the step number fixes the content."""

    def draw(rng: random.Random, step: int) -> EncodedDocument:
        return encoder.encode(random_document(rng, share_of_drills(step)))

    return batching.batches(draw, seed, step, tokens)
