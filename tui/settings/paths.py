"""Where the app keeps things: the folders of the XDG standard, or what the platform has in their place."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from index.paths import NAME


def config_file() -> Path:
    """What the user sets: `$XDG_CONFIG_HOME/fromage-lite/config.toml`."""
    return Path(platformdirs.user_config_dir(NAME, appauthor=False)) / "config.toml"


def state_dir() -> Path:
    """What the app remembers between runs: the history of prompts, the last folder."""
    return Path(platformdirs.user_state_dir(NAME, appauthor=False))


def sessions_file() -> Path:
    """The conversations: `$XDG_DATA_HOME/fromage-lite/sessions.db`."""
    return Path(platformdirs.user_data_dir(NAME, appauthor=False)) / "sessions.db"
