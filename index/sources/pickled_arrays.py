"""The names that a pickle of arrays may contain, and what each means here: functions that make arrays of bytes.

A pickle never gets hold of a function of numpy or torch. Each of the few names that an array needs (`numpy.dtype`,
`torch._utils._rebuild_tensor_v2`, …) stands for one of the small functions below. They check every argument and make
views of bytes that are there: what a file merely claims allocates nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[Any]

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""numpy has no bfloat16: the 16 bits of each number, under a name of their own."""

_NUMPY_TYPES = ("f2", "f4", "f8")
_ORDERS = ("<", ">", "=", "|")
_TORCH_TYPES: Mapping[str, np.dtype[Any]] = {
    "HalfStorage": np.dtype("<f2"),
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "BFloat16Storage": BFLOAT16,
}


class Refused(Exception):
    """The pickle holds something that is not allowed; the text says what."""


@dataclass(frozen=True)
class StandIn:
    """What stands in for a function that a pickle names: the only thing it can call."""

    name: str
    make: Callable[..., Any]


class Rebuilt:
    """Something that a pickle makes in two steps, the second of which is `build`."""

    def build(self, state: Any) -> Any:
        """Take the second step; returns what the pickle gets in place of this."""
        raise NotImplementedError


class _Type(Rebuilt):
    """`numpy.dtype(code, align, copy)` and its state."""

    def __init__(self, code: Any, *_: Any) -> None:
        _check(code in _NUMPY_TYPES, f"arrays of the type {code!r:.40}")
        self.code, self.order = code, "<"

    def build(self, state: Any) -> _Type:
        _check(isinstance(state, tuple) and len(state) >= 5 and state[1] in _ORDERS, "a damaged array type")
        _check(all(part is None for part in state[2:5]), "arrays of structures")
        self.order = state[1]
        return self

    @property
    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.order + self.code)


class _Array(Rebuilt):
    """`_reconstruct(ndarray, (0,), b"b")` and the state that fills it."""

    def build(self, state: Any) -> Vectors:
        _check(isinstance(state, tuple) and len(state) == 5, "a damaged array")
        _, shape, kind, is_fortran, data = state
        return _numpy_array(data, kind, shape, "F" if is_fortran else "C")


@dataclass(frozen=True)
class Storage:
    """The numbers of a tensor, (n,)."""

    values: Vectors


@dataclass(frozen=True)
class StorageType:
    """A PyTorch storage class, reduced to the type of its numbers."""

    numpy: np.dtype[Any]


def _numpy_array(data: Any, kind: Any, shape: Any, order: Any = "C") -> Vectors:
    """(n, D) or (D,) over the bytes of the pickle."""
    _check(isinstance(data, bytes | bytearray) and isinstance(kind, _Type) and order in ("C", "F"), "a damaged array")
    _check(_is_shape(shape) and math.prod(shape) * kind.numpy.itemsize == len(data), "an array of another size")
    return np.frombuffer(data, dtype=kind.numpy).reshape(shape, order=order)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Vectors:
    """`torch._utils._rebuild_tensor_v2`: a view of the storage that never repeats a number."""
    sound = isinstance(storage, Storage) and isinstance(offset, int) and _is_shape(size) and _is_shape(stride)
    _check(sound and offset >= 0 and len(size) == len(stride), "a damaged tensor")
    values = storage.values
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    _check(0 < math.prod(size) <= len(values) and last < len(values), "a tensor larger than its numbers")
    steps = [step * values.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(values[offset:], size, steps, writeable=False)


def _encode(text: Any, encoding: Any) -> bytes:
    """`_codecs.encode`, by which old pickles write bytes."""
    _check(isinstance(text, str) and encoding == "latin1", "a codec")
    return text.encode("latin1")


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple) and all(type(length) is int and 0 <= length < 2**48 for length in shape)


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise Refused(f"it holds {what}")


def as_float32(vectors: Vectors) -> npt.NDArray[np.float32]:
    """Vectors of any type allowed here, bfloat16 included, as float32."""
    if vectors.dtype == BFLOAT16:
        return (vectors["bfloat16"].astype(np.uint32) << 16).view(np.float32)
    return vectors.astype(np.float32)


def _names() -> dict[tuple[str, str], Any]:
    functions: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "dtype"): _Type,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("collections", "OrderedDict"): lambda: (),  # a tensor's hooks, of which there are none
        ("_codecs", "encode"): _encode,
    }
    for package in ("numpy.core", "numpy._core"):
        functions[f"{package}.multiarray", "_reconstruct"] = lambda *_: _Array()
        functions[f"{package}.numeric", "_frombuffer"] = _numpy_array
    names: dict[tuple[str, str], Any] = {name: StandIn(".".join(name), make) for name, make in functions.items()}
    names["numpy", "ndarray"] = "ndarray"  # only ever passed to `_reconstruct`, which ignores it
    names |= {("torch", name): StorageType(kind) for name, kind in _TORCH_TYPES.items()}
    return names


NAMES = _names()
"""(module, name) -> what it means here."""
