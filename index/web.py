"""Fetching a picture from the web: http and https only, from public addresses only, within limits of size and time.

Addresses come out of tables that anybody may have written, so that they must not reach what only this computer can
reach: a router's page, a service on localhost, a cloud's metadata. A name is looked up once, what it stands for is
checked, and the connection goes to the very address that was checked; so also after each redirect.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import os
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from functools import cache
from typing import Any

from index.errors import ImageError, TemporaryImageError, reason
from index.text import sanitize

MAX_BYTES = 20_000_000
TIMEOUT = 5.0
"""Seconds without an answer before giving up."""
DEADLINE = 10.0
"""Seconds for a whole picture."""
ALLOW_PRIVATE = "FROMAGE_PRIVATE_ADDRESSES"
"""An environment variable: with `1` addresses of the own computer and network may be fetched, too."""

_BLOCK = 1 << 16
_HEADERS = {"User-Agent": "fromage-lite", "Accept": "image/*", "Accept-Encoding": "identity"}
_TEMPORARY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_SHARED = ipaddress.ip_network("100.64.0.0/10")  # of providers; not "private" by Python's word, and not public either


class BusyServerError(TemporaryImageError):
    """A server that asks for patience.

    Attributes:
        seconds: how long; 0 if it does not say.
    """

    def __init__(self, message: str, cause: str, seconds: float) -> None:
        super().__init__(message, cause=cause)
        self.seconds = seconds


class _RefusedAddress(Exception):
    """Its text says which and why."""


def fetch(url: str) -> bytes:
    """What is at a web address, within `MAX_BYTES` and `DEADLINE`.

    Only http and https, and only public addresses, after a redirection too; proxies are taken from the environment and
    are trusted.

    Raises:
        ImageError: it can't be fetched.
        TemporaryImageError: it may be fetched at another time.
    """
    name = short_address(url)
    end = time.monotonic() + DEADLINE
    try:
        request = _Request(_quoted(url), headers=_HEADERS)
        request.end = end
        with _opener().open(request, timeout=TIMEOUT) as response:
            return _body(response, name, end)
    except urllib.error.HTTPError as error:
        raise _status_error(error, name) from error
    except (OSError, ValueError, http.client.HTTPException, _RefusedAddress) as error:
        raise _failure(error, name) from error


def host_of(url: str) -> str:
    """The server that an address names, lower case; "" for none."""
    try:
        return (urllib.parse.urlsplit(url.strip()).hostname or "").lower()
    except ValueError:
        return ""


def short_address(url: str) -> str:
    """An address for a sentence: sanitised, at most 100 characters."""
    return sanitize(url if len(url) <= 100 else f"{url[:97]}…")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet: not private, loopback, link-local, multicast or reserved.

    IPv4 addresses that are written inside IPv6 (mapped, 6to4, Teredo, NAT64) are looked at themselves.
    """
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in ipaddress.ip_network("64:ff9b::/96"):
            inner.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        elif ip.ipv4_mapped is None and (ip.is_multicast or not ip.is_global):
            return False
        return all(is_public(str(part)) for part in inner if part is not None)
    return ip.is_global and not ip.is_multicast and ip not in _SHARED


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
    if isinstance(cause, _RefusedAddress):
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


# --- connections ---


class _Socket(socket.socket):
    """Ends a conversation at `end`: a server that sends a byte now and then keeps within every timeout."""

    end = float("inf")

    def recv_into(self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0) -> int:  # type: ignore[override]
        self.settimeout(_patience(self.end))
        return super().recv_into(buffer, nbytes, flags)


class _SecureSocket(ssl.SSLSocket):
    """As `_Socket`."""

    end = float("inf")

    def recv_into(self, buffer: bytearray | memoryview, nbytes: int | None = None, flags: int = 0) -> int:  # type: ignore[override]
        self.settimeout(_patience(self.end))
        return super().recv_into(buffer, nbytes, flags)


def _patience(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError(f"no answer within {DEADLINE:g} seconds")
    return min(left, TIMEOUT)


def _connect(host: str, port: int, end: float) -> _Socket:
    """A connection to a public address of a host, until `end`; of several to the first that answers.

    Raises:
        OSError: the name is unknown, or nothing answers in time.
        _RefusedAddress: none of its addresses is public.
    """
    last: OSError | None = None
    refused = ""
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not (_allows_private() or is_public(str(address[0]))):
            refused = str(address[0])
            continue
        connection = _Socket(family, kind, protocol)
        try:
            connection.settimeout(_patience(end))
            connection.connect(address)
            connection.end = end
            return connection
        except OSError as error:
            connection.close()
            last = error
    if last is None and refused:
        raise _refusal(host, refused)
    raise last or OSError(f"{host} has no address")


def _refusal(host: str, address: str) -> _RefusedAddress:
    name = "it" if host == address else sanitize(host)
    return _RefusedAddress(f"{name} is at {address}, which is not a public address")


def _allows_private() -> bool:
    return os.environ.get(ALLOW_PRIVATE, "") == "1"


class _Connection(http.client.HTTPConnection):
    def __init__(self, host: str, *, end: float = float("inf"), **options: Any) -> None:
        super().__init__(host, **options)
        self._end = end

    def connect(self) -> None:
        self.sock = _connect(self.host, self.port, self._end)


class _SecureConnection(http.client.HTTPSConnection):
    def __init__(self, host: str, *, end: float = float("inf"), **options: Any) -> None:
        super().__init__(host, **options)
        self._end = end

    def connect(self) -> None:
        raw = _connect(self.host, self.port, self._end)
        try:
            secure = _tls().wrap_socket(raw, server_hostname=self.host)
        except BaseException:
            raw.close()
            raise
        if isinstance(secure, _SecureSocket):
            secure.end = raw.end
        self.sock = secure


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.sslsocket_class = _SecureSocket
    return context


class _Request(urllib.request.Request):
    is_proxied = False
    end = float("inf")

    def set_proxy(self, host: str, type: str) -> None:
        super().set_proxy(host, type)
        self.is_proxied = True


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: urllib.request.Request, *arguments: Any) -> _Request | None:
        following = super().redirect_request(req, *arguments)
        if following is None:
            return None
        request = _Request(following.full_url, headers=_HEADERS)
        request.end = req.end if isinstance(req, _Request) else request.end
        return request


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        if isinstance(request, _Request) and request.is_proxied:
            return self.do_open(http.client.HTTPConnection, request)
        return self.do_open(_Connection, request, end=_end_of(request))


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        if isinstance(request, _Request) and request.is_proxied:
            return self.do_open(http.client.HTTPSConnection, request)
        return self.do_open(_SecureConnection, request, end=_end_of(request))


def _end_of(request: urllib.request.Request) -> float:
    return request.end if isinstance(request, _Request) else time.monotonic() + DEADLINE


class _Proxies(urllib.request.ProxyHandler):
    """The proxies of the environment, which are trusted. They look names up themselves; but an address that can be seen
    here not to be public is not handed to them."""

    def proxy_open(self, req: urllib.request.Request, proxy: str, type: str) -> Any:
        if not _allows_private() and not urllib.request.proxy_bypass(req.host):
            host = host_of(req.full_url)
            for address in _addresses(host):
                if not is_public(address):
                    raise _refusal(host, address)
        return super().proxy_open(req, proxy, type)


def _addresses(host: str) -> list[str]:
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, None)]
    except (OSError, ValueError):  # behind some proxies names can't be looked up
        return []


def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()  # `build_opener` would read files and FTP, too
    for handler in (
        _Proxies,
        _Http,
        _Https,
        urllib.request.HTTPDefaultErrorHandler,
        _Redirects,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _quoted(url: str) -> str:
    """The URL with blanks and letters beyond ASCII percent-encoded; what is encoded already stays so."""
    return urllib.parse.quote(url.strip(), safe="%/:=&?~#+!$,;'@()*[]")
