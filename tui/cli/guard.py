"""How a command that fails ends: with one line on stderr and an exit code, never with a traceback.

| exit code | what happened |
|---|---|
| 0 | success, or the reader of the output closed the pipe |
| 1 | success, but the command found a fault (`doctor`, `config`) |
| 2 | failure |
| 130 | Ctrl-C |
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from fromage_lite.errors import FromageError
from index.errors import described, reason
from tui.cli import console

FAILED, INTERRUPTED = 2, 130

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def guarded(command: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """The command, with its errors turned into messages and exit codes as above.

    The text of a `KeyboardInterrupt` is printed: it says what became of the work, and how to continue.
    """

    @functools.wraps(command)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except FromageError as error:
            raise _failed(str(error)) from None
        except KeyboardInterrupt as interrupt:
            console.interrupted(str(interrupt) or "Interrupted.")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # the reader (head, less) has quit
            _hush()
            raise typer.Exit(0) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if os.environ.get("FROMAGE_DEBUG") or type(error).__module__.startswith("typer"):
                raise
            raise _failed(_in_words(error)) from None

    return wrapper


def add(app: typer.Typer, command: Callable[..., None]) -> None:
    """Adds a function as a command, with its name and its docstring as help."""
    app.command(help=paragraphs(command.__doc__ or ""))(guarded(command))


def paragraphs(text: str) -> str:
    """Help text without the line breaks of the source; each example keeps its own line."""
    return re.sub(r"(?<!\n)\n(?!\n|fromage-lite )", " ", inspect.cleandoc(text))


def _failed(sentence: str) -> typer.Exit:
    console.fail(sentence)
    return typer.Exit(FAILED)


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:  # a full disk, a folder without permission
        return f"{error.filename}: {reason(error)}."
    return f"Unexpected {described(error)}. FROMAGE_DEBUG=1 shows where."


def _hush() -> None:
    """Sends further output nowhere: the interpreter's flush at exit would raise again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
