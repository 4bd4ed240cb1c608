"""Layers stay cheap and apart: what a fresh interpreter has loaded after an import.

The import contracts read the source; these tests look at what really gets loaded, libraries included.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODELS = {"accelerate", "open_clip", "timm", "torch", "torchvision", "transformers"}
SCREENS = {"textual", "textual_image"}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def loaded_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after the statement, even if it ends in SystemExit."""
    code = (
        "import json, sys\n"
        f"try:\n    {statement}\nexcept SystemExit:\n    pass\n"
        "print()\nprint(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout.splitlines()[-1]))


@pytest.mark.parametrize("module", ["index", "index.store", "index.build", "index.faiss_index", "index.images"])
def test_index_loads_no_model_library_and_no_screen(module: str) -> None:
    assert not loaded_after(f"import {module}") & (MODELS | SCREENS)


@pytest.mark.parametrize(
    "module", ["fromage_lite", "fromage_lite.config", "fromage_lite.chat.events", "fromage_lite.text.message"]
)
def test_plain_parts_of_the_model_package_load_no_torch(module: str) -> None:
    assert not loaded_after(f"import {module}") & (MODELS | SCREENS)


def test_the_agent_loads_no_screen() -> None:
    assert not loaded_after("import fromage_lite.chat.agent, fromage_lite.chat.dialogue") & SCREENS


def test_the_command_line_answers_before_any_model_library_is_loaded() -> None:
    assert not loaded_after("import tui.cli.main") & MODELS


@pytest.mark.parametrize("arguments", [["--help"], ["chat", "--help"], ["ask", "--help"], ["search", "--help"]])
def test_help_loads_no_model_library(arguments: list[str]) -> None:
    statement = f"import tui.cli.main; sys.argv = ['fromage-lite', *{arguments!r}]; tui.cli.main.main()"
    assert not loaded_after(statement) & MODELS


def test_help_names_every_command() -> None:
    result = python("-c", "import sys, tui.cli.main; sys.argv = ['fromage-lite', '--help']; tui.cli.main.main()")
    assert result.returncode == 0, result.stderr
    for command in ("chat", "ask", "search", "doctor"):
        assert command in result.stdout
