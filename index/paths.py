"""Where the program keeps what it can make or fetch again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import platformdirs

NAME = "fromage-lite"


def pictures_folder() -> Path | None:
    """The user's folder of pictures (`user-dirs.dirs`, `$XDG_PICTURES_DIR`, else `~/Pictures`); None if there is none,
    or if it is the home folder itself, as some systems have it."""
    folder = Path(platformdirs.user_pictures_dir())
    try:
        return folder if folder.is_dir() and folder.resolve() != Path.home().resolve() else None
    except (OSError, RuntimeError):
        return None


def index_of(pictures: Path | Sequence[Path], model: str) -> Path:
    """Where the chat keeps its index of pictures for a model, there or not.

    Args:
        pictures: an absolute folder or file, or several.
        model: the model's name, the same from everywhere.
    """
    home = Path(platformdirs.user_data_dir(NAME, appauthor=False)) / "indexes"
    paths = [pictures] if isinstance(pictures, Path) else pictures
    return home / _named("\n".join(map(str, paths))) / _named(model)


def _named(path: str) -> str:
    """A folder name that tells this path from all others and is readable."""
    readable = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in Path(path).name)
    mark = hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{readable[:40].strip('.') or 'root'}-{mark}"


def cache_folder() -> Path:
    """The user's cache folder, `$XDG_CACHE_HOME/fromage-lite` or what the platform has in its place; not made here.

    Thumbnails fetched from the web, the playground's pictures and features, and what was pasted or piped into a chat.
    """
    return Path(platformdirs.user_cache_dir(NAME, appauthor=False))


def shortened(path: Path) -> str:
    """A path as people write it: `~` for the home folder."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) and path != home else str(path)
