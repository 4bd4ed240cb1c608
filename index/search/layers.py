"""A FAISS index taken apart: ids, the index that is searched, its inverted lists, its exact vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Layers:
    """Views into a FAISS index; they live as long as `whole`.

    Attributes:
        whole: the index as it was read.
        ids: (n,) ascending, the id of each position; None if positions are ids.
        searched: finds positions; a `Refine` around it is left out.
        lists: the inverted lists in it; None if it has none.
        transforms: what vectors pass through before the lists, in order.
        matrix: (n, dim) fp16 or fp32, exact vectors by position; None if it keeps none.
    """

    whole: Any
    ids: Ids | None
    searched: Any
    lists: Any | None
    transforms: tuple[Any, ...]
    matrix: Matrix | None

    def positions_of(self, ids: Ids) -> Ids:
        """Positions of those of the ids that are in the index, ascending."""
        wanted = np.unique(np.asarray(ids, dtype=np.int64))
        if self.ids is None:
            return wanted[(wanted >= 0) & (wanted < self.end)]
        places = np.searchsorted(self.ids, wanted)
        places[places == len(self.ids)] = 0
        return places[self.ids[places] == wanted] if len(self.ids) else places[:0]

    @property
    def end(self) -> int:
        """One more than the highest position. Inverted lists without a map of ids, as earlier programs made them, have
        the ids themselves as positions, with gaps."""
        if self.ids is not None or self.lists is None:
            return int(self.searched.ntotal)
        lists = self.lists.invlists
        highest = -1
        for number in range(self.lists.nlist):
            if size := lists.list_size(number):
                highest = max(highest, int(faiss.rev_swig_ptr(lists.get_ids(number), size).max()))
        return highest + 1


def take_apart(whole: Any) -> Layers:
    """The layers of an index that `index_factory` can make."""
    index, ids, matrix = faiss.downcast_index(whole), None, None
    transforms: list[Any] = []
    chain: Any
    if isinstance(index, faiss.IndexIDMap):  # IDMap2, too
        ids = _array(index.id_map)
        index = faiss.downcast_index(index.index)
    if isinstance(index, faiss.IndexRefine):
        matrix = _matrix(faiss.downcast_index(index.refine_index))
        index = faiss.downcast_index(index.base_index)
    searched = index
    while isinstance(index, faiss.IndexPreTransform):
        chain = index.chain
        transforms += [faiss.downcast_VectorTransform(chain.at(i)) for i in range(chain.size())]
        index = faiss.downcast_index(index.index)
    lists = index if isinstance(index, faiss.IndexIVF) else None
    if matrix is None and lists is None and not transforms:
        matrix = _matrix(index)
    if ids is not None and len(ids) and ids[-1] == len(ids) - 1:
        ids = None  # ascending, so position and id are one
    return Layers(whole, ids, searched, lists, tuple(transforms), matrix)


def _array(vector: Any) -> Ids:
    """A view of a C++ vector of ids."""
    size = vector.size()
    return faiss.rev_swig_ptr(vector.data(), size) if size else np.empty(0, dtype=np.int64)


def _matrix(index: Any) -> Matrix | None:
    """A view of the vectors that an index keeps as they are, or in half precision."""
    dtype: type[np.floating[Any]]
    if isinstance(index, faiss.IndexFlat):
        dtype = np.float32
    elif isinstance(index, faiss.IndexScalarQuantizer) and index.sq.qtype == faiss.ScalarQuantizer.QT_fp16:
        dtype = np.float16
    else:
        return None
    if not index.ntotal:
        return np.empty((0, index.d), dtype=dtype)
    codes: Any = faiss.rev_swig_ptr(index.codes.data(), index.codes.size())
    return codes.view(dtype).reshape(index.ntotal, index.d)
