"""`fromage-lite doctor`: what is installed, what works and what is wrong."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import typer

from fromage_lite.config import LoadOptions
from fromage_lite.doctor import Check, examine
from fromage_lite.errors import FromageError
from index.paths import cache_folder
from index.pictures.images import one_line
from tui.cli import console
from tui.cli.options import AsJson, with_options
from tui.settings import paths


@with_options
def doctor(load: LoadOptions, as_json: AsJson = False) -> None:
    """Check the installation, the terminal, your files, the model and the index. Exit code 1 if anything is wrong."""
    from tui.pictures.image_mode import resolve_image_mode

    try:
        mode, fault = str(resolve_image_mode()), ""  # queries the terminal, so it must come before any output
    except FromageError as error:
        mode, fault = "unknown", str(error)
    checks = [*_terminal(mode, fault), *_files(), *examine(load)]
    if as_json:
        for check in checks:
            console.echo_json({"name": check.name, "value": check.value, "ok": check.ok, "fault": check.fault})
    else:
        _report(checks)
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


def _terminal(image_mode: str, fault: str) -> Iterator[Check]:
    encoding = (sys.stdout.encoding or "unknown").lower()
    utf8 = encoding.replace("-", "") in ("utf8", "utf_8")
    size = shutil.get_terminal_size()
    described = f"{os.environ.get('TERM', 'TERM is not set')}, {size.columns} x {size.lines}"
    yield Check("terminal", described if sys.stdout.isatty() else "the output is not a terminal")
    yield Check("pictures are drawn as", image_mode, fault)
    yield Check("terminal encoding", encoding, "" if utf8 else "Set a UTF-8 locale, for example LANG=C.UTF-8.")
    yield Check("program", str(Path(sys.argv[0]).resolve()))


def _files() -> Iterator[Check]:
    """The user's own files, where the XDG standard or the platform puts them."""
    from tui.settings.preferences import Preferences

    config, sessions = paths.config_file(), paths.sessions_file()
    problems = Preferences.read(config).problems
    there = "" if config.exists() else " (missing: the defaults are in force)"
    yield Check("config file", f"{config}{there}", " ".join(problems))
    yield _sessions(sessions)
    yield _folder("state folder", paths.state_dir())
    yield _folder("cache folder", cache_folder())


def _sessions(path: Path) -> Check:
    name = "conversations"
    if not path.exists():
        return _folder(name, path)
    from tui.sessions.store import SessionStore

    try:
        store = SessionStore.open(path, read_only=True)
        count, damaged = len(store.sessions(limit=1_000_000)), store.damaged_records()
        store.close()
    except FromageError as error:
        return Check(name, str(path), str(error))
    fault = "" if os.access(path, os.W_OK) else f"There is no permission to write to {path}."
    if damaged:
        fault = f"Records that can't be read, and are left as they are: {len(damaged)}, first {damaged[0]}. {fault}"
    return Check(name, f"{path}, {count} of them, {path.stat().st_size / 1e6:.1f} MB", fault)


def _folder(name: str, path: Path) -> Check:
    """A folder that the program creates when it needs it."""
    existing = next((place for place in (path, *path.parents) if place.exists()), Path("/"))
    fault = "" if os.access(existing, os.W_OK) else f"There is no permission to write to {existing}."
    if existing != path and not existing.is_dir():
        fault = f"{existing} is a file where a folder should be."
    return Check(name, str(path), fault)


def _report(checks: Iterable[Check]) -> None:
    checks = list(checks)
    width = max(len(check.name) for check in checks)
    for check in checks:
        typer.echo(f"{'ok ' if check.ok else 'BAD'}  {check.name:<{width}}  {one_line(check.value)}")
        if not check.ok:
            typer.echo(f"     {'':<{width}}  {one_line(check.fault)}")
    faults = sum(not check.ok for check in checks)
    typer.echo("No problems found." if not faults else f"{faults} problem{'s' * (faults > 1)} found.")
