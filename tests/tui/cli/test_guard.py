"""How commands end where they can't go on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fromage_lite.errors import CheckpointError
from tests.tui.command_line import assert_refused, call
from tui.cli.guard import add, paragraphs

ROOT = Path(__file__).parents[3]


def ends_with(error: BaseException):
    app = typer.Typer(pretty_exceptions_enable=False)

    def command() -> None:
        """A command."""
        raise error

    add(app, command)
    return CliRunner().invoke(app, [])


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (CheckpointError("It is\ndamaged.", "Copy it."), 2, "Error: It is damaged. Copy it.\n"),
        (PermissionError(13, "Permission denied", "/x"), 2, "Error: /x: Permission denied.\n"),
        (
            ZeroDivisionError("division by zero"),
            2,
            "Error: Unexpected ZeroDivisionError: division by zero. FROMAGE_DEBUG=1 shows where.\n",
        ),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (KeyboardInterrupt("Run it again to continue."), 130, "Run it again to continue.\n"),
        (typer.Exit(1), 1, ""),
    ],
)
def test_one_line_and_one_code(error, code, said):
    result = ends_with(error)
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", said)


@pytest.mark.parametrize(
    "arguments",
    [
        ["index", "nowhere", "--out", "x"],
        ["train", "--recipe", "nonsense"],
        ["train", "--steps", "0"],
        ["train", "--max-bad", "1.5"],
        ["evaluate", "--model", "nowhere"],
        ["bench", "decode", "--lm", "nonsense"],
        ["make-playground", "--stage", "nonsense"],
        ["make-photos", "--stage", "nonsense"],
        ["convert", "nowhere", "x"],
        ["ask", "hello", "--model", "./nowhere"],
    ],
)
def test_the_same_code_for_every_command(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert_refused(result)
    assert result.stderr.startswith("Error: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_reader_that_has_seen_enough_hears_no_complaint():
    script = f"'{sys.executable}' -m tui config | true; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_help_keeps_paragraphs_and_examples_apart():
    text = """One
    sentence.

    Examples:
    fromage-lite a
    fromage-lite b
    """
    assert paragraphs(text) == "One sentence.\n\nExamples:\nfromage-lite a\nfromage-lite b"
