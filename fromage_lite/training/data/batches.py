"""From encoded examples to tensors, and to the batches of a step.

Shapes: B batch, T positions, I pictures in the batch, Q `[RET]`s in the batch, F width of the pooled feature.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fromage_lite.text.interleaving import IGNORED
from fromage_lite.training.data.batching import LengthBatches, shard
from fromage_lite.training.data.encoding import Encoded, SequenceEncoder
from fromage_lite.training.data.interleaved import TrainingData
from fromage_lite.training.recipe import Recipe

MOST_ENCODED = 100_000
"""Captions that are encoded before the first step."""


class _OnDevice:
    """A dataclass of tensors that move together."""

    def to(self, device: torch.device | str) -> Self:
        """A copy on a device."""
        moved = {
            item.name: value.to(device) if isinstance(value, (Tensor, _OnDevice)) else value
            for item in fields(self)  # type: ignore[arg-type]
            for value in [getattr(self, item.name)]
        }
        return type(self)(**moved)


@dataclass(frozen=True)
class SequenceBatch(_OnDevice):
    """Interleaved sequences, padded on the right: nothing attends to the padding, so no mask is needed.

    Attributes:
        ids: (B, T) int64; `IMAGE_SLOT` at visual tokens, 0 at padding.
        labels: (B, T) int64; `IGNORED` where nothing is learnt.
        features: (I, F) float32, the pictures in reading order; (I, patches, F) where visual tokens come from those.
        ret_features: (Q, F) float32, the target pictures of the `[RET]`s in reading order.
        ret_groups: (Q,) int64, equal for pictures that look alike.
    """

    ids: Tensor
    labels: Tensor
    features: Tensor
    ret_features: Tensor
    ret_groups: Tensor


@dataclass(frozen=True)
class RetrievalBatch(_OnDevice):
    """Captions for the retrieval pass, padded on the left so that the `[RET]` after them is one column.

    Attributes:
        ids: (B, T) int64, without `[RET]`.
        mask: (B, T) bool, false at padding.
        labels: (B, T + 1) int64; the last column is `[RET]`.
        features: (B, F) float32, the pictures that the captions describe.
        groups: (B,) int64, equal for pictures that look alike.
    """

    ids: Tensor
    mask: Tensor
    labels: Tensor
    features: Tensor
    groups: Tensor


@dataclass(frozen=True)
class Negatives(_OnDevice):
    """Pictures from outside the batch, (M, F) float32, and their groups, (M,) int64."""

    features: Tensor
    groups: Tensor


@dataclass(frozen=True)
class StepBatch(_OnDevice):
    """The input of one optimiser step; a part is None if the recipe leaves it out."""

    captioning: SequenceBatch | None = None
    retrieval: RetrievalBatch | None = None
    dialogues: SequenceBatch | None = None
    negatives: Negatives | None = None


class Collator:
    """Makes tensors from encoded examples; takes the features from their array, which may be memory-mapped."""

    def __init__(self, data: TrainingData) -> None:
        self._features = data.features
        self._visual = data.features if data.grid is None else data.grid
        self._groups = np.arange(len(data.features)) if data.groups is None else data.groups

    def sequences(self, examples: Sequence[Encoded]) -> SequenceBatch:
        """Interleaved sequences as a batch, padded on the right."""
        return SequenceBatch(
            ids=_padded([example.ids for example in examples], 0),
            labels=_padded([example.labels for example in examples], IGNORED),
            features=_rows(self._visual, [row for example in examples for row in example.image_rows]),
            ret_features=self.features([row for example in examples for row in example.ret_rows]),
            ret_groups=self.groups([row for example in examples for row in example.ret_rows]),
        )

    def retrieval(self, examples: Sequence[Encoded]) -> RetrievalBatch:
        """Captions as a batch, padded on the left; the examples end in `[RET]`."""
        rows = [row for example in examples for row in example.ret_rows]
        ids = [example.ids[:-1] for example in examples]
        return RetrievalBatch(
            ids=_padded(ids, 0, on_left=True),
            mask=_padded([np.ones(len(part), dtype=np.int64) for part in ids], 0, on_left=True).bool(),
            # Nothing precedes the first token to predict it from; after padding it would look as if something did.
            labels=_padded([np.r_[IGNORED, example.labels[1:]] for example in examples], IGNORED, on_left=True),
            features=self.features(rows),
            groups=self.groups(rows),
        )

    def negatives(self, rows: npt.NDArray[np.int64]) -> Negatives:
        """The pictures of rows as additional negatives."""
        return Negatives(self.features(rows), self.groups(rows))

    def features(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Tensor:
        """Pooled features of rows, (n, F) float32."""
        return _rows(self._features, rows)

    def groups(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Tensor:
        """Groups of rows, (n,) int64."""
        return torch.from_numpy(self._groups[np.asarray(rows, dtype=np.int64)].astype(np.int64))


def _rows(array: npt.NDArray[np.floating], rows: Sequence[int] | npt.NDArray[np.int64]) -> Tensor:
    picked = np.asarray(array[np.asarray(rows, dtype=np.int64)], dtype=np.float32)
    return torch.from_numpy(np.ascontiguousarray(picked))


def _padded(arrays: Sequence[npt.NDArray[np.int64]], fill: int, on_left: bool = False) -> Tensor:
    longest = max(map(len, arrays))
    result = np.full((len(arrays), longest), fill, dtype=np.int64)
    for line, array in zip(result, arrays, strict=True):
        line[slice(longest - len(array), None) if on_left else slice(len(array))] = array
    return torch.from_numpy(result)


class StepSource(Protocol):
    """Makes the batches of a run, each a function of its step."""

    def step(self, step: int) -> StepBatch:
        """This process's share of a training step."""
        ...


class _Captions:
    """Captions as both of their sequences. A few are encoded at once; millions when they are asked for, or they would
    take minutes and gigabytes before the first step."""

    def __init__(self, pairs: Sequence[tuple[str, int]], encoder: SequenceEncoder, recipe: Recipe) -> None:
        self._pairs, self._encoder, self._recipe = pairs, encoder, recipe
        self._encoded = [self._encode(i) for i in range(len(pairs))] if len(pairs) <= MOST_ENCODED else None

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, number: int) -> tuple[Encoded, Encoded]:
        """The captioning and the retrieval sequence of a caption."""
        return self._encode(number) if self._encoded is None else self._encoded[number]

    def lengths(self) -> list[int]:
        """How long the captions are, to sort them by: in tokens, or in letters where they are not encoded yet."""
        if self._encoded is None:
            return [len(caption) for caption, _ in self._pairs]
        return [len(captioning) for captioning, _ in self._encoded]

    def _encode(self, number: int) -> tuple[Encoded, Encoded]:
        caption, row = self._pairs[number]
        captioning = captioning_sequence(self._encoder, self._recipe, caption, row)
        return captioning, retrieval_sequence(self._encoder, self._recipe, caption, row)


def captioning_sequence(encoder: SequenceEncoder, recipe: Recipe, caption: str, row: int) -> Encoded:
    """A picture and its caption, as the recipe has them read and learnt."""
    return encoder.captioned_image(
        caption,
        row,
        separator=recipe.caption_separator,
        input_prefix=recipe.input_prefix,
        max_tokens=recipe.max_tokens,
        begin_first=recipe.begin_first,
        learn_end=recipe.learn_end,
    )


def retrieval_sequence(encoder: SequenceEncoder, recipe: Recipe, caption: str, row: int) -> Encoded:
    """A caption and the `[RET]` after it, likewise."""
    return encoder.retrieval_caption(caption, row, input_prefix=recipe.input_prefix, max_tokens=recipe.max_tokens)


class Batches:
    """The training data as batches: a pure function of recipe, seed, step, and the process's rank.

    Args:
        data: captions, dialogues and features.
        encoder: for the language model of the run.
        recipe: batch sizes and lengths.
        seed: of the order, the joining and the negatives.
        rank: of this process.
        world: number of processes; each computes its share of every batch.
    """

    def __init__(
        self,
        data: TrainingData,
        encoder: SequenceEncoder,
        recipe: Recipe,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._recipe, self._seed, self._rank, self._world = recipe, seed, rank, world
        self._collate, self._rows = Collator(data), len(data.features)
        weights = recipe.weights
        is_used = weights.captioning or weights.retrieval or weights.contrastive
        self._captions = _Captions(data.captions if is_used else (), encoder, recipe)
        self._dialogues: list[Encoded] = []
        if recipe.dialogue_batch_size and (weights.dialogue or weights.dialogue_contrastive):
            self._dialogues = [encoder.example(example, recipe.max_tokens) for example in data.dialogues]
        lengths = self._captions.lengths()
        self._caption_order = LengthBatches(lengths, recipe.batch_size, seed) if lengths else None
        lengths = [len(dialogue) for dialogue in self._dialogues]
        self._dialogue_order = LengthBatches(lengths, recipe.dialogue_batch_size, seed + 1) if lengths else None

    def step(self, step: int) -> StepBatch:
        """This process's share of a training step."""
        rng = np.random.default_rng((self._seed, step, 1))
        joined = rng.random() < self._recipe.concat_probability
        extra = self._recipe.extra_negatives
        negatives = self._collate.negatives(rng.integers(self._rows, size=extra)) if extra else None
        captions = self._share(self._caption_order, step)
        dialogues = self._share(self._dialogue_order, step)
        return self._batch(captions, dialogues, joined, negatives)

    def in_order(self, limit: int) -> Iterator[StepBatch]:
        """The first `limit` captions and dialogues for validation: nothing joined, no additional negatives."""
        sizes = self._recipe.batch_size, max(self._recipe.dialogue_batch_size, 1)
        captions = np.arange(min(limit, len(self._captions)))
        dialogues = np.arange(min(limit, len(self._dialogues)))
        count = max(-(-len(captions) // sizes[0]), -(-len(dialogues) // sizes[1]))
        for number in range(count):
            caption_part, dialogue_part = (
                list(part[number * size : (number + 1) * size])
                for part, size in zip((captions, dialogues), sizes, strict=True)
            )
            yield self._batch(caption_part, dialogue_part, joined=False, negatives=None)

    def _share(self, order: LengthBatches | None, step: int) -> list[int]:
        return [] if order is None else list(shard(order.batch(step), self._rank, self._world))

    def _batch(
        self, captions: Sequence[int], dialogues: Sequence[int], joined: bool, negatives: Negatives | None
    ) -> StepBatch:
        weights = self._recipe.weights
        both = [self._captions[i] for i in captions]
        captioning = [sequence for sequence, _ in both] if weights.captioning else []
        retrieval = [sequence for _, sequence in both] if weights.retrieval or weights.contrastive else []
        if joined:
            captioning = join_pairs(captioning)
        spoken = [self._dialogues[i] for i in dialogues]
        return StepBatch(
            captioning=self._collate.sequences(captioning) if captioning else None,
            retrieval=self._collate.retrieval(retrieval) if retrieval else None,
            dialogues=self._collate.sequences(spoken) if spoken else None,
            negatives=negatives,
        )


def join_pairs(examples: Sequence[Encoded]) -> list[Encoded]:
    """Joins pairs of neighbours (picture, caption, picture, caption); an odd one at the end stays alone."""
    pairs = [first + second for first, second in zip(examples[::2], examples[1::2], strict=False)]
    return pairs + list(examples[len(pairs) * 2 :])
