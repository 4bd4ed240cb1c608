"""Files written atomically: a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import errno
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

_BLOCK = 1 << 20
_NAME_KEPT = 40  # characters of the file's name in that of its temporary file: a long one leaves no room for more


def write_bytes(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file atomically; its folder is made if missing.

    Args:
        path: the file.
        data: its whole content.
        mode: its permissions.

    Raises:
        OSError: it can't be written; the old file, if there was one, is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, mode) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """A temporary file beside `path`, for writers that want a name or write in pieces.

    What was written there takes the place of `path` when the block ends, all at once, and survives a power cut. If the
    block raises, `path` stays as it was.

    Args:
        path: the file; its folder exists.
        mode: its permissions.

    Raises:
        OSError: it can't be written.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:_NAME_KEPT]}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)  # mkstemp's own is 0600
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def crc_of(path: Path) -> int:
    """The CRC-32 of a file.

    Raises:
        OSError: it can't be read.
    """
    crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    return crc


def read_at(file: FileIO, start: int, size: int) -> bytes:
    """The bytes at a place in an open file, fewer at its end.

    Raises:
        OSError: they can't be read.
    """
    file.seek(start)
    data = bytearray()
    while len(data) < size and (block := file.read(size - len(data))):  # a read may give only a part
        data += block
    return bytes(data)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut, where platform and file system can.

    Raises:
        OSError: the disk failed.
    """
    if os.name != "posix":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that one may write to and not list
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems sync no folder
            raise
    finally:
        os.close(descriptor)
