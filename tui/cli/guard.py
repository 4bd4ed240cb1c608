"""How a command ends where it can't go on: with one line on stderr and an exit code, never with a traceback.

| exit code | what happened |
|---|---|
| 0 | it worked; also where the reader of a pipe has seen enough |
| 1 | it worked and found a fault (`doctor`, `config`) |
| 2 | it could not be done |
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
    """The command, ending as this module says.

    A `KeyboardInterrupt` with a text says that text: what became of the work, and how to go on with it.
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
        except BrokenPipeError:  # the reader (head, less) has seen enough
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
    """Makes a function a command, named after it, with its docstring as help."""
    app.command(help=paragraphs(command.__doc__ or ""))(guarded(command))


def paragraphs(text: str) -> str:
    """Help without the line breaks of the source; the examples in it keep a line each."""
    return re.sub(r"(?<!\n)\n(?!\n|fromage-lite )", " ", inspect.cleandoc(text))


def _failed(sentence: str) -> typer.Exit:
    console.fail(sentence)
    return typer.Exit(FAILED)


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:  # a full disk, a folder without permission
        return f"{error.filename}: {reason(error)}."
    return f"Unexpected {described(error)}. FROMAGE_DEBUG=1 shows where."


def _hush() -> None:
    """Nothing more can be printed; the interpreter's own flush at exit would complain once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
