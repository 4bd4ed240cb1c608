"""What the commands read and print. Everything that comes from data is made safe for the terminal first."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import typer

from fromage_lite.doctor import Check
from fromage_lite.errors import MessageError
from fromage_lite.events import Done, Failed, ImagesFound, Notice, Statistics, TextDelta
from fromage_lite.prompt import parse_message
from index.hits import Hit
from index.images import one_line, open_image, sanitize

if TYPE_CHECKING:
    from fromage_lite.agent import Agent
    from fromage_lite.dialogue import Dialogue

STDIN = "-"
MAX_STDIN_BYTES = 10_000_000  # far beyond any language model; keeps an endless pipe from filling the memory


def complain(sentence: str) -> None:
    """One line on stderr."""
    typer.echo(f"fromage-lite: {one_line(sentence)}", err=True)


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


def check_pictures(paths: Iterable[str]) -> None:
    """Opens each picture once.

    Raises:
        ImageError: one of them can't be read.
    """
    for path in paths:
        open_image(path)


def ask(dialogue: Dialogue, messages: Sequence[str], pictures: Sequence[str], *, as_json: bool) -> None:
    """Holds a dialogue and prints the replies; the pictures belong to the first message.

    Raises:
        FromageError: a message could not be answered; those before it have been printed.
    """
    for number, message in enumerate(messages):
        if number and not as_json:
            typer.echo()
        _reply(dialogue, message, pictures if number == 0 else (), as_json=as_json)


def _reply(dialogue: Dialogue, message: str, pictures: Sequence[str], *, as_json: bool) -> None:
    printer = _Streamed(muted=as_json)
    hits: list[Hit] = []
    statistics: dict[str, Any] = {}
    for event in dialogue.reply(message, attachments=pictures):
        match event:
            case TextDelta(text):
                printer.write(text)
            case ImagesFound(found):
                hits += found
                for hit in found:
                    printer.line(f"  {_hit_line(hit)}")
            case Notice(text):
                printer.end_line()
                complain(text)
            case Statistics():
                statistics = asdict(event)
            case Failed(error):
                printer.end_line()
                raise error
            case Done(text) if as_json:
                _echo_json({"text": text, "images": [_hit_data(hit) for hit in hits], "stats": statistics})
    printer.end_line()


class _Streamed:
    """Text written as it comes, and whole lines between; knows whether the current line has begun."""

    def __init__(self, muted: bool) -> None:
        self.muted, self._in_line = muted, False

    def write(self, text: str) -> None:
        text = sanitize(text)
        if not self._in_line:
            text = text.lstrip()
        if text and not self.muted:
            typer.echo(text, nl=False)
            sys.stdout.flush()
            self._in_line = not text.endswith("\n")

    def line(self, text: str) -> None:
        self.end_line()
        if not self.muted:
            typer.echo(text)

    def end_line(self) -> None:
        if self._in_line:
            typer.echo()
        self._in_line = False


def search(agent: Agent, text: str, pictures: Sequence[str], top: int, *, as_json: bool) -> None:
    """Prints the pictures that fit best, ranked."""
    segments = parse_message(text, pictures)
    hits = agent.search(segments, top)
    if as_json:
        _echo_json({"query": text, "images": [_hit_data(hit) for hit in hits]})
        return
    for rank, hit in enumerate(hits, start=1):
        typer.echo(f"{rank:>3}  {_hit_line(hit)}")
    if not hits:
        complain("The index has no picture.")


def _hit_line(hit: Hit) -> str:
    return f"{hit.score:.3f}  {one_line(hit.source)}" + (f"  {caption}" if (caption := one_line(hit.caption)) else "")


def _hit_data(hit: Hit) -> dict[str, Any]:
    return {"id": hit.id, "path": hit.source, "score": round(hit.score, 6), "caption": hit.caption}


def _echo_json(data: dict[str, Any]) -> None:
    # ASCII: exact for programs, and no control character of a file name reaches a terminal.
    typer.echo(json.dumps(data))


def terminal_checks(image_mode: str) -> list[Check]:
    """What the terminal can do."""
    encoding = (sys.stdout.encoding or "unknown").lower()
    utf8 = encoding.replace("-", "") in ("utf8", "utf_8")
    size = shutil.get_terminal_size()
    described = f"{os.environ.get('TERM', 'TERM is not set')}, {size.columns} x {size.lines}"
    return [
        Check("terminal", described if sys.stdout.isatty() else "the output is no terminal"),
        Check("pictures are drawn as", str(image_mode)),
        Check("terminal encoding", encoding, "" if utf8 else "Set a UTF-8 locale, for example LANG=C.UTF-8."),
        Check("program", str(Path(sys.argv[0]).resolve())),
    ]


def _columns() -> int:
    return shutil.get_terminal_size().columns


def report(checks: Sequence[Check]) -> bool:
    """Prints the checks; whether nothing is wrong."""
    width = max(len(check.name) for check in checks)
    for check in checks:
        typer.echo(f"{'ok ' if check.ok else 'BAD'}  {check.name:<{width}}  {one_line(check.value)}")
        if not check.ok:
            typer.echo(f"     {'':<{width}}  {one_line(check.fault)}")
    faults = sum(not check.ok for check in checks)
    typer.echo("Nothing is wrong." if not faults else f"{faults} thing{'s are' if faults > 1 else ' is'} wrong.")
    return not faults
