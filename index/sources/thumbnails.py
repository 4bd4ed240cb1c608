"""The thumbnail of a picture, from a file or from the web; fetched ones are kept in the user's cache."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from index.errors import ImageError
from index.files import write_bytes
from index.paths import cache_folder
from index.pictures.images import bound_short_side, is_url, make_thumbnail, open_image
from index.sources.web import fetch, short_address

GONE_FOR = 600.0
"""Seconds before a URL that failed is tried again."""

_failed: dict[str, float] = {}  # URL -> when


def picture_thumbnail(source: str) -> bytes:
    """A small picture (JPEG, at most 256 x 256 pixels) of a file or a URL.

    A URL is fetched once: its thumbnail is kept in the user's cache folder.

    Raises:
        ImageError: the file or page is gone, too large or not a picture; or there is no network.
    """
    if not is_url(source):
        return make_thumbnail(bound_short_side(open_image(source)))
    kept = _kept_at(source)
    try:
        return kept.read_bytes()
    except OSError:
        pass
    if time.monotonic() - _failed.get(source, -GONE_FOR) < GONE_FOR:
        raise ImageError(f"{short_address(source)} couldn't be fetched a moment ago.")
    try:
        thumbnail = make_thumbnail(bound_short_side(open_image(fetch(source), short_address(source))))
    except ImageError:
        _failed[source] = time.monotonic()
        raise
    try:
        write_bytes(kept, thumbnail)
    except OSError:  # a full or read-only disk must not lose the picture
        pass
    return thumbnail


def _kept_at(url: str) -> Path:
    name = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
    return cache_folder() / "pictures" / name[:2] / f"{name}.jpg"
