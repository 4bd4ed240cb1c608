"""Completion in the shell: what it offers, and that it costs next to nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "transformers", "open_clip", "faiss", "textual", "aiohttp")


def complete(line: str) -> list[str]:
    """What bash would be offered for the last word of a line."""
    words = line.split(" ")
    environment = {**os.environ, "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    environment["_FROMAGE_LITE_COMPLETE"] = "complete_bash"
    code = f"""
import sys
from tui.cli.main import main
try:
    main()
except SystemExit:
    pass
print(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stderr.strip() == "", "a key pressed in the shell must not wait for these"
    return done.stdout.split()


def test_commands_are_offered_first():
    offered = set(complete("fromage-lite "))
    assert {"chat", "ask", "search", "serve", "doctor", "index", "train", "evaluate", "bench"} <= offered
    assert complete("fromage-lite se") == ["search", "serve"]


def test_options_of_a_command_and_of_the_chat_that_needs_no_name():
    assert complete("fromage-lite search --thr") == ["--threshold"]
    assert complete("fromage-lite train --overw") == ["--overwrite"]
    assert complete("fromage-lite bench de") == ["decode"]
    assert complete("fromage-lite serve --score") == ["--score-threshold"]
    assert complete("fromage-lite --cont") == ["--continue"]
    assert complete("fromage-lite --vers") == ["--version"]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("fromage-lite ask --ret ", ["off", "auto", "always"]),
        ("fromage-lite serve --dtype b", ["bf16"]),
        ("fromage-lite index --device m", ["mps"]),
        ("fromage-lite train --quantize int", ["int8", "int4"]),
        ("fromage-lite bench decode --dtype f", ["float32", "float16"]),
        ("fromage-lite --device c", ["cpu", "cuda", "cuda:0", "cuda:1"]),
        ("fromage-lite search --images h", ["halfblock"]),
    ],
)
def test_values_of_options(line, values):
    assert complete(line) == values


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_it_is_installed_for_bash_and_works_there(tmp_path):
    command = tmp_path / "bin" / "fromage-lite"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\ncd "{ROOT}"\nexec "{sys.executable}" -m tui "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": path, "COLUMNS": "200"}

    def bash(script: str) -> str:
        done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "complete -o default -F" in bash("fromage-lite --show-completion; true")
    assert "bash completion installed" in bash("fromage-lite --install-completion; true")
    offered = bash(
        "source ~/.bashrc; COMP_WORDS=(fromage-lite s); COMP_CWORD=1; _fromage_lite_completion fromage-lite; "
        'echo "${COMPREPLY[@]}"'
    )
    assert offered.split() == ["search", "serve"]
