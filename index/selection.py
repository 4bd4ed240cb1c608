"""Which ids a search may find, as FAISS takes it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


def selecting(exclude: Collection[int], among: Ids | None, end: int) -> Any:
    """A FAISS selector of the ids below `end` in `among` (None: of all ids) that aren't in `exclude`; None if it would
    let all through."""
    unwanted = np.fromiter(exclude, dtype=np.int64, count=len(exclude))
    if among is None and not len(unwanted):
        return None
    # A bit for each id: a look at it is cheaper than one into a hash table.
    allowed = np.full(end, among is None, dtype=np.bool_)
    if among is not None:
        wanted = np.asarray(among, dtype=np.int64)
        allowed[wanted[(wanted >= 0) & (wanted < end)]] = True
    allowed[unwanted[(unwanted >= 0) & (unwanted < end)]] = False
    make: Any = faiss.IDSelectorBitmap  # FAISS takes arrays at run time, where no type checker sees it.
    return make(np.packbits(allowed, bitorder="little"))
