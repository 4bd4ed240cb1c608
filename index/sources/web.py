"""Fetching a picture from the web: http and https only, from public addresses only (`sources.connections`), within
limits of size and time."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request

from index.errors import ImageError, TemporaryImageError, reason
from index.sources.connections import ALLOW_PRIVATE, TIMEOUT, RefusedAddress, Request, opener
from index.text import sanitize

MAX_BYTES = 20_000_000
_BLOCK = 1 << 16
_TEMPORARY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


class BusyServerError(TemporaryImageError):
    """A server that asks for patience.

    Attributes:
        seconds: how long; 0 if it does not say.
    """

    def __init__(self, message: str, cause: str, seconds: float) -> None:
        super().__init__(message, cause=cause)
        self.seconds = seconds


def fetch(url: str) -> bytes:
    """What is at a web address, within `MAX_BYTES` and `index.sources.connections.DEADLINE`.

    Only http and https, and only public addresses, after a redirection too; proxies are taken from the environment and
    are trusted.

    Raises:
        ImageError: it can't be fetched.
        TemporaryImageError: it may be fetched at another time.
    """
    name = short_address(url)
    try:
        request = Request(_quoted(url))
        with opener().open(request, timeout=TIMEOUT) as response:
            return _body(response, name, request.end)
    except urllib.error.HTTPError as error:
        raise _status_error(error, name) from error
    except (OSError, ValueError, http.client.HTTPException, RefusedAddress) as error:
        raise _failure(error, name) from error


def short_address(url: str) -> str:
    """An address for a sentence: sanitised, at most 100 characters."""
    return sanitize(url if len(url) <= 100 else f"{url[:97]}…")


def _body(response: http.client.HTTPResponse, name: str, end: float) -> bytes:
    too_large = ImageError(f"{name} is larger than {MAX_BYTES // 10**6} MB.", cause="too large")
    if response.length is not None and response.length > MAX_BYTES:  # as the header promises
        raise too_large
    data = io.BytesIO()
    while block := response.read1(_BLOCK):
        data.write(block)
        if data.tell() > MAX_BYTES:
            raise too_large
        if time.monotonic() > end:
            raise TemporaryImageError(f"{name} answers too slowly.", cause="too slow")
    return data.getvalue()


def _status_error(error: urllib.error.HTTPError, name: str) -> ImageError:
    cause = f"HTTP {error.code}"
    if error.code not in _TEMPORARY_STATUS:
        return ImageError(f"{name} is gone (the server says {error.code}).", cause=cause)
    wait = (error.headers.get("Retry-After") or "") if error.headers else ""
    seconds = float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 7 else 0.0
    return BusyServerError(f"{name} is not to be had now (the server says {error.code}).", cause, seconds)


def _failure(error: Exception, name: str) -> ImageError:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, RefusedAddress):
        why = f"{cause} ({ALLOW_PRIVATE}=1 allows it)"
        return TemporaryImageError(f"{name} is not fetched: {why}.", cause="address that is not public")
    why = sanitize(reason(cause) if isinstance(cause, BaseException) else str(cause))
    message = f"{name} can't be fetched: {why}."
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ImageError(message, cause="bad certificate")
    if isinstance(
        cause, socket.gaierror
    ):  # without a network each name fails, so that nothing follows from one failure
        return TemporaryImageError(message, cause="no such server")
    if isinstance(cause, TimeoutError):
        return TemporaryImageError(message, cause="too slow")
    if isinstance(cause, OSError):
        return TemporaryImageError(message, cause=why)
    is_answer = isinstance(cause, http.client.HTTPException) and not isinstance(cause, http.client.InvalidURL)
    return ImageError(message, cause="no proper answer" if is_answer else "bad address")


def _quoted(url: str) -> str:
    """The URL with blanks and letters beyond ASCII percent-encoded; what is encoded already stays so."""
    return urllib.parse.quote(url.strip(), safe="%/:=&?~#+!$,;'@()*[]")
