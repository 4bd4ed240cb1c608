"""A picture by its source, a file or a web address, as a thumbnail; what was fetched is kept in the user's cache."""

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
"""Seconds without an answer, after which an address is given up."""
DEADLINE = 10.0
"""Seconds for a whole picture."""
GONE_FOR = 600.0
"""Seconds during which an address that failed is not asked again."""

_BLOCK = 1 << 16
_HEADERS = {"User-Agent": "fromage-lite", "Accept": "image/*", "Accept-Encoding": "identity"}
_failed: dict[str, float] = {}  # address -> when


def picture_thumbnail(source: str) -> bytes:
    """A small picture (JPEG, at most 256 x 256) of a file or a web address.

    An address is asked once: its thumbnail is kept in the user's cache folder.

    Raises:
        ImageError: the file or the page is gone, too large, or no picture; or the network is.
    """
    if not is_url(source):
        return make_thumbnail(bound_short_side(open_image(source)))
    kept = _kept_at(source)
    try:
        return kept.read_bytes()
    except OSError:
        pass
    if time.monotonic() - _failed.get(source, -GONE_FOR) < GONE_FOR:
        raise ImageError(f"{_short(source)} could not be fetched a moment ago.")
    try:
        thumbnail = make_thumbnail(bound_short_side(_opened(source, fetch(source))))
    except ImageError:
        _failed[source] = time.monotonic()
        raise
    try:
        write_bytes(kept, thumbnail)
    except OSError:  # a full or read-only disk must not cost the picture
        pass
    return thumbnail


def fetch(address: str) -> bytes:
    """What a web address gives, within `MAX_BYTES` and `DEADLINE`.

    Only http and https are spoken, after a redirection too; proxies are taken from the environment.

    Raises:
        ImageError: it can't be had.
    """
    name = _short(address)
    end = time.monotonic() + DEADLINE
    try:
        request = urllib.request.Request(_quoted(address), headers=_HEADERS)
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


def _opened(address: str, data: bytes) -> Image.Image:
    try:
        return open_image(data)
    except ImageError as error:  # of bytes it says only "The picture"
        raise ImageError(f"{_short(address)} gives no picture that can be read.", error.hint) from error


def _kept_at(address: str) -> Path:
    name = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()
    return cache_folder() / "pictures" / name[:2] / f"{name}.jpg"


def _quoted(address: str) -> str:
    """The address with blanks and letters beyond ASCII written as a request needs them; what is quoted stays so."""
    return urllib.parse.quote(address.strip(), safe="%/:=&?~#+!$,;'@()*[]")


def _short(address: str) -> str:
    return sanitize(address if len(address) <= 100 else f"{address[:97]}…")
