"""The command that makes an index, as messages name it. The command itself is the program's."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

PROGRAM = "fromage-lite index"


def index_command(out: str | Path, model: str | None = None, *, pictures: str | Path | None = None) -> str:
    """The command that makes the index at `out`, to be pasted into a shell.

    Args:
        out: the index folder.
        model: the model that is to search it; None leaves its place open.
        pictures: the folder or table to index; None takes the features that `out` keeps.
    """
    words = [str(pictures)] if pictures is not None else []
    return resuming_command(out, [*words, "--model", model or "MODEL"])


def rederiving_command(store: str | Path, model: str, out: str = "NEW_INDEX") -> str:
    """The command that indexes the pictures of the index at `store` for another model, at `out`, from its features."""
    return f"{PROGRAM} --rederive {shlex.join([str(store), '--model', model, '--out', out])}"


def resuming_command(out: str | Path, words: Sequence[str]) -> str:
    """The command that began the index at `out`, and goes on with it.

    Args:
        out: the index folder.
        words: the arguments that it was begun with, but for `--out`.
    """
    return f"{PROGRAM} {shlex.join([*words, '--out', str(out)])}"
