"""Dataclasses that are read strictly and documented under each field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import pytest

from fromage_lite.config import FromageConfig, GenerationSettings
from fromage_lite.errors import ConfigError
from fromage_lite.plain_data import PlainData, field_docs


@dataclass(frozen=True)
class Wall(PlainData):
    colour: Literal["red", "green", "blue"]
    """What it is painted in,
    from afar."""
    height: float = 2.5
    doors: int | None = None
    """How many."""
    sizes: tuple[int, ...] = ()
    extra: Mapping[str, Any] | None = None

    SUBJECT = "a wall"


def test_json_there_and_back():
    wall = Wall("red", 3, None, (1, 2), {"windows": [1]})
    data = {"colour": "red", "height": 3, "doors": None, "sizes": [1, 2], "extra": {"windows": [1]}}
    assert wall.to_dict() == data
    assert Wall.from_dict(data) == wall


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "pink"}, "colour must be red, green or blue, not 'pink'."),
        ({"height": "3"}, "height must be a number, not '3'."),
        ({"height": True}, "height must be a number, not True."),
        ({"doors": 1.5}, "doors must be a whole number, or left out, not 1.5."),
        ({"sizes": [1, "2"]}, "sizes must be a list, of which each is a whole number, not [1, '2']."),
        ({"sizes": 1}, "sizes must be a list"),
        ({"hight": 3}, "There is no key 'hight' in a wall. Did you mean 'height'?"),
        ({"xyz": 3}, "The known keys are: colour, doors, extra, height, sizes."),
    ],
)
def test_what_is_wrong_is_said_in_words(change, message):
    with pytest.raises(ConfigError) as refused:
        Wall.from_dict({"colour": "red", **change})
    assert message in str(refused.value)


def test_a_missing_key_is_named():
    with pytest.raises(ConfigError, match="The key 'colour' is missing from a wall"):
        Wall.from_dict({})


def test_docstrings_under_fields():
    assert field_docs(Wall) == {"colour": "What it is painted in, from afar.", "doors": "How many."}


def test_every_setting_is_documented():
    assert list(field_docs(GenerationSettings)) == [item.name for item in fields(GenerationSettings)]


def test_types_are_checked_where_a_configuration_is_read():
    names = {"language_model": "x", "vision_encoder": "y"}
    with pytest.raises(ConfigError, match="n_visual_tokens must be a whole number, not '4'"):
        FromageConfig.from_dict({**names, "n_visual_tokens": "4"})
    with pytest.raises(ConfigError, match="text_emb_layers must be a list"):
        FromageConfig.from_dict({**names, "text_emb_layers": -1})
