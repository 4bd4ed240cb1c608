"""`fromage-lite serve`: runs the model and the web server, and shuts both down."""

from __future__ import annotations

import asyncio
import errno
import os
import shlex
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from fromage_lite.chat.protocol import ChatAgent
from fromage_lite.errors import ConfigError
from index.errors import reason
from tui.agent_thread import AgentThread
from tui.serving.model_server import GOODBYE_SECONDS, ModelServer
from tui.serving.site import Site

INTERRUPTED = 130
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # the machine may not have IPv6


@dataclass(frozen=True)
class Service:
    """The chat in browsers, from loading the model to the last visitor's goodbye.

    Attributes:
        load: makes the agent that all visitors share.
        sockets: from `bind`; closed at the end.
        host: the host name in the announced address.
        options: what every visitor's chat starts with: `settings`, `save` and `model`.
        log: where visitors' processes log errors.
        announce: gets the address as soon as it can be opened.
    """

    load: Callable[[], ChatAgent]
    sockets: list[socket.socket]
    host: str
    options: Mapping[str, Any]
    log: Path
    announce: Callable[[str], None]

    def run(self) -> None:
        """Serves the chat until Ctrl-C.

        Raises:
            FromageError: the model can't be loaded.
            KeyboardInterrupt: Ctrl-C came while the model was loading.
        """
        thread, code = AgentThread(), INTERRUPTED
        try:
            code = asyncio.run(self._serve(thread))
        finally:
            for open_socket in self.sockets:
                open_socket.close()
        if code and sys.stderr.isatty():
            sys.stderr.write("\n")  # after the status line of the loading
        if thread.working:
            # The agent's thread is deep inside a library; a normal exit would wait for it or abort.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        if code:
            raise KeyboardInterrupt

    async def _serve(self, thread: AgentThread) -> int:
        """Loads the model and serves until a stop signal; returns the exit code."""
        stop = _stop_signal()
        loading = asyncio.ensure_future(thread.run(self.load))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait([loading, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            return INTERRUPTED
        server = ModelServer(loading.result(), thread, self.options)
        with tempfile.TemporaryDirectory(prefix="fromage-") as folder:  # only this user has access
            path = Path(folder) / "model"
            async with server.listening(path):
                site = Site(_command(path, self.log), self.host)
                runner = web.AppRunner(site.application(), access_log=None, shutdown_timeout=GOODBYE_SECONDS)
                await runner.setup()
                try:
                    for listening in self.sockets:
                        await web.SockSite(runner, listening).start()
                    self.announce(address(self.host, self.sockets[0].getsockname()[1]))
                    await stop.wait()
                finally:
                    await runner.cleanup()
        thread.stop()
        return 0


def _stop_signal() -> asyncio.Event:
    """An event that Ctrl-C and similar signals set; a second one ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def handle() -> None:
        if stop.is_set():
            os._exit(INTERRUPTED)
        stop.set()

    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, handle)
    return stop


def _command(path: Path, log: Path) -> str:
    """The shell command of a visitor's process; with `exec`, no shell is left to be killed as well."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    except OSError:  # not writable; the chat works without a log
        log = Path(os.devnull)
    words = [sys.executable, "-m", "tui.serving.visitor", str(path)]
    return f"exec {shlex.join(words)} 2>>{shlex.quote(str(log))}"


def address(host: str, port: int) -> str:
    """The address to open in a browser."""
    if host in ("0.0.0.0", "::", ""):
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on all addresses of a host name, with the same port, so that no other program can get the port
    on one of them.

    Args:
        host: name or address of this machine.
        port: the port; 0 for any free one.

    Raises:
        ConfigError: the port is in use, or this machine has no such name or address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"There is no host {host!r} to listen on.", "Omit --host to use localhost.") from error
    bound: list[socket.socket] = []
    for family, place in dict.fromkeys((family, str(place[0])) for family, *_, place in found):
        try:
            bound.append(socket.create_server((place, port), family=family))
        except OSError as error:
            if error.errno in NOT_HERE:
                continue
            for taken in bound:
                taken.close()
            raise _refused(host, port, error) from error
        port = port or bound[0].getsockname()[1]
    if not bound:
        raise ConfigError(f"{host} is not an address of this machine.", "Omit --host to use localhost.")
    return bound


def _refused(host: str, port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"Port {port} of {host} is in use.", "Choose another: --port NUMBER, or --port 0 for any free one."
        )
    if error.errno == errno.EACCES:
        return ConfigError(f"You don't have permission to use port {port}.", "Choose one above 1023: --port 8000.")
    return ConfigError(f"Port {port} of {host} can't be used: {reason(error)}.", "Choose another: --port NUMBER.")
