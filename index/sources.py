"""The thumbnail of a picture, from a file or from the web; fetched ones are kept in the user's cache."""

from __future__ import annotations

import hashlib
import http.client
import io
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from PIL import Image

from index.errors import ImageError, reason
from index.files import write_bytes
from index.images import bound_short_side, is_url, make_thumbnail, open_image, sanitize
from index.paths import cache_folder

MAX_BYTES = 20_000_000
TIMEOUT = 5.0
"""Seconds without an answer before giving up."""
DEADLINE = 10.0
"""Seconds for a whole picture."""
GONE_FOR = 600.0
"""Seconds before a URL that failed is tried again."""

_BLOCK = 1 << 16
_HEADERS = {"User-Agent": "fromage-lite", "Accept": "image/*", "Accept-Encoding": "identity"}
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
        raise ImageError(f"{_short(source)} couldn't be fetched a moment ago.")
    try:
        thumbnail = make_thumbnail(bound_short_side(_opened(source, fetch(source))))
    except ImageError:
        _failed[source] = time.monotonic()
        raise
    try:
        write_bytes(kept, thumbnail)
    except OSError:  # a full or read-only disk must not lose the picture
        pass
    return thumbnail


def fetch(url: str) -> bytes:
    """What is at a URL, within `MAX_BYTES` and `DEADLINE`.

    Only http and https, after a redirection too; proxies are taken from the environment.

    Raises:
        ImageError: it can't be fetched.
    """
    name = _short(url)
    end = time.monotonic() + DEADLINE
    try:
        request = urllib.request.Request(_quoted(url), headers=_HEADERS)
        with _opener().open(request, timeout=TIMEOUT) as response:
            if int(response.headers.get("Content-Length") or 0) > MAX_BYTES:
                raise ImageError(f"{name} is larger than {MAX_BYTES // 10**6} MB.")
            data = io.BytesIO()
            while block := response.read1(_BLOCK):
                data.write(block)
                if data.tell() > MAX_BYTES:
                    raise ImageError(f"{name} is larger than {MAX_BYTES // 10**6} MB.")
                if time.monotonic() > end:
                    raise ImageError(f"{name} answers too slowly.")
            return data.getvalue()
    except urllib.error.HTTPError as error:
        raise ImageError(f"{name} is gone (the server says {error.code}).") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        why = reason(cause) if isinstance(cause, BaseException) else cause
        raise ImageError(f"{name} can't be fetched: {sanitize(why)}.") from error


def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()  # `build_opener` would read files and FTP, too
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _opened(url: str, data: bytes) -> Image.Image:
    try:
        return open_image(data)
    except ImageError as error:  # of bytes it says only "The picture"
        raise ImageError(f"{_short(url)} is not a picture that can be read.", error.hint) from error


def _kept_at(url: str) -> Path:
    name = hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
    return cache_folder() / "pictures" / name[:2] / f"{name}.jpg"


def _quoted(url: str) -> str:
    """The URL with blanks and letters beyond ASCII percent-encoded; what is encoded already stays so."""
    return urllib.parse.quote(url.strip(), safe="%/:=&?~#+!$,;'@()*[]")


def _short(url: str) -> str:
    return sanitize(url if len(url) <= 100 else f"{url[:97]}…")
