"""What can be completed at the cursor, and with what. Knows no widget; reads folders, so call it off the UI thread."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from index.pictures.images import PICTURE_SUFFIXES, sanitize
from tui.input.attachments import to_path
from tui.input.commands import Command, CommandTable

Kind = Literal["command", "path", "picture"]
MOST_ENTRIES = 5000  # of a folder that are looked at
MOST_CHOICES = 100

_COMMAND = re.compile(r"/[\w-]*")
_ARGUMENT = re.compile(r"/([\w-]+) +")
_TAG = re.compile(r"<image:([^<>]*)$")
_AT = re.compile(r"(?:^|(?<=\s))@([^\s@]*)$")


@dataclass(frozen=True)
class Query:
    """A piece of the text before the cursor that can be completed.

    Attributes:
        kind: a command's name, a path, or a picture anywhere below the working directory.
        start: where the piece begins in the line of the cursor.
        text: the piece.
        wants: which paths: "pictures", "folders" or "files"; or "themes", whose names they are.
        closing: what follows a completed file.
    """

    kind: Kind
    start: int
    text: str
    wants: str = "pictures"
    closing: str = ""


@dataclass(frozen=True)
class Choice:
    """One way to complete.

    Attributes:
        text: what takes the place of the piece.
        label: how it is shown.
        detail: what it is.
        is_whole: whether nothing remains to be completed; a folder goes on with its files.
        runs: whether Enter runs it as a command.
    """

    text: str
    label: str
    detail: str = ""
    is_whole: bool = True
    runs: bool = False


def find_query(line: str, commands: CommandTable, row: int = 0) -> Query | None:
    """What can be completed at the end of `line`, the cursor's line up to the cursor."""
    if row == 0 and _COMMAND.fullmatch(line):
        return Query("command", 0, line)
    if row == 0 and (match := _ARGUMENT.match(line)):
        command = commands.find(match[1].lower())
        if command is not None and command.completes:
            return Query("path", match.end(), line[match.end() :], command.completes)
    if match := _TAG.search(line):
        return Query("path", match.start(1), match[1], closing=">")
    if match := _AT.search(line):
        return Query("picture", match.start(), match[1])
    return None


def complete_command(text: str, commands: CommandTable) -> list[Choice]:
    """The commands that begin so; then those that have it elsewhere in their name or begin so by an alias."""
    typed = text[1:].lower()
    ranked = [(rank, command) for command in commands if (rank := _command_rank(typed, command)) is not None]
    ranked.sort(key=lambda entry: entry[0])  # stable: else in the table's order
    return [
        Choice(
            f"/{command.name}" + (" " if command.argument else ""),
            command.usage,
            command.help,
            runs=not command.needs_argument,
        )
        for _, command in ranked
    ]


def _command_rank(typed: str, command: Command) -> int | None:
    names = (command.name, *command.aliases)
    if command.name.startswith(typed):
        return 0
    if any(name.startswith(typed) for name in names):
        return 1
    return 2 if len(typed) > 1 and any(typed in name for name in names) else None


def complete_path(query: Query) -> list[Choice]:
    """The entries of a folder that go on as the query's text does, folders first; if none does, those that have it
    elsewhere in their names. Hidden ones only if asked for."""
    quote = query.text[:1] if query.text[:1] in ("'", '"') else ""
    typed = query.text[len(quote) :]
    base, slash, name = typed.rpartition("/")
    if typed in ("~", "..", "."):
        return [Choice(f"{quote}{typed}/", f"{typed}/", "folder", is_whole=False)]
    folder = to_path((base + slash) or ".") if base or slash else Path()
    wanted = re.sub(r"\\(.)", r"\1", name).lower()
    begin: list[tuple[bool, str, str]] = []
    contain: list[tuple[bool, str, str]] = []
    for entry, is_folder in _entries(folder, wanted.startswith("."), query.wants):
        place = entry.lower().find(wanted)
        if place < 0 or (query.closing and set(entry) & set("<>")):
            continue
        (begin if place == 0 else contain).append((not is_folder, entry.lower(), entry))
    closing = quote + query.closing
    before = quote + base + slash
    return [
        Choice(f"{before}{entry}{closing}", entry)
        if is_file
        else Choice(f"{before}{entry}/", f"{entry}/", "folder", False)
        for is_file, _, entry in islice(sorted(begin or contain), MOST_CHOICES)
    ]


def complete_name(query: Query, names: Iterable[str]) -> list[Choice]:
    """The names that go on as the query's text does; if none does, those that have it elsewhere."""
    typed, known = query.text.lower(), sorted(names)
    begin = [name for name in known if name.lower().startswith(typed)]
    return [Choice(name, name) for name in begin or [name for name in known if typed in name.lower()]]


def _entries(folder: Path, hidden: bool, wants: str) -> Iterable[tuple[str, bool]]:
    """(name, whether it is a folder) of what a folder has; nothing where it can't be read."""
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, MOST_ENTRIES):
                name = entry.name
                if (name.startswith(".") and not hidden) or sanitize(name) != name:
                    continue
                is_folder = _is_folder(entry)
                fits = wants == "files" or (wants == "pictures" and Path(name).suffix.lower() in PICTURE_SUFFIXES)
                if is_folder or fits:
                    yield name, is_folder
    except (OSError, ValueError):
        return


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def common_beginning(choices: Sequence[Choice]) -> str:
    """What all choices begin with."""
    return os.path.commonprefix([choice.text for choice in choices])


def complete_picture(text: str, paths: Iterable[str]) -> list[Choice]:
    """The paths that have the letters of `text` in their order, best first: the name's beginning, then the name,
    then the path, then letters with others between."""
    typed = text.lower()
    ranked = [(rank, len(path), path) for path in paths if (rank := _rank(typed, path.lower())) is not None]
    return [
        Choice(path, name, folder)
        for _, _, path in islice(sorted(ranked), MOST_CHOICES)
        for folder, _, name in [path.rpartition("/")]
    ]


def _rank(typed: str, path: str) -> tuple[int, int] | None:
    name = path.rpartition("/")[2]
    if (place := name.find(typed)) >= 0:
        return (0 if place == 0 else 1), place
    if (place := path.find(typed)) >= 0:
        return 2, place
    start = position = -1
    for letter in typed:
        if (position := path.find(letter, position + 1)) < 0:
            return None
        start = position if start < 0 else start
    return 3, position - start
