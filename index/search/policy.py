"""Which kind of FAISS index so many vectors get, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass

WISHED_RECALL = 0.98
"""recall@10 against exact search, where none is wished for."""
COMPACT_RECALL = 0.95
"""The same, of an index that is to take little memory."""
FP32_COUNT = 20_000
INSTANT_BYTES = 128_000_000
"""Of vectors. At the 24 GB/s that one thread has been seen to read, 5 ms; an estimate, not a measurement."""
LEAST_LISTED = 20_000
"""Fewer vectors are searched exactly whatever the memory: they fill 10 MB, and there is little to train on."""
BITS_DIM = 64
"""Narrower vectors are kept in 8 bits a number: RaBitQ's single bit errs by about 1 / sqrt(dim)."""
FLAT_CENTROIDS = 16_384
"""Up to here the centroids themselves are searched exactly; beyond it by a graph."""
PER_LIST = 32
"""Training vectors for each list."""


@dataclass(frozen=True)
class IndexOptions:
    """What an index is to be like.

    Attributes:
        recall: wished recall@10 against exact search; None leaves it to the program, 1 asks for exact search.
        compact: whether it is to take little memory.
        kind: FAISS factory string, for experts; None leaves the kind to the program.
    """

    recall: float | None = None
    compact: bool = False
    kind: str | None = None

    def words(self) -> list[str]:
        """The options of the command `index` that say the same."""
        words = ["--recall", f"{self.recall:g}"] if self.recall is not None else []
        if self.compact:
            words.append("--compact")
        return words + (["--factory", self.kind] if self.kind is not None else [])


@dataclass(frozen=True)
class Plan:
    """A kind of index.

    Attributes:
        kind: FAISS factory string.
        reason: why it was chosen, a sentence.
        recall: wished recall@10; 1 of an exact kind.
        is_compact: whether it is to take little memory.
        is_certain: whether it was asked for by name, and stays whatever its recall.
    """

    kind: str
    reason: str
    recall: float = 1.0
    is_compact: bool = False
    is_certain: bool = False

    @classmethod
    def given(cls, kind: str, recall: float | None = None, compact: bool = False) -> Plan:
        """The plan of an expert, who names a FAISS factory string."""
        mapped = kind if kind.startswith("IDMap") else f"IDMap,{kind}"
        wished = 1.0 if is_exact(mapped) else recall if recall is not None else WISHED_RECALL
        return cls(mapped, "This kind was asked for by name.", wished, compact, True)


def choose_plan(
    count: int, dim: int, *, recall: float | None = None, compact: bool = False, memory: int | None = None
) -> Plan:
    """The kind of index for `count` vectors of width `dim`.

    Args:
        count: vectors.
        dim: their width.
        recall: wished recall@10 against exact search; 1 asks for an exact kind. By default `WISHED_RECALL`, or
            `COMPACT_RECALL` where it is to be compact.
        compact: keep at most a quarter of the exact fp16 vectors in memory.
        memory: bytes that are free on this machine, if known; an exact index that would take more than a quarter of
            them gives way to a compact one.
    """
    size = 2 * dim * count
    wished = recall if recall is not None else COMPACT_RECALL if compact else WISHED_RECALL
    if wished >= 1.0:
        return exact_plan(count, "every one of the nearest was wished for")
    if count < LEAST_LISTED:
        return exact_plan(count, f"{count:,} vectors are searched in a millisecond or two")
    is_scarce = memory is not None and size > memory // 4
    if size <= INSTANT_BYTES and not compact and not is_scarce:
        return exact_plan(count, f"an exact search reads {_size(size)} and takes milliseconds")
    listed = listed_kind(count, dim)
    if compact or is_scarce:
        why = "little memory was asked for" if compact else f"of memory {_size(memory or 0)} are free"
        return Plan(listed, f"{why[0].upper()}{why[1:]}, and exact vectors would fill {_size(size)}.", wished, True)
    return Plan(listed, f"An exact search would read {_size(size)} for every query.", wished)


def exact_plan(count: int, why: str) -> Plan:
    """Exact search, in fp32 where that is small; `why` is a clause."""
    width = "Flat" if count <= FP32_COUNT else "SQfp16"
    return Plan(f"IDMap,{width}", f"Exact: {why}.")


def listed_kind(count: int, dim: int) -> str:
    """Inverted lists: of a bit a number, with a second look at exact vectors, or for narrow vectors of 8 bits."""
    lists = list_count(count)
    graph = "_HNSW32" if lists > FLAT_CENTROIDS else ""
    if dim < BITS_DIM:
        return f"IDMap,IVF{lists}{graph},SQ8"
    # Bits say most of vectors whose numbers all vary alike, as after a random rotation (RR).
    return f"IDMap,RR{dim},IVF{lists}{graph},RaBitQ,Refine(SQfp16)"


def list_count(count: int) -> int:
    """How many inverted lists `count` vectors get: the power of two nearest to 4 sqrt(count)."""
    return int(2 ** min(max(round(math.log2(4 * math.sqrt(max(count, 1)))), 4), 17))


def is_exact(kind: str) -> bool:
    """Whether an index of the kind compares a query with every vector, as exactly as it keeps them."""
    return kind.split(",")[-1] in ("Flat", "SQfp16", "SQbf16") and kind.removeprefix("IDMap,").count(",") == (
        1 if kind.startswith("IDMap2,") else 0
    )


def training_size(kind: str, count: int) -> int:
    """How many vectors an index of this kind is trained on; 0 if it needs no training."""
    if is_exact(kind):
        return 0
    lists = next((part for part in kind.split(",") if part.startswith("IVF")), "")
    digits = lists.removeprefix("IVF").split("_")[0].split("(")[0]
    return min(count, max(PER_LIST * int(digits or 0), LEAST_LISTED))


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
