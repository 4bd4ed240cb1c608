"""Decoding: the bytes of a picture to a small image and its thumbnail, in this process or in others.

Threads are enough as long as the decoders let go of Python's lock, which Pillow's do. Processes are for machines of
many cores, and for pictures that nobody trusts: one that a decoder dies of costs a process, and not the build.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import NamedTuple, Self

from PIL import Image

from index.errors import ImageError, reason
from index.pictures.facts import Facts, facts_of
from index.pictures.images import bound_short_side, make_thumbnail, open_dated
from index.text import sanitize


class Decoded(NamedTuple):
    """What is made of a picture's file.

    Attributes:
        image: RGB and upright, with a short side as `bound_short_side` leaves it.
        thumbnail: its `make_thumbnail`.
        facts: what the picture itself says.
    """

    image: Image.Image
    thumbnail: bytes
    facts: Facts


Decode = Callable[[str, bytes | None], Decoded]
"""As `decode`."""


def decode(source: str, data: bytes | None = None) -> Decoded:
    """A picture for the encoder, its thumbnail and its facts.

    Args:
        source: its file, or its name where the bytes are given.
        data: the bytes of its file.

    Raises:
        ImageError: it can't be opened.
    """
    image, taken = open_dated(source) if data is None else open_dated(data, source)
    try:
        return Decoded(bound_short_side(image), make_thumbnail(image), facts_of(image, taken))
    except (OSError, ValueError, MemoryError) as error:
        raise ImageError(f"{sanitize(source)} can't be scaled down: {reason(error)}.", cause="too large") from error


class DecoderProcesses:
    """`decode` in processes of their own. A context manager; call it from at most a few threads more than it has
    processes, so that nothing queues up.

    A process that dies takes the pool with it; then there is a new one, and the pictures that were under way are
    decoded again, each alone: so it is known which one it was.

    Args:
        count: processes.
        work: what they do; a function that can be pickled.
    """

    def __init__(self, count: int, work: Decode = decode) -> None:
        self._count, self._work = count, work
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._alone: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for pool in (self._pool, self._alone):
            if pool is not None:
                pool.shutdown(cancel_futures=True)

    def __call__(self, source: str, data: bytes | None = None) -> Decoded:
        """As `decode`.

        Raises:
            ImageError: it can't be opened, or the process that tried died.
        """
        pool = self._current()
        try:
            return pool.submit(self._work, source, data).result()
        except BrokenProcessPool:
            self._drop(pool)
        with self._one_at_a_time:
            self._alone = self._alone or _processes(1)
            try:
                return self._alone.submit(self._work, source, data).result()
            except BrokenProcessPool:
                self._alone.shutdown(wait=False)
                self._alone = None
        raise ImageError(f"{sanitize(source)} made the decoder crash.", cause="crashed the decoder")

    def _current(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = _processes(self._count)
            return self._pool

    def _drop(self, broken: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is broken:
                self._pool = None
                broken.shutdown(wait=False)


def _processes(count: int) -> ProcessPoolExecutor:
    # Not forked: there are threads here, and models that may live on a GPU.
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)


def _begin() -> None:
    """In a new process: Ctrl-C is for the one that started it, whose end is its own end, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
