"""Downloading the pictures of a table of addresses: politely, within limits, several at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from index.errors import TemporaryImageError
from index.sources.connections import host_of
from index.sources.web import BusyServerError, fetch, short_address

LONGEST_WAIT = 10.0
"""Seconds that a server may ask for; what it would then still refuse the next run tries again."""
_MOST_HOSTS = 100_000  # remembered


@dataclass(frozen=True)
class DownloadLimits:
    """How hard other people's servers are asked.

    Attributes:
        at_once: pictures that are fetched at the same time, of all servers.
        per_host: requests that one server gets in a second.
        total_bytes: after so many the run fetches nothing more; 0 for no end.
    """

    at_once: int = 32
    per_host: float = 5.0
    total_bytes: int = 0


class Downloader:
    """Fetches pictures, each once; safe to use from several threads.

    Args:
        limits: how fast and how much.
        get: gives the bytes at an address, as `index.sources.web.fetch`.
        clock: seconds, never going back.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        limits: DownloadLimits = DownloadLimits(),
        get: Callable[[str], bytes] = fetch,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.limits = limits
        self.bytes = 0
        self._get, self._clock, self._sleep = get, clock, sleep
        self._next: dict[str, float] = {}  # server -> when it may be asked again
        self._lock = threading.Lock()

    def __call__(self, url: str) -> bytes:
        """The bytes at an address, when it is its server's turn.

        Raises:
            ImageError: it can't be fetched.
            TemporaryImageError: it may be fetched at another time; or the limit of the run is reached.
        """
        limit = self.limits.total_bytes
        if limit and self.bytes >= limit:
            raise TemporaryImageError(
                f"{short_address(url)} is not fetched: this run's limit of {limit / 1e9:g} GB is reached.",
                "The same command goes on.",
                "limit of the run",
            )
        host = host_of(url)
        self._sleep(self._turn(host))
        try:
            data = self._get(url)
        except BusyServerError as error:
            self._hold_off(host, min(error.seconds, LONGEST_WAIT))
            raise
        with self._lock:
            self.bytes += len(data)
        return data

    def _turn(self, host: str) -> float:
        """Seconds to wait for the next turn at a server, which is taken."""
        with self._lock:
            now = self._clock()
            if len(self._next) >= _MOST_HOSTS:
                self._next = {name: at for name, at in self._next.items() if at > now}
            turn = max(now, self._next.get(host, now))
            self._next[host] = turn + 1 / self.limits.per_host
            return turn - now

    def _hold_off(self, host: str, seconds: float) -> None:
        with self._lock:
            self._next[host] = max(self._next.get(host, 0.0), self._clock() + seconds)
