"""What the machine is, what it can do at best, and how to time a task."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def device_name(device: torch.device) -> str:
    """The device's model name, with its cores or memory."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
    return (
        f"{_cpu_name()}, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"
    )


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def synchronize(device: torch.device) -> None:
    """Waits until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(task: Callable[[], Any], device: torch.device, repeats: int = 5, warm_up: int = 1) -> float:
    """Median time of a task in seconds."""
    times = []
    for attempt in range(warm_up + repeats):
        synchronize(device)
        started = time.perf_counter()
        task()
        synchronize(device)
        if attempt >= warm_up:
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def paired_seconds(
    first: Callable[[], Any], second: Callable[[], Any], device: torch.device, repeats: int = 5
) -> list[tuple[float, float]]:
    """Times of two tasks in turns, in seconds, so that other load on the machine slows both. The first pair, a warm-up,
    is dropped."""
    return [(seconds(first, device, 1, 0), seconds(second, device, 1, 0)) for _ in range(1 + repeats)][1:]


@torch.inference_mode()
def memory_bandwidth(device: torch.device, dtype: torch.dtype) -> float:
    """Bytes per second at which a matrix-vector product reads a matrix far larger than any cache.

    It bounds decoding at batch size 1, where each token reads all weights once.
    """
    rows = (2**32 if device.type == "cuda" else 2**29) // (4096 * dtype.itemsize)
    matrix = torch.ones(rows, 4096, device=device, dtype=dtype)
    vector = torch.ones(4096, device=device, dtype=dtype)
    best = min(seconds(lambda: torch.mv(matrix, vector), device, repeats=1) for _ in range(10))
    return matrix.numel() * dtype.itemsize / best


@torch.inference_mode()
def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a large matrix product: what bounds training."""
    size = 8192 if device.type == "cuda" else 2048
    matrix = torch.randn(size, size, device=device).to(dtype)
    return 2 * size**3 / min(seconds(lambda: matrix @ matrix, device, repeats=1) for _ in range(5))


def peak_memory(device: torch.device) -> int:
    """Peak memory so far, in bytes: of tensors on a GPU, of the process on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
