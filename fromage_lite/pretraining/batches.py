"""Batches of pretraining text: documents of like length together, their content fixed by the step number."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sized
from typing import Protocol, TypeVar


class Encoded(Protocol):
    """A document as token ids."""

    @property
    def ids(self) -> Sized: ...


D = TypeVar("D", bound=Encoded)

_POOL_STEPS = 16  # documents are sorted by length within pools of this many steps


def batches(draw: Callable[[random.Random, int], D], seed: int, step: int, tokens: int) -> Iterator[list[D]]:
    """Batches of about `tokens` positions from step `step` on.

    Step numbers fix the content: a resumed run sees what an uninterrupted one would have seen.

    Args:
        draw: makes a document for a step from a source of randomness.
        seed: of all randomness.
        step: the first step.
        tokens: positions of a batch, padding included.
    """
    while True:
        pool, skip = divmod(step, _POOL_STEPS)
        rng = random.Random(f"{seed}:{pool}")
        drawn: list[D] = []
        total = 0
        while total < 1.08 * _POOL_STEPS * tokens:  # padding and the leftover take some
            document = draw(rng, step)
            drawn.append(document)
            total += len(document.ids)
        drawn.sort(key=lambda d: len(d.ids))
        cuts: list[list[D]] = []
        batch: list[D] = []
        longest = 0
        for document in drawn:
            longest = max(longest, len(document.ids))
            if batch and longest * (len(batch) + 1) > tokens:
                cuts.append(batch)
                batch, longest = [], len(document.ids)
            batch.append(document)
        rng.shuffle(cuts)  # the leftover batch is dropped
        while len(cuts) < _POOL_STEPS:
            cuts.append(rng.choice(cuts))
        yield from cuts[skip:_POOL_STEPS]
        step = (pool + 1) * _POOL_STEPS
