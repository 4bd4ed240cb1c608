"""`/set NAME VALUE`."""

from __future__ import annotations

import pytest

from fromage_lite.config import GenerationSettings
from fromage_lite.errors import ConfigError
from tui.settings.change import change_setting


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
