"""The built wheel chats by itself: it carries the shipped models and starts the right command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLAYGROUND = ROOT / "checkpoints" / "playground"
MAX_SHIPPED_BYTES = 40_000_000

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


def test_the_shipped_models_stay_small(wheel: zipfile.ZipFile) -> None:
    shipped = [info for info in wheel.infolist() if info.filename.startswith("fromage_lite/_checkpoints/")]
    assert 0 < sum(info.file_size for info in shipped) <= MAX_SHIPPED_BYTES


def test_the_wheel_names_its_command_licence_and_python(wheel: zipfile.ZipFile) -> None:
    (folder,) = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    entry_points = wheel.read(f"{folder}/entry_points.txt").decode()
    assert "fromage-lite = tui.cli.main:main" in entry_points
    assert f"{folder}/licenses/LICENSE" in wheel.namelist()
    metadata = wheel.read(f"{folder}/METADATA").decode()
    assert "Requires-Python: >=3.11" in metadata


def test_an_installed_wheel_chats_offline_with_the_models_it_carries(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    site, home = tmp_path / "site", tmp_path / "home"
    home.mkdir()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site)]
    subprocess.run([*command, str(wheel.filename)], check=True, stdin=subprocess.DEVNULL)
    environment = os.environ | {"PYTHONPATH": str(site), "XDG_CACHE_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, "-m", "tui", "ask", "hello.", "--index", "none", "--json"],
        cwd=home,  # away from the repository, which would win over the installed copy
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["text"].strip()


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
