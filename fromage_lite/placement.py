"""Where and how precisely the frozen models run: device, precision, quantisation."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch

from fromage_lite.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn


Quantize = Literal["int8", "int4"]


_PRECISIONS = {"float32": torch.float32, "fp32": torch.float32, "bfloat16": torch.bfloat16, "bf16": torch.bfloat16,
               "float16": torch.float16, "fp16": torch.float16}  # fmt: skip


@dataclass(frozen=True)
class Placement:
    """Where the frozen models go.

    Attributes:
        device: of the image encoder, the bridge and the LM's embeddings.
        dtype: of everything that is not quantised.
        quantize: what the LM's linear layers are rounded to; None leaves them.
        max_memory: bytes that the LM may take on each GPU (by its number) when it is spread over several; None puts it
            on `device` alone.
    """

    device: torch.device
    dtype: torch.dtype
    quantize: Quantize | None = None
    max_memory: Mapping[int, int] | None = None


def choose_placement(
    device: str | torch.device = "auto", dtype: torch.dtype | str | None = None, quantize: str | None = None
) -> Placement:
    """Options as a user gives them -> a placement on one device.

    Raises:
        ConfigError: a value is unknown, the device is not there, or the library that rounds is not installed.
    """
    place, precision, rounded = choose_device(device), parse_dtype(dtype), parse_quantize(quantize)
    if rounded is not None:
        _check_installed(rounded)
    return Placement(place, precision or default_dtype(place), rounded)


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """`auto` -> cuda, else mps, else cpu; anything else as torch names it.

    Raises:
        ConfigError: if the device is unknown or not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"The device {name!r} can't be used here.", "Choose auto or cpu.") from error
    return device


def default_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU that computes it (float16 on an older one), float32 elsewhere."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def parse_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """The precision of that name; None for `auto`.

    Raises:
        ConfigError: there is no such precision.
    """
    if not isinstance(dtype, str):
        return dtype
    if dtype != "auto" and dtype not in _PRECISIONS:
        raise ConfigError(
            f"There is no precision {dtype!r}.", "Choose auto, float32 (fp32), bfloat16 (bf16) or float16 (fp16)."
        )
    return _PRECISIONS.get(dtype)


def parse_quantize(name: str | None) -> Quantize | None:
    """`int8`, `int4`, or None for `none`.

    Raises:
        ConfigError: anything else.
    """
    if name in (None, "", "none"):
        return None
    for known in get_args(Quantize):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise ConfigError(f"There is no quantisation {name!r}.", "Choose int8, int4 or none.")


def _check_installed(quantize: Quantize) -> None:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"--quantize {quantize} needs bitsandbytes, which is not installed.",
            "Install it with: pip install bitsandbytes",
        )


@contextlib.contextmanager
def _empty() -> Iterator[None]:
    """Models made here have shapes and no weights. The libraries' advice on missing weights is not for anybody."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with torch.device("meta"):
            yield
    finally:
        logging.disable(before)


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
