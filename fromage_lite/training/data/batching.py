"""Which examples make up which step: batches of similar length, a pure function of the seed and the step.

Nothing is consumed, so a resumed run needs no more than its step number to go on exactly where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fromage_lite.errors import DataError

# Examples are shuffled, cut into pools of this many batches, and sorted by length within a pool only: batches stay
# mixed (in-batch negatives of one length only would be too easy to tell apart), yet hardly need padding.
POOL_BATCHES = 32


class LengthBatches:
    """Endless batches of example numbers.

    Args:
        lengths: tokens of each example.
        batch_size: examples in a batch. A smaller data set gives smaller batches.
        seed: two objects with equal arguments give equal batches.

    Raises:
        DataError: there are no examples.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        if not len(lengths):
            raise DataError("There are no examples to make batches of.")
        self.lengths = np.asarray(lengths)
        self.batch_size = min(batch_size, len(self.lengths))
        self.per_epoch = len(self.lengths) // self.batch_size
        self.seed = seed
        self._epoch = lru_cache(maxsize=2)(self._shuffled)

    def batch(self, step: int) -> npt.NDArray[np.int64]:
        """The example numbers of one step, `(batch_size,)` int64. Steps may be asked for in any order."""
        epoch, place = divmod(step, self.per_epoch)
        result: npt.NDArray[np.int64] = self._epoch(epoch)[place]
        return result

    def _shuffled(self, epoch: int) -> npt.NDArray[np.int64]:
        """All batches of an epoch, `(per_epoch, batch_size)`; what doesn't fill a batch is left for another epoch."""
        rng = np.random.default_rng((self.seed, epoch))
        order = rng.permutation(len(self.lengths))[: self.per_epoch * self.batch_size]
        pool = POOL_BATCHES * self.batch_size
        pools = [order[start : start + pool] for start in range(0, len(order), pool)]
        ordered = np.concatenate([part[np.argsort(self.lengths[part], kind="stable")] for part in pools])
        batches = ordered.reshape(self.per_epoch, self.batch_size)
        # Within a batch the order is by length so far; captions are joined in pairs of neighbours, so mix them again.
        return rng.permuted(batches[rng.permutation(self.per_epoch)], axis=1)


def shard(examples: npt.NDArray[np.int64], rank: int, world: int) -> npt.NDArray[np.int64]:
    """The part of a batch that process `rank` of `world` computes; parts are equal, the remainder is left out.

    Raises:
        DataError: there are more processes than examples.
    """
    size = len(examples) // world
    if size == 0:
        raise DataError(f"A batch of {len(examples)} can't be shared by {world} processes.", "Use a larger batch.")
    return examples[rank * size : (rank + 1) * size]
