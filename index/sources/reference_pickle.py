"""The original FROMAGe's image embeddings, `cc3m_embeddings*.pkl`, read without trusting the file.

Such a file pickles `{"paths": [...], "embeddings": ...}`; the embeddings are a list of PyTorch tensors or of numpy
arrays, one per picture, or one array of them all. Unpickling runs whatever functions a file names, so this reader works
the other way round: it knows the few opcodes that make strings, numbers, lists, dicts and bytes, and the few names in
`index.sources.pickled_arrays`, which stand for functions of its own. Anything else is refused. torch is not needed.

It builds on the standard library's unpickler in Python, whose opcodes can be taken away (and whose memo, unlike that of
the one in C, can't be made to allocate gigabytes by a number). Vectors are moved into blocks as they come, so memory
stays close to the size of the embeddings.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from index.errors import StoreError, reason
from index.progress import Progress
from index.sources.pickled_arrays import NAMES, Rebuilt, Refused, StandIn, Storage, StorageType, Vectors, as_float32

_OPCODES = (
    "PROTO STOP FRAME MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
    "BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 "
    "EMPTY_DICT SETITEM SETITEMS BINGET LONG_BINGET BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD "
    "BINPERSID"
)
_MAX_FRAME = 1 << 21  # honest frames have 64 KB
_MAX_STACK = 1 << 16  # honest lists come in batches of 1,000
_MAX_GAP = 1 << 16  # honest memos are numbered 0, 1, 2, …
_KEPT_BYTES = 64  # longer ones are an array's numbers, which nothing refers to twice
_REPORT_EVERY = 1 << 20
_GONE = object()

_TORCH_MAGIC, _TORCH_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class ReferenceEmbeddings:
    """What such a file holds.

    Attributes:
        paths: where each picture is, a URL in most files.
        dim: R, the width of the embeddings.
    """

    def __init__(self, paths: list[str], blocks: list[Vectors]) -> None:
        self.paths, self._blocks = paths, blocks
        self.dim = int(blocks[0].shape[1]) if blocks else 0

    def __len__(self) -> int:
        return len(self.paths)

    def blocks(self, size: int = 8192) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
        """Paths and embeddings (n, R) float32, as they are in the file (of any norm), at most `size` at a time."""
        start = 0
        for block in self._blocks:
            for first in range(0, len(block), size):
                vectors = as_float32(block[first : first + size])
                yield self.paths[start : start + len(vectors)], vectors
                start += len(vectors)


def read_reference(path: str | Path, progress: Progress | None = None) -> ReferenceEmbeddings:
    """Read a file of embeddings; nothing it names is run.

    Args:
        path: a `cc3m_embeddings*.pkl`.
        progress: called with the bytes read.

    Raises:
        StoreError: there is no such file, or it is damaged, of another form, or names anything but arrays.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = _Reader(_Source(file, size := path.stat().st_size, progress)).load()
        if progress:
            progress(size, size)
        return _embeddings(data)
    except OSError as error:
        raise StoreError(f"{path} can't be read: {reason(error)}.") from error
    except Refused as error:
        raise StoreError(
            f"{path} is not a file of image embeddings that can be read: {error}.",
            "It must be a pickle of paths and embeddings, as the original FROMAGe writes it.",
        ) from error
    except MemoryError as error:
        raise StoreError(f"There is not enough memory to read {path}.") from error
    except Exception as error:  # damaged bytes fail anywhere in the unpickler
        raise StoreError(f"{path} is damaged, or not a pickle.", "Copy or download it again.") from error


def _embeddings(data: Any) -> ReferenceEmbeddings:
    if not isinstance(data, dict) or not {"paths", "embeddings"} <= set(data):
        raise Refused("it has no paths and embeddings")
    paths, found = data["paths"], data["embeddings"]
    blocks = [found] if isinstance(found, np.ndarray) else found
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise Refused("its paths are not a list of strings")
    if not isinstance(blocks, list) or not all(isinstance(b, np.ndarray) and b.ndim == 2 for b in blocks):
        raise Refused("its embeddings are neither a list of vectors nor an array of rows")
    if len({block.shape[1] for block in blocks}) > 1:
        raise Refused("its embeddings are of different widths")
    if (count := sum(map(len, blocks))) != len(paths):
        raise Refused(f"it has {len(paths)} paths and {count} embeddings")
    return ReferenceEmbeddings(paths, blocks)


class _Source:
    """A file that is never asked for more than it has."""

    def __init__(self, file: BinaryIO, size: int, progress: Progress | None = None) -> None:
        self.file, self.size, self.progress = file, size, progress
        self.done = self._calls = self._reported = 0
        self.check: Callable[[], None] | None = None  # called every 65,536 reads

    def read(self, count: int) -> bytes:
        if count > self.size - self.done:
            raise Refused("it ends too early")
        self.done += count
        self._calls += 1
        if self.check and not self._calls % 0x10000:
            self.check()
        if self.progress and self.done - self._reported >= _REPORT_EVERY:
            self._reported = self.done
            self.progress(self.done, self.size)
        return self.file.read(count)

    def readline(self) -> bytes:
        line = self.file.readline(1000)
        self.done += len(line)
        return line


class _Memo:
    """What a pickle may refer to again. Arrays and their numbers are not kept: they would fill the memory long after
    they were moved into a block."""

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._shapes: dict[Any, Any] = {}

    def __len__(self) -> int:
        return len(self._values)

    def __setitem__(self, number: int, value: Any) -> None:
        if number > len(self._values) + _MAX_GAP:
            raise Refused("its parts are not numbered in order")
        self._values.extend([_GONE] * (number + 1 - len(self._values)))
        self._values[number] = self._kept(value)

    def __getitem__(self, number: int) -> Any:
        if number >= len(self._values) or self._values[number] is _GONE:
            raise Refused("it uses one vector twice")
        return self._values[number]

    def _kept(self, value: Any) -> Any:
        if isinstance(value, tuple):
            is_shape = all(type(part) is int for part in value)
            return self._shapes.setdefault(value, value) if is_shape else _GONE
        is_large = isinstance(value, bytes) and len(value) > _KEPT_BYTES
        return _GONE if is_large or isinstance(value, np.ndarray | Storage) else value


class _Reader(pickle._Unpickler):
    """An unpickler without anything that could do harm."""

    dispatch = {code: pickle._Unpickler.dispatch[code] for code in (getattr(pickle, n)[0] for n in _OPCODES.split())}

    def __init__(self, source: _Source) -> None:
        super().__init__(source)  # type: ignore[arg-type]  # never asked for more than it has
        self.memo: Any = _Memo()
        self.stack: list[Any]
        self.metastack: list[Any]
        self._preamble = b""  # how the last storage began
        source.check = self._check_stack

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return StandIn(name, self._storage)
        try:
            return NAMES[module, name]
        except KeyError:
            raise Refused(f"it names {module[:80]}.{name[:80]}, which is not run") from None

    def persistent_load(self, pid: Any) -> Any:
        """The description of a tensor's storage, unchanged."""
        return pid

    def load_reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack[-1]
        if not isinstance(function, StandIn) or not isinstance(arguments, tuple):
            raise Refused("it calls something that can't be called")
        self.stack[-1] = function.make(*arguments)

    def load_build(self) -> None:
        state, thing = self.stack.pop(), self.stack[-1]
        if not isinstance(thing, Rebuilt):
            raise Refused("it changes something that can't be changed")
        self.stack[-1] = thing.build(state)

    def load_append(self) -> None:
        self._extend([self.stack.pop()])

    def load_appends(self) -> None:
        self._extend(self.pop_mark())  # type: ignore[attr-defined]

    def load_bytearray8(self) -> None:
        self.stack.append(self.read(struct.unpack("<Q", self.read(8))[0]))  # type: ignore[attr-defined]

    def load_frame(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        if size > _MAX_FRAME:
            raise Refused("a frame is too large")
        self._check_stack()
        self._unframer.load_frame(size)  # type: ignore[attr-defined]

    for _code, _load in (
        (pickle.REDUCE, load_reduce),
        (pickle.BUILD, load_build),
        (pickle.APPEND, load_append),
        (pickle.APPENDS, load_appends),
        (pickle.BYTEARRAY8, load_bytearray8),
        (pickle.FRAME, load_frame),
    ):
        dispatch[_code[0]] = _load  # type: ignore[assignment]

    def _extend(self, items: list[Any]) -> None:
        """Add to a list on the stack: strings as they are, vectors as one block (n, R)."""
        target = self.stack[-1]
        if type(target) is not list:
            raise Refused("it adds to something that is not a list")
        if all(isinstance(item, str) for item in items):
            target.extend(items)
            return
        if not all(isinstance(item, np.ndarray) and item.size == item.shape[-1] for item in items):
            raise Refused("a list in it holds something other than strings or vectors")
        if len({(item.dtype, item.size) for item in items}) > 1:
            raise Refused("its embeddings are of different widths or types")
        target.append(np.stack([item.reshape(-1) for item in items]))

    def _check_stack(self) -> None:
        if len(self.stack) > _MAX_STACK or len(self.metastack) > _MAX_STACK:
            raise Refused("it is nested too deeply")

    def _storage(self, data: Any) -> Storage:
        """`torch.storage._load_from_bytes`: PyTorch's old file format, a few small pickles and then the numbers."""
        if not isinstance(data, bytes):
            raise Refused("it holds a damaged tensor")
        source = _Source(io.BytesIO(data), len(data))
        reader = _Reader(source)
        if self._preamble and data.startswith(self._preamble):  # the same for all tensors of a file
            source.done = source.file.seek(len(self._preamble))
        else:
            magic, protocol, system = (reader.load() for _ in range(3))
            if (magic, protocol) != (_TORCH_MAGIC, _TORCH_PROTOCOL) or system.get("little_endian") is not True:
                raise Refused("it holds a tensor of an unknown format")
            self._preamble = data[: source.done]
        _, kind, key, _, count, view = reader.load()
        if not isinstance(kind, StorageType) or type(count) is not int or view is not None or reader.load() != [key]:
            raise Refused("it holds a tensor of an unknown type")
        if struct.unpack("<q", source.read(8))[0] != count or count * kind.numpy.itemsize != len(data) - source.done:
            raise Refused("it holds a tensor of another size")
        return Storage(np.frombuffer(data, kind.numpy, count, source.done))
