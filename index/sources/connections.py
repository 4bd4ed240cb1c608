"""Connections to public addresses only, for http and https.

Addresses come out of tables that anybody may have written, so that they must not reach what only this computer can
reach: a router's page, a service on localhost, a cloud's metadata. A name is looked up once, what it stands for is
checked, and the connection goes to the very address that was checked; so also after each redirect.
"""

from __future__ import annotations

import http.client
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

from index.text import sanitize

TIMEOUT = 5.0
"""Seconds without an answer before giving up."""
DEADLINE = 10.0
"""Seconds for a whole picture."""
ALLOW_PRIVATE = "FROMAGE_PRIVATE_ADDRESSES"
"""An environment variable: with `1` addresses of the own computer and network may be fetched, too."""

HEADERS = {"User-Agent": "fromage-lite", "Accept": "image/*", "Accept-Encoding": "identity"}

_SHARED = ipaddress.ip_network("100.64.0.0/10")  # of providers; not "private" by Python's word, and not public either


class RefusedAddress(Exception):
    """An address that is not public; its text says which and why."""


def host_of(url: str) -> str:
    """The server that an address names, lower case; "" for none."""
    try:
        return (urllib.parse.urlsplit(url.strip()).hostname or "").lower()
    except ValueError:
        return ""


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
        RefusedAddress: none of its addresses is public.
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


def _refusal(host: str, address: str) -> RefusedAddress:
    name = "it" if host == address else sanitize(host)
    return RefusedAddress(f"{name} is at {address}, which is not a public address")


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


class Request(urllib.request.Request):
    """What is asked for at a web address.

    Attributes:
        is_proxied: whether a proxy of the environment is asked for it.
        end: when the whole answer must be there, `DEADLINE` from now, on the monotonic clock.
    """

    is_proxied = False

    def __init__(self, url: str) -> None:
        super().__init__(url, headers=HEADERS)
        self.end = time.monotonic() + DEADLINE

    def set_proxy(self, host: str, type: str) -> None:
        super().set_proxy(host, type)
        self.is_proxied = True


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: urllib.request.Request, *arguments: Any) -> Request | None:
        following = super().redirect_request(req, *arguments)
        if following is None:
            return None
        request = Request(following.full_url)
        request.end = req.end if isinstance(req, Request) else request.end
        return request


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        if isinstance(request, Request) and request.is_proxied:
            return self.do_open(http.client.HTTPConnection, request)
        return self.do_open(_Connection, request, end=_end_of(request))


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        if isinstance(request, Request) and request.is_proxied:
            return self.do_open(http.client.HTTPSConnection, request)
        return self.do_open(_SecureConnection, request, end=_end_of(request))


def _end_of(request: urllib.request.Request) -> float:
    return request.end if isinstance(request, Request) else time.monotonic() + DEADLINE


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


def opener() -> urllib.request.OpenerDirector:
    """What opens a `Request`: through proxies of the environment, else by connections to public addresses.

    Its `open` raises an `OSError`, a `ValueError`, an `HTTPException` or `RefusedAddress`.
    """
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
