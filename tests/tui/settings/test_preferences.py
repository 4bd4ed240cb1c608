"""The config file: lenient to read, careful to write."""

from __future__ import annotations

import dataclasses
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fromage_lite.config import GenerationSettings
from fromage_lite.errors import ConfigError
from tests.tui.driver import chatting
from tui.cli.config_report import effective
from tui.settings.preferences import Preferences, changed
from tui.themes import LIGHT

GOOD = """
# mine
theme = "fromage-light"
images = "none"

[settings]
temperature = 0.7  # lively
ret_mode = "always"
seed = 5

[keys]
settings = "f10"
send = ["f12", "f9"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fromage-lite" / "config.toml"


def write(file: Path, text: str | bytes) -> Preferences:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Preferences.read(file)


def test_what_the_file_says_holds(file: Path) -> None:
    preferences = write(file, GOOD)
    assert preferences.problems == ()
    assert preferences.settings == GenerationSettings(temperature=0.7, ret_mode="always", seed=5)
    assert preferences.keys == {"settings": "f10", "send": "f12,f9"}
    assert preferences.theme == "fromage-light" and preferences.images == "none"


@pytest.mark.parametrize("text", ["", GOOD], ids=["new", "there"])
def test_changes_of_several_apps_at_once_all_arrive(file: Path, text: str) -> None:
    write(file, text)
    changes = {"temperature": 0.25, "top_p": 0.5, "seed": 11, "max_images": 2, "max_new_tokens": 33, "theme": "nord"}
    start = threading.Barrier(len(changes))

    def keep(name: str) -> None:
        preferences = Preferences.read(file)
        start.wait()
        preferences.keep({name: changes[name]})

    with ThreadPoolExecutor(len(changes)) as threads:
        assert list(threads.map(keep, changes)) == [None] * len(changes)
    written = tomllib.loads(file.read_text())
    assert {**written["settings"], "theme": written["theme"]}.items() >= changes.items()


def test_no_file_is_no_problem(file: Path) -> None:
    assert Preferences.read(file) == Preferences(file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("theme = ", "can't be read"),
        (b"\xff\xfe", "can't be read"),
        ('colour = "red"', "there is no option 'colour'"),
        ("theme = 3", "'theme' must be a text"),
        ('images = "crayon"', "'images' must be one of"),
        ("settings = 3", "'settings' must be a section"),
        ("[settings]\ntemprature = 1", "[settings] there is no setting 'temprature'"),
        ("[settings]\ntemperature = -1", "[settings] temperature must be"),
        ('[settings]\ntop_p = "big"', "[settings] top_p must be"),
        ('[settings]\nret_mode = ["auto"]', "[settings] ret_mode"),
        ("[keys]\nsend = 5", "[keys] 'send' must be a key"),
        ("[keys]\nsend = []", "[keys] 'send' must be a key"),
    ],
)
def test_a_mistake_is_one_sentence_with_the_file_and_the_key(file: Path, text: str | bytes, words: str) -> None:
    preferences = write(file, text)
    (problem,) = preferences.problems
    assert words in problem and str(file) in problem and "\n" not in problem.strip()
    assert preferences.settings == GenerationSettings() and preferences.keys == {}


def test_one_mistake_does_not_spoil_the_rest(file: Path) -> None:
    preferences = write(file, "[settings]\ntemperature = 0.5\ntop_p = 7\nnonsense = 1\n")
    assert preferences.settings == GenerationSettings(temperature=0.5) and len(preferences.problems) == 2


def test_writing_keeps_comments_and_everything_else(file: Path) -> None:
    write(file, GOOD).keep({"temperature": 0.9, "seed": None, "top_p": 0.8, "theme": "nord"})
    text = file.read_text()
    assert "# mine" in text and "# lively" in text and 'settings = "f10"' in text
    data = tomllib.loads(text)
    assert data["settings"] == {"temperature": 0.9, "ret_mode": "always", "top_p": 0.8} and data["theme"] == "nord"


def test_writing_makes_the_file(file: Path) -> None:
    Preferences(file).keep({"temperature": 0.9, "theme": "nord"})
    preferences = Preferences.read(file)
    assert preferences.settings.temperature == 0.9 and preferences.theme == "nord" and not preferences.problems


def test_writing_follows_a_link(file: Path, tmp_path: Path) -> None:
    """Config files are often links into a repository of dotfiles."""
    real = tmp_path / "dotfiles.toml"
    real.write_text("# here\n")
    file.parent.mkdir()
    file.symlink_to(real)
    Preferences(file).keep({"theme": "nord"})
    assert file.is_symlink() and "nord" in real.read_text() and "# here" in real.read_text()


@pytest.mark.parametrize("text", ["theme = ", "settings = 3"])
def test_a_broken_file_is_not_overwritten(file: Path, text: str) -> None:
    preferences = write(file, text)
    with pytest.raises(ConfigError, match="could not be written"):
        preferences.keep({"temperature": 0.9})
    assert file.read_text() == text


def test_only_what_differs_from_the_defaults_is_written() -> None:
    before = GenerationSettings(temperature=0.5, seed=3)
    after = dataclasses.replace(before, temperature=0.0, top_p=0.9, seed=None)
    assert changed(before, after) == {"temperature": None, "top_p": 0.9, "seed": None}


async def test_changes_are_kept_for_the_next_run(file: Path) -> None:
    async with chatting(preferences=Preferences.read(file)) as chat:
        await chat.type("/set temperature 0.25")
        await chat.type("/theme")
        assert chat.app.theme == LIGHT.name
        chat.app.writer.flush()
    async with chatting(preferences=Preferences.read(file)) as chat:
        assert chat.app.conversation.settings.temperature == 0.25 and chat.app.theme == LIGHT.name
        assert chat.notes == []


async def test_a_run_that_changes_nothing_writes_nothing(file: Path) -> None:
    async with chatting(preferences=Preferences.read(file)) as chat:
        await chat.say("hello")
        chat.app.writer.flush()
    assert not file.exists()


async def test_the_app_starts_in_spite_of_mistakes_and_says_them(file: Path) -> None:
    preferences = write(file, 'theme = "mauve"\n[settings]\ntemperature = "hot"\n[keys]\nfly = "f9"\n')
    async with chatting(preferences=preferences, size=(160, 40)) as chat:
        assert len(chat.notes) == 3
        for words in ("there is no theme 'mauve'", "temperature must be", "there is no action 'fly'"):
            assert any(words in note and "config.toml" in note for note in chat.notes)
        assert chat.app.conversation.settings == GenerationSettings()


def test_the_report_is_a_config_file_that_says_the_same(file: Path, tmp_path: Path) -> None:
    preferences = write(file, GOOD)
    lines, problems = effective(file)
    assert problems == [] and lines[0] == f"# {file}"
    copy = tmp_path / "copy.toml"
    copy.write_text("\n".join(lines))
    again = Preferences.read(copy)
    assert again.problems == () and again.settings == preferences.settings and again.theme == preferences.theme
    assert again.keys["settings"] == "f10" and again.keys["send"] == "f12,f9" and again.keys["stop"] == "escape"
