"""What is told where a folder has no finished store or index: one is being built, was begun, or never was."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from index.commands import index_command, resuming_command
from index.errors import StoreError
from index.store.lock import builder_at_work
from index.store.manifest import ROWS, STORE_MANIFEST
from index.store.rows import RESUME, connect_readonly


def unfinished(path: Path, what: str, model: str | None = None) -> StoreError:
    """The error for a folder without a manifest of the wanted kind, with the command that makes or finishes it.

    Args:
        path: the folder.
        what: what is wanted there: "index" or "feature store".
        model: the model that is to search it, for the command; None leaves its place open.
    """
    subject = f"The {what} at {path} is unfinished"
    if (process := builder_at_work(path)) is not None:
        return StoreError(f"{subject}: process {process} is building it.", "Wait for it.")
    if (path / STORE_MANIFEST).is_file():
        return StoreError(
            f"{subject}: its pictures are embedded, but there is no index of them yet.",
            f"Go on with it: {index_command(path, model) if model else resuming(path, has_features=True)}",
        )
    if (path / ROWS).is_file():
        return StoreError(f"{subject}: {_so_far(path)}.", f"Go on where it stopped: {resuming(path, model)}")
    return StoreError(f"There is no {what} at {path}.", f"Build it: {index_command(path, model, pictures='FOLDER')}")


def resuming(path: Path, model: str | None = None, *, has_features: bool = False) -> str:
    """The command that goes on with the store at `path`: the one that began it, if it is known.

    Args:
        path: the store's folder.
        model: for a command that is made up, the model that is to search.
        has_features: a command that is made up takes the features that are there, and no pictures.
    """
    if words := begun_with(path):
        return resuming_command(path, words)
    return index_command(path, model, pictures=None if has_features else "FOLDER")


def begun_with(path: Path) -> list[str]:
    """The arguments of the command that began the store at `path`, but for `--out`; empty if they aren't known."""
    try:
        rows = connect_readonly(path / ROWS)
        try:
            found = rows.execute("SELECT value FROM meta WHERE name = ?", (RESUME,)).fetchone()
        finally:
            rows.close()
        words = json.loads(found[0]) if found else None
    except (sqlite3.Error, ValueError, OSError):
        words = None
    return [str(word) for word in words] if isinstance(words, list) else []


def _so_far(path: Path) -> str:
    try:
        rows = connect_readonly(path / ROWS)
        try:
            count = int(rows.execute("SELECT count(*) FROM rows WHERE removed = 0").fetchone()[0])
        finally:
            rows.close()
    except sqlite3.Error:
        return "its build was interrupted"
    return "no picture is embedded yet" if not count else f"only {count:,} pictures are embedded so far"
