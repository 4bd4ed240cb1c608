"""Layers stay cheap and apart: what a fresh interpreter has loaded after an import.

The import contracts read the source; these tests look at what really gets loaded, libraries included.
"""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Collection, Iterator
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


@pytest.mark.parametrize(
    "module",
    ["index", "index.store.feature_store", "index.building.build", "index.search.faiss_index", "index.pictures.images"],
)
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


COMMANDS = (
    "chat",
    "ask",
    "search",
    "serve",
    "models",
    "index",
    "train",
    "evaluate",
    "bench",
    "convert",
    "config",
    "doctor",
    "make-photos",
    "make-playground",
)


@pytest.mark.parametrize("command", ["", *COMMANDS, "bench decode", "bench tui"])
def test_help_loads_no_model_library(command: str) -> None:
    loaded = loaded_after(f"import tui.cli.main; tui.cli.main.main([*{command.split()!r}, '--help'])")
    assert not loaded & (MODELS | {"faiss", "textual"})


def test_help_names_every_command() -> None:
    result = python("-m", "tui", "--help")
    assert result.returncode == 0, result.stderr
    for command in COMMANDS:
        assert f" {command} " in result.stdout


@pytest.mark.parametrize("name", ["build_index", "train", "evaluate", "bench", "make_photos", "make_playground"])
def test_scripts_are_the_commands(name: str) -> None:
    result = python(f"scripts/{name}.py", "--help")
    assert result.returncode == 0, result.stderr
    command = {"build_index": "index"}.get(name, name.replace("_", "-"))
    assert f"Usage: fromage-lite {command} [OPTIONS]" in result.stdout


# --- circles ---


def modules() -> dict[str, Path]:
    """Every module of the program by its dotted name."""
    paths = [path for package in ("fromage_lite", "index", "tui") for path in (ROOT / package).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def imported(path: Path, known: Collection[str]) -> Iterator[str]:
    """Modules that a file imports: at its top, inside functions, and for types alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path} has a relative import"
            for submodule in (f"{node.module}.{alias.name}" for alias in node.names):
                yield submodule if submodule in known else node.module


def test_no_imports_go_in_a_circle_even_inside_functions_and_for_types() -> None:
    known = modules()
    graph = {name: ({*imported(path, known)} & set(known)) - {name} for name, path in known.items()}
    assert sum(map(len, graph.values())) > len(graph)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))
