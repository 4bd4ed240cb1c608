"""The built wheel chats by itself: it carries the shipped models and starts the right command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from site import getsitepackages

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PLAYGROUND = ROOT / "checkpoints" / "playground"
MAX_BYTES = {"photos": 25_000_000, "playground": 40_000_000}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(ROOT)], check=True, stdin=subprocess.DEVNULL)
    (path,) = folder.glob("fromage_lite-*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_three_packages_the_models_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    packages = {top for top in tops if not top.endswith(".dist-info")}
    assert packages == {"fromage_lite", "index", "tui"}
    names = [Path(name) for name in wheel.namelist()]
    assert not [name for name in names if "tests" in name.parts or name.name.startswith(("test_", "conftest"))]
    assert not [name for name in names if name.suffix == ".pyc"]


def test_the_wheel_holds_all_code_and_data_that_the_repository_tracks(wheel: zipfile.ZipFile) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "fromage_lite", "index", "tui"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    assert set(tracked.stdout.split()) <= set(wheel.namelist())


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "words.txt",
        "lm/config.json",
        "lm/model.safetensors",
        "lm/tokenizer.json",
        "encoder/open_clip_config.json",
        "encoder/open_clip_model.safetensors",
        "fromage/config.json",
        "fromage/model.safetensors",
        "fromage-chat/config.json",
        "fromage-chat/model.safetensors",
    ],
)
def test_the_wheel_holds_the_playground_models_byte_for_byte(wheel: zipfile.ZipFile, name: str) -> None:
    packed = wheel.read(f"fromage_lite/_checkpoints/playground/{name}")
    assert packed == (PLAYGROUND / name).read_bytes()


@pytest.mark.parametrize("name", MAX_BYTES)
def test_the_shipped_models_stay_small(wheel: zipfile.ZipFile, name: str) -> None:
    shipped = [info for info in wheel.infolist() if info.filename.startswith(f"fromage_lite/_checkpoints/{name}/")]
    assert 0 < sum(info.file_size for info in shipped) <= MAX_BYTES[name]


def test_the_wheel_names_its_command_licence_and_python(wheel: zipfile.ZipFile) -> None:
    (folder,) = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    entry_points = wheel.read(f"{folder}/entry_points.txt").decode()
    assert "fromage-lite = tui.cli.main:main" in entry_points
    assert f"{folder}/licenses/LICENSE" in wheel.namelist()
    metadata = wheel.read(f"{folder}/METADATA").decode()
    assert "Requires-Python: >=3.11" in metadata


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs the installed `fromage-lite` in an empty folder, as a user without a network; gives what it prints.

    The environment is new and has the wheel alone; the libraries are those of the environment that runs the tests.
    """
    folder = tmp_path_factory.mktemp("installed")
    environment, home, work = folder / "environment", folder / "home", folder / "work"
    venv.create(environment, with_pip=False)
    program = environment / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(program), "install", "--quiet", "--no-deps"]
    subprocess.run([*command, str(wheel.filename)], check=True, stdin=subprocess.DEVNULL)
    (site,) = environment.glob("lib/python*/site-packages")
    # A folder named in a .pth file is searched, but its own .pth files, such as an editable install's, are not read.
    (site / "libraries.pth").write_text("\n".join(getsitepackages()) + "\n")
    home.mkdir()
    work.mkdir()
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    variables = {name: value for name, value in os.environ.items() if name not in dropped}
    variables |= {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA", "STATE")}
    variables |= {"HOME": str(home), "HF_HUB_OFFLINE": "1"}
    for number, colour in enumerate(["red", "green", "blue"]):
        Image.new("RGB", (96, 96), colour).save(work / f"{number}.png")

    def run(*arguments: str) -> str:
        command = [str(program.with_name("fromage-lite")), *arguments]
        done = subprocess.run(
            command, cwd=work, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    return run


def test_an_installed_wheel_chats_with_the_models_it_carries(installed: Callable[..., str]) -> None:
    assert json.loads(installed("ask", "hello.", "--index", "none", "--json"))["text"].strip()


def test_an_installed_wheel_is_what_runs(installed: Callable[..., str]) -> None:
    checks = [json.loads(line) for line in installed("doctor", "--json").splitlines()]
    assert all(check["ok"] for check in checks)
    (models,) = [check["value"] for check in checks if check["name"] == "shipped models"]
    assert "/environment/lib/" in models and str(ROOT) not in models


def test_an_installed_wheel_indexes_a_folder_and_finds_its_pictures(installed: Callable[..., str]) -> None:
    assert "3 pictures, 0 with a caption (3 new)" in installed("index", ".", "--out", "mine")
    found = json.loads(installed("search", "1.png", "--index", "mine", "--top", "1", "--json"))["images"]
    assert [Path(picture["path"]).name for picture in found] == ["1.png"]


def test_an_installed_wheel_trains_a_bridge_that_chats(installed: Callable[..., str], tmp_path: Path) -> None:
    for number in range(12):
        Image.new("RGB", (96, 96), (20 * number, 90, 60)).save(tmp_path / f"{number}.png")
    table = tmp_path / "captions.tsv"
    table.write_text("".join(f"a cat on the beach {number}.\t{number}.png\n" for number in range(12)))
    said = installed("train", "--data", str(table), "--recipe", "fromage", "--max-steps", "5", "--batch-size", "2")
    assert "visual_embeddings.weight" in said and "Trained 5 steps" in said
    assert json.loads(installed("ask", "hello.", "--model", "runs/fromage/last", "--index", "none", "--json"))


def test_an_installed_wheel_evaluates_and_measures(installed: Callable[..., str]) -> None:
    assert "playground" in installed("evaluate", "--help")
    (line,) = installed("bench", "index", "--rows", "1000", "--dim", "8").splitlines()
    assert json.loads(line)["recall_at_10_1000"] == 1.0


def test_never_both_faiss_builds_and_always_one(wheel: zipfile.ZipFile) -> None:
    from packaging.requirements import Requirement

    (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    lines = wheel.read(metadata).decode().splitlines()
    needed = [Requirement(line.partition(":")[2]) for line in lines if line.startswith("Requires-Dist: faiss")]
    for system, machine, expected in [
        ("linux", "x86_64", "faiss-gpu"),
        ("linux", "aarch64", "faiss-cpu"),
        ("darwin", "arm64", "faiss-cpu"),
        ("win32", "AMD64", "faiss-cpu"),
    ]:
        environment = {"sys_platform": system, "platform_machine": machine}
        chosen = [item.name for item in needed if item.marker is None or item.marker.evaluate(environment)]
        assert chosen == [expected]
