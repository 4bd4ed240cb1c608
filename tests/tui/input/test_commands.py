"""The command table, completion and settings."""

from __future__ import annotations

import pytest

from fromage_lite.config import GenerationSettings
from fromage_lite.errors import ConfigError
from tui.input.commands import COMMANDS, change_setting, complete, find_command, parse_command, similar
from tui.screens.chat import ChatScreen


def test_commands_and_paths_are_told_apart() -> None:
    assert parse_command("/image a b.png") == ("image", "a b.png")
    assert parse_command("  /Undo ") == ("undo", "")
    for text in ("hello", "/home/me/cat.png", "/cat.png what is this?", "/", "// no", "1/2"):
        assert parse_command(text) is None, text


def test_every_command_has_a_method_and_a_name_of_its_own() -> None:
    names = [name for command in COMMANDS for name in (command.name, *command.aliases)]
    assert len(names) == len(set(names))
    assert all(hasattr(ChatScreen, f"command_{command.name}") for command in COMMANDS)
    assert find_command("retry") is find_command("regenerate")


def test_completion_gives_what_is_missing() -> None:
    assert complete("/reg") == "enerate"
    assert complete("/im") == "age "
    assert complete("/undo") == ""
    assert complete("/zzz") == complete("hello") == complete("/") == complete("/image x") == ""


def test_a_slip_of_the_finger_gets_a_hint() -> None:
    assert similar("undp") == "Did you mean /undo?"
    assert similar("xyz") == "/help lists the commands."


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("temperature 0.7", "temperature", 0.7),
        ("temperature 1", "temperature", 1.0),
        ("max-new-tokens=12", "max_new_tokens", 12),
        ("ret_mode always", "ret_mode", "always"),
        ("ret_mode off", "ret_mode", "off"),
        ("score_threshold 0.2", "score_threshold", 0.2),
        ("score_threshold none", "score_threshold", None),
        ("seed 7", "seed", 7),
    ],
)
def test_settings_are_read_by_their_type(argument: str, name: str, value: object) -> None:
    changed = change_setting(GenerationSettings(score_threshold=0.5, ret_mode="auto"), argument)
    assert getattr(changed, name) == value


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("temprature 1", "temperature"),
        ("temperature", "temperature is 0.0"),
        ("temperature hot", "temperature must be"),
        ("top_p 2", "top_p must be"),
        ("max_new_tokens 1.5", "max_new_tokens must be"),
        ("ret_mode maybe", "ret_mode must be"),
    ],
)
def test_a_bad_setting_says_what_is_wrong(argument: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        change_setting(GenerationSettings(), argument)
    assert words in str(caught.value)
