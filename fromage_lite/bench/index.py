"""Search beside the reference's scan: a matrix product with all embeddings, and the ten highest of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import faiss
import torch

from fromage_lite.bench.hardware import seconds
from index.search.measure import (
    QUERIES,
    STRUCTURES,
    TOP,
    IndexFigures,
    Vectors,
    as_compact,
    build,
    measure,
    nearest,
)
from index.search.policy import choose_plan, is_exact

ROWS = (10_000, 100_000, 1_000_000, 3_300_000)
LABELS = {10_000: "10k", 100_000: "100k", 1_000_000: "1m", 3_300_000: "3m"}
SINGLE = 21  # queries whose time is the scan's median

Figures = dict[str, float | int | str]
Say = Callable[[str], None]
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class ScanFigures:
    """Milliseconds of the scan in one precision: of one query, the median, and of `QUERIES` at once."""

    query_ms: float
    batch_ms: float


def label(rows: int) -> str:
    """How a number of rows is named in the figures' keys."""
    return LABELS.get(rows, str(rows))


def measure_index(rows: Sequence[int], dim: int, structures: Sequence[str], recall: float, say: Say) -> Figures:
    """Measure exact search, the index that the program would choose, and a compact one, beside the scans.

    Args:
        rows: numbers of vectors.
        dim: their width.
        structures: of `STRUCTURES`.
        recall: wished recall@10.
        say: gets a sentence about each step.

    Returns:
        Flat figures. Keys end with the number of rows, `_3m`; those of unstructured vectors begin with
        `unstructured_`.
    """
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    figures: Figures = {"dim": dim, "threads": threads, "wished_recall": recall}
    for structure in structures:
        prefix = "" if structure == "clustered" else f"{structure}_"
        for count in rows:
            say(f"{count:,} {structure} vectors")
            measured = _measure(structure, count, dim, recall, threads, say)
            figures |= {f"{prefix}{key}_{label(count)}": value for key, value in measured.items()}
    return figures


def _measure(structure: str, count: int, dim: int, recall: float, threads: int, say: Say) -> Figures:
    generate = STRUCTURES[structure]
    vectors, queries = generate(count, dim, 1), generate(QUERIES, dim, 2)
    exact = nearest(vectors, queries)
    figures: Figures = {}
    scans: list[float] = []
    for name, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        scan = _scan(vectors, queries, dtype)
        scans.append(scan.query_ms)
        figures |= {f"scan_{name}_ms": scan.query_ms, f"scan_{name}_100_ms": scan.batch_ms}
        say(f"  scan in {name}: {scan.query_ms:.3g} ms, {QUERIES} queries {scan.batch_ms:.3g} ms")
    plan = choose_plan(count, dim, recall=recall)
    with tempfile.TemporaryDirectory() as folder:
        manifest, seconds_taken = build(choose_plan(count, dim, recall=1.0), vectors, Path(folder))
        ours = flat = measure(Path(folder), manifest, seconds_taken, queries, exact, threads)
        _tell(say, "exact", flat)
    if not is_exact(plan.kind):
        with tempfile.TemporaryDirectory() as folder:
            manifest, seconds_taken = build(plan, vectors, Path(folder))
            ours = measure(Path(folder), manifest, seconds_taken, queries, exact, threads)
            _tell(say, "index", ours)
            compact = measure(Path(folder), as_compact(manifest), seconds_taken, queries, exact, threads)
            _tell(say, "compact", compact)
        figures |= _named("compact", compact)
        figures["compact_memory_ratio"] = compact.memory_bytes / max(flat.memory_bytes, 1)
    figures |= _named("exact", flat) | _named("index", ours)
    figures |= {
        "speedup_vs_scan": min(scans) / ours.query_ms,
        "exact_vs_scan": min(scans) / flat.query_ms,
        "recall_at_1": ours.recall_at_1,
        "recall_at_10": ours.recall_at_10,
        "open_ms": ours.open_ms,
    }
    return figures


def _scan(vectors: Vectors, queries: Vectors, dtype: torch.dtype) -> ScanFigures:
    matrix, asked = torch.from_numpy(vectors).to(dtype), torch.from_numpy(queries).to(dtype)
    turn = iter(range(10**9))

    def one() -> None:
        (matrix @ asked[next(turn) % len(asked)]).topk(min(TOP, len(matrix)))

    def all_at_once() -> None:
        for start in range(0, len(asked), 25):  # 25 x 3.3 million scores are 0.3 GB
            (asked[start : start + 25] @ matrix.T).topk(min(TOP, len(matrix)), dim=1)

    with torch.inference_mode():
        return ScanFigures(1e3 * seconds(one, _CPU, SINGLE, 2), 1e3 * seconds(all_at_once, _CPU, 1, 0))


def _named(name: str, figures: IndexFigures) -> Figures:
    renamed = {"query_ms": "ms", "batch_ms": "100_ms"}
    return {f"{name}_{renamed.get(key, key)}": value for key, value in asdict(figures).items()}


def _tell(say: Say, name: str, figures: IndexFigures) -> None:
    say(
        f"  {name} ({figures.kind}): {figures.query_ms:.3g} ms, {QUERIES} queries {figures.batch_ms:.3g} ms, "
        f"recall@10 {figures.recall_at_10:.4f}, {figures.memory_bytes / 1e6:.0f} MB in memory, "
        f"opened in {figures.open_ms:.3g} ms, built in {figures.build_s:.0f} s"
    )
    say(f"    {figures.reason}")
