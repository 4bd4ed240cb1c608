"""The user's config file: read leniently, so that no mistake in it keeps the app from starting; written with care."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from fromage_lite.config import GenerationSettings
from fromage_lite.errors import ConfigError, FromageError
from index.errors import reason
from index.files import write_bytes
from tui.pictures.image_mode import CHOICES

SECTIONS = ("theme", "images", "follow_pictures", "settings", "keys")
DEFAULTS = GenerationSettings()
LOCK_SECONDS = 5.0
DEFAULT_FOLLOW = True


@dataclass(frozen=True)
class Preferences:
    """What the config file says, as far as it makes sense.

    Attributes:
        path: the file; None keeps nothing.
        settings: how replies are made.
        keys: keys by binding id, several with commas.
        theme: a theme's name; empty for the terminal's choice.
        images: how pictures are drawn; empty for the terminal's choice.
        follow_pictures: whether the model is changed for the one that is for the pictures of a message.
        problems: one sentence for everything that was left aside.
    """

    path: Path | None = None
    settings: GenerationSettings = DEFAULTS
    keys: Mapping[str, str] = field(default_factory=dict)
    theme: str = ""
    images: str = ""
    follow_pictures: bool = DEFAULT_FOLLOW
    problems: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Preferences:
        """What is in the file; what can't work there becomes a problem and keeps its default."""
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(path)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            return cls(path, problems=(f"{path} can't be read ({reason(error)}); the defaults are used.",))
        return _Reader(path).preferences(data)

    def keep(self, changes: Mapping[str, object]) -> None:
        """Writes values into the file; comments and everything else in it stay.

        Args:
            changes: values by name: `theme`, `images`, `follow_pictures` or a setting. None takes a name out of the
                file.

        Raises:
            ConfigError: the file can't be written, or isn't valid, and then it is left as it is.
        """
        if self.path is None or not changes:
            return
        from filelock import FileLock
        from tomlkit.exceptions import TOMLKitError

        path = self.path.resolve()  # a link stays one
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Another app may be about to write what it has read before this change.
            with FileLock(path.with_suffix(".lock"), timeout=LOCK_SECONDS):
                write_bytes(path, _with_changes(path, changes).encode())
        except (OSError, UnicodeDecodeError, TOMLKitError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"{self.path} could not be written ({reason(error)}), so the change holds until you leave.",
                "Correct the file or its permissions.",
            ) from error


def _with_changes(path: Path, changes: Mapping[str, object]) -> str:
    """The file's text with these values in it."""
    import tomlkit

    document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.exists() else tomlkit.document()
    for name, value in changes.items():
        table: Any = document
        if name not in SECTIONS:
            table = document.setdefault("settings", tomlkit.table())
        if value is None:
            table.pop(name, None)
        else:
            table[name] = value
    return tomlkit.dumps(document)


def changed(before: GenerationSettings, after: GenerationSettings) -> dict[str, object]:
    """What to keep of a change of settings: a value that is the default is not written down."""
    names = [entry.name for entry in fields(before)]
    differing = [name for name in names if getattr(before, name) != getattr(after, name)]
    return {
        name: None if getattr(after, name) == getattr(DEFAULTS, name) else getattr(after, name) for name in differing
    }


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._problems: list[str] = []

    def preferences(self, data: Mapping[str, Any]) -> Preferences:
        for name in data:
            if name not in SECTIONS:
                self._complain(f"there is no option '{name}'; the options are {', '.join(SECTIONS)}")
        return Preferences(
            self._path,
            settings=self._settings(self._table(data, "settings")),
            keys=self._keys(self._table(data, "keys")),
            theme=self._text(data, "theme"),
            images=self._images(data),
            follow_pictures=self._switch(data, "follow_pictures", DEFAULT_FOLLOW),
            problems=tuple(self._problems),
        )

    def _complain(self, words: str) -> None:
        self._problems.append(f"{self._path}: {words}.")

    def _table(self, data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        table = data.get(name, {})
        if isinstance(table, Mapping):
            return table
        self._complain(f"'{name}' must be a section, [{name}]")
        return {}

    def _text(self, data: Mapping[str, Any], name: str) -> str:
        value = data.get(name, "")
        if isinstance(value, str):
            return value
        self._complain(f"'{name}' must be a text in quotes")
        return ""

    def _switch(self, data: Mapping[str, Any], name: str, default: bool) -> bool:
        value = data.get(name, default)
        if isinstance(value, bool):
            return value
        self._complain(f"'{name}' must be true or false")
        return default

    def _images(self, data: Mapping[str, Any]) -> str:
        value = self._text(data, "images").lower()
        if value in ("", *CHOICES):
            return value
        self._complain(f"'images' must be one of {', '.join(CHOICES)}, not '{value}'")
        return ""

    def _settings(self, table: Mapping[str, Any]) -> GenerationSettings:
        settings = DEFAULTS
        names = {entry.name for entry in fields(settings)}
        for name, value in table.items():
            if name not in names:
                self._complain(f"[settings] there is no setting '{name}'")
                continue
            try:
                settings = replace(settings, **{name: value})
            except (FromageError, TypeError) as error:
                words = error.message if isinstance(error, FromageError) else f"{name} is of the wrong type"
                self._complain(f"[settings] {words.rstrip('.')}")
        return settings

    def _keys(self, table: Mapping[str, Any]) -> dict[str, str]:
        keys = {}
        for name, value in table.items():
            values = [value] if isinstance(value, str) else value
            if isinstance(values, list) and values and all(isinstance(key, str) and key.strip() for key in values):
                keys[name] = ",".join(key.strip() for key in values)
            else:
                self._complain(f"[keys] '{name}' must be a key in quotes, or a list of them")
        return keys
