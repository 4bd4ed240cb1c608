"""What the commands read and print. Everything that comes from data is made safe for the terminal first."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import typer

from fromage_lite.errors import ImageError, MessageError
from index.hits import Hit
from index.images import one_line, open_image
from index.paths import cache_folder
from tui.input.clipboard import keep_picture

STDIN = "-"
MAX_PICTURE_BYTES = 200_000_000
MAX_STDIN_BYTES = 10_000_000  # far beyond any language model; keeps an endless pipe from filling the memory


def fail(sentence: str) -> None:
    """Why a command can't go on: one line on stderr."""
    typer.echo(f"Error: {one_line(sentence)}", err=True)


def complain(sentence: str) -> None:
    """Something to know that is no error: one line on stderr."""
    typer.echo(f"fromage-lite: {one_line(sentence)}", err=True)


def interrupted(sentence: str) -> None:
    """One line on stderr, of its own: not behind the words or the bar that Ctrl-C came upon."""
    typer.echo(("\n" if sys.stderr.isatty() else "") + one_line(sentence), err=True)


class Progress:
    """Where loading reports, on stderr: one line that is overwritten and vanishes. Where nobody looks, lines,
    and only of what takes long."""

    PATIENCE = 3.0

    def __init__(self) -> None:
        self._overwrites, self._started = sys.stderr.isatty(), time.monotonic()
        self._clear = "\r\x1b[K" if self._overwrites else ""

    def __call__(self, text: str) -> None:
        text = one_line(text)
        if self._overwrites:
            typer.echo(f"{self._clear}{text[: _columns() - 1]}", err=True, nl=False)
        elif time.monotonic() - self._started > self.PATIENCE:
            typer.echo(text, err=True)

    def keep(self, text: str) -> None:
        """A line that stays."""
        typer.echo(f"{self._clear}{one_line(text)}", err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        typer.echo(self._clear, err=True, nl=False)


@contextmanager
def progress_bar(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr for something that is counted.

    Args:
        title: what is being done.
        unit: one of what is counted.

    Yields:
        A function of (how many are done, how many there are).
    """
    from tqdm import tqdm

    with tqdm(desc=title, unit=f" {unit}s", dynamic_ncols=True) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update


def read_messages(messages: Sequence[str], *, has_pictures: bool) -> list[str]:
    """The messages to answer; "-" is replaced by the standard input, as is no message at all.

    Raises:
        MessageError: one of them is empty and comes without a picture, or "-" was given twice.
    """
    if messages.count(STDIN) > 1:
        raise MessageError("The standard input can be read only once.", "Give '-' once.")
    if not messages:
        messages = [""] if sys.stdin.isatty() else [STDIN]
    texts = [_read_stdin() if message == STDIN else message for message in messages]
    # Said before a model loads.
    if not all(text.strip() for text in texts[has_pictures:]):
        raise MessageError("The message is empty.", "Say what to answer or to look for.")
    return texts


def _read_stdin() -> str:
    data = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
    if len(data) > MAX_STDIN_BYTES:
        raise MessageError(f"The standard input is longer than {MAX_STDIN_BYTES // 10**6} MB.", "Say it shorter.")
    return data.decode("utf-8", errors="replace").strip()


def read_pictures(files: Sequence[str | Path], *, stdin_taken: bool = False) -> list[str]:
    """Paths of pictures, each of which can be opened; "-" is the standard input, kept as a file.

    Args:
        files: what was named.
        stdin_taken: whether a message comes from the standard input.

    Raises:
        ImageError: one of them can't be read.
        MessageError: "-" was given twice.
    """
    if [str(file) for file in files].count(STDIN) + stdin_taken > 1:
        raise MessageError("The standard input can be read only once.", "Give '-' once.")
    return [_picture_from_stdin() if str(file) == STDIN else _opened(file) for file in files]


def _opened(file: str | Path) -> str:
    name = os.path.expanduser(file)  # noqa: PTH111  unlike pathlib's it leaves "~nobody" as it is
    open_image(name)
    return name


def _picture_from_stdin() -> str:
    data = sys.stdin.buffer.read(MAX_PICTURE_BYTES + 1)
    if len(data) > MAX_PICTURE_BYTES:
        raise ImageError(f"The standard input is longer than {MAX_PICTURE_BYTES // 10**6} MB.", "Name a smaller file.")
    if not data:
        raise ImageError("The standard input is empty: there is no picture.", "Name a file: --image FILE.")
    return str(keep_picture(data, cache_folder() / "stdin"))


def hit_line(hit: Hit) -> str:
    """Score, source and caption, safe for the terminal."""
    return f"{hit.score:.3f}  {one_line(hit.source)}" + (f"  {caption}" if (caption := one_line(hit.caption)) else "")


def hit_data(hit: Hit) -> dict[str, Any]:
    """A hit for programs."""
    return {**hit.to_dict(), "score": round(hit.score, 6)}


def echo_json(data: dict[str, Any]) -> None:
    """One line of JSON."""
    # ASCII: exact for programs, and no control character of a file name reaches a terminal.
    typer.echo(json.dumps(data))


def _columns() -> int:
    return shutil.get_terminal_size().columns
