"""Where and how precisely the frozen models run: device, precision, quantisation."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from fromage_lite.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

Quantize = Literal["int8", "int4"]

_QUANTIZE: dict[str, Quantize | None] = {"none": None, "int8": "int8", "int4": "int4"}
_PRECISIONS = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}


@dataclass(frozen=True)
class Placement:
    """Where the frozen models go.

    Attributes:
        device: of the image encoder, the bridge and the LM's embeddings.
        dtype: of everything that is not quantised.
        quantize: precision to round the LM's linear layers to; None leaves them as they are.
        max_memory: bytes that the LM may take on each GPU (by number) when it is spread over several; None puts it on
            `device` alone.
    """

    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    quantize: Quantize | None = None
    max_memory: Mapping[int, int] | None = None

    @property
    def precision(self) -> str:
        """The LM's precision in one word: `int8`, `bfloat16`, …"""
        return self.quantize or str(self.dtype).removeprefix("torch.")

    @property
    def rounds_alone(self) -> bool:
        """Whether the LM is quantised without bitsandbytes: int8 on a CPU, which torch computes by itself."""
        return self.quantize == "int8" and self.device.type == "cpu"


CPU = Placement()


def choose_placement(
    device: str | torch.device = "auto", dtype: str | torch.dtype = "auto", quantize: str = "none"
) -> Placement:
    """A placement on one device, from a user's options.

    Args:
        device: `auto`, or a device as torch names it.
        dtype: `auto`, or the name of a precision.
        quantize: `none`, `int8` or `int4`.

    Raises:
        ConfigError: a value is unknown, the device does not exist, or bitsandbytes is needed and not installed.
    """
    where = choose_device(device)
    place = Placement(where, choose_dtype(dtype, where), choose_quantize(quantize))
    if place.quantize is not None and not place.rounds_alone and importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            f"--quantize {quantize} needs bitsandbytes, which is not installed.",
            "Install it with: pip install bitsandbytes",
        )
    return place


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """`auto` -> cuda, else mps, else cpu; anything else as torch names it.

    Raises:
        ConfigError: the device is unknown or does not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"The device {name!r} can't be used here.", "Choose auto or cpu.") from error
    return device


def choose_dtype(name: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The precision of a name. `auto` -> bfloat16 on a GPU that computes in it (float16 on an older one), else float32.

    Raises:
        ConfigError: there is no such precision.
    """
    if isinstance(name, torch.dtype):
        return name
    if name in _PRECISIONS:
        return _PRECISIONS[name]
    if name != "auto":
        raise ConfigError(
            f"There is no precision {name!r}.", "Choose auto, float32 (fp32), bfloat16 (bf16) or float16 (fp16)."
        )
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def choose_quantize(name: str) -> Quantize | None:
    """The precision to round the LM's linear layers to; None for `none`.

    Raises:
        ConfigError: there is no such precision.
    """
    if name not in _QUANTIZE:
        raise ConfigError(f"There is no quantisation {name!r}.", "Choose int8, int4 or none.")
    return _QUANTIZE[name]


@contextlib.contextmanager
def without_weights() -> Iterator[None]:
    """Models made here have shapes but no weights, and the libraries' warnings about missing weights are off."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with torch.device("meta"):
            yield
    finally:
        logging.disable(before)


def count_parameters(model: nn.Module) -> int:
    """How many numbers a model's parameters have; shared ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())
