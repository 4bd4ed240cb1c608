"""Where the program keeps what it can make or fetch again."""

from __future__ import annotations

from pathlib import Path

import platformdirs

NAME = "fromage-lite"


def cache_folder() -> Path:
    """The user's cache folder, `$XDG_CACHE_HOME/fromage-lite` or what the platform has in its place; not made here.

    Thumbnails fetched from the web, the playground's pictures and features, and what was pasted or piped into a chat.
    """
    return Path(platformdirs.user_cache_dir(NAME, appauthor=False))
