"""Changes one setting by its name, as `/set` and the panel of settings do."""

from __future__ import annotations

import dataclasses
import types
import typing
from difflib import get_close_matches
from typing import Any

from fromage_lite.config import GenerationSettings
from fromage_lite.errors import ConfigError


def change_setting(settings: GenerationSettings, argument: str) -> GenerationSettings:
    """The settings with `NAME VALUE` applied.

    Raises:
        ConfigError: there is no such setting, or it can't have this value.
    """
    name, _, value = argument.replace("=", " ", 1).partition(" ")
    name, value = name.strip().replace("-", "_"), value.strip()
    hints = typing.get_type_hints(GenerationSettings)
    if name not in hints:
        close = get_close_matches(name, hints, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"The settings are {', '.join(hints)}."
        raise ConfigError(f"There is no setting '{name}'.", hint)
    if not value:
        raise ConfigError(f"{name} is {getattr(settings, name)}.", f"To change it: /set {name} VALUE.")
    changes: dict[str, Any] = {name: _value(value, hints[name])}
    return dataclasses.replace(settings, **changes)


def read_switch(argument: str) -> bool:
    """The value of `NAME VALUE` where it can be true or false only.

    Raises:
        ConfigError: it is something else.
    """
    name, _, value = argument.replace("=", " ", 1).partition(" ")
    if value.strip().lower() in {"true", "yes", "on"}:
        return True
    if value.strip().lower() in {"false", "no", "off"}:
        return False
    raise ConfigError(f"{name} must be true or false.", f"/set {name} false")


def _value(text: str, hint: Any) -> Any:
    """The text as the type that the setting has; as it is where it can't be (the settings say what is wrong)."""
    choices = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(None) in choices and text.lower() in {"none", "off", "null"}:
        return None
    for kind in (int, float):
        if kind in choices:
            try:
                return kind(text)
            except ValueError:
                continue
    return text
