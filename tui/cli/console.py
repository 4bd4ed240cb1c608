"""What the commands read and print. Anything that comes from data is made safe for the terminal first."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import typer

from fromage_lite.errors import ImageError, MessageError
from fromage_lite.files import expand_user
from index.paths import cache_folder
from index.pictures.images import one_line, open_image
from index.search.hits import Hit
from tui.input.clipboard import keep_picture
from tui.pictures.thumbnails import GONE

STDIN = "-"
MAX_PICTURE_BYTES = 200_000_000
MAX_STDIN_BYTES = 10_000_000  # far beyond any language model; stops an endless pipe from filling the memory


def fail(sentence: str) -> None:
    """Prints why a command can't continue: one line on stderr."""
    typer.echo(f"Error: {one_line(sentence)}", err=True)


def complain(sentence: str) -> None:
    """Prints a warning: one line on stderr."""
    typer.echo(f"fromage-lite: {one_line(sentence)}", err=True)


def interrupted(sentence: str) -> None:
    """Prints a line of its own on stderr: not after the words or the bar that Ctrl-C interrupted."""
    typer.echo(("\n" if sys.stderr.isatty() else "") + one_line(sentence), err=True)


class StatusLine:
    """Shows what loading is doing, on stderr: one line, overwritten each time and erased at the end. Without a terminal
    it prints separate lines, and only once loading takes long."""

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
        """Prints a line that stays."""
        typer.echo(f"{self._clear}{one_line(text)}", err=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        typer.echo(self._clear, err=True, nl=False)


def read_messages(messages: Sequence[str], *, has_pictures: bool) -> list[str]:
    """The messages to answer; "-", or no message at all, reads from standard input.

    Raises:
        MessageError: a message is empty and comes without a picture, or "-" was given twice.
    """
    if messages.count(STDIN) > 1:
        raise MessageError("Standard input can only be read once.", "Give '-' once.")
    if not messages:
        messages = [""] if sys.stdin.isatty() else [STDIN]
    texts = [_read_stdin() if message == STDIN else message for message in messages]
    if not all(text.strip() for text in texts[has_pictures:]):
        raise MessageError("The message is empty.", "Say what to answer or to look for.")
    return texts


def _read_stdin() -> str:
    data = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
    if len(data) > MAX_STDIN_BYTES:
        raise MessageError(f"Standard input is longer than {MAX_STDIN_BYTES // 10**6} MB.", "Shorten it.")
    return data.decode("utf-8", errors="replace").strip()


def read_pictures(files: Sequence[str | Path], *, stdin_taken: bool = False) -> list[str]:
    """Paths of pictures that can be opened; "-" is standard input, saved to a file.

    Args:
        files: as the command line names them.
        stdin_taken: whether a message comes from standard input.

    Raises:
        ImageError: one of them can't be read.
        MessageError: "-" was given twice.
    """
    if [str(file) for file in files].count(STDIN) + stdin_taken > 1:
        raise MessageError("Standard input can only be read once.", "Give '-' once.")
    return [_picture_from_stdin() if str(file) == STDIN else _opened(file) for file in files]


def _opened(file: str | Path) -> str:
    name = expand_user(file)
    open_image(name)
    return name


def _picture_from_stdin() -> str:
    data = sys.stdin.buffer.read(MAX_PICTURE_BYTES + 1)
    if len(data) > MAX_PICTURE_BYTES:
        raise ImageError(f"Standard input is longer than {MAX_PICTURE_BYTES // 10**6} MB.", "Name a smaller file.")
    if not data:
        raise ImageError("Standard input is empty: there is no picture.", "Name a file: --image FILE.")
    return str(keep_picture(data, cache_folder() / "stdin"))


def hit_line(hit: Hit) -> str:
    """Score, source and caption, safe for the terminal; and whether the file is gone."""
    parts = [f"{hit.score:.3f}", one_line(hit.source), one_line(hit.caption), f"({GONE})" if hit.gone else ""]
    return "  ".join(filter(None, parts))


def hit_data(hit: Hit) -> dict[str, Any]:
    """A hit as JSON data, with its score rounded."""
    return {**hit.to_dict(), "score": round(hit.score, 6)}


def echo_json(data: dict[str, Any]) -> None:
    """Prints one line of JSON."""
    # ASCII: exact for programs, and no control character in a file name reaches a terminal.
    typer.echo(json.dumps(data))


def _columns() -> int:
    return shutil.get_terminal_size().columns
