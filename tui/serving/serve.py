"""`fromage-lite serve`: the model, the web server, and the end of both."""

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
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # a machine may have no IPv6


@dataclass(frozen=True)
class Service:
    """The chat in browsers, from loading the model to the last visitor's goodbye.

    Attributes:
        load: makes the agent that all visitors share.
        sockets: from `bind`; closed at the end.
        host: the name for the address that is announced.
        options: what every visitor's chat begins with: `settings` and `save`.
        log: where visitors' processes write what went wrong.
        announce: gets the address once it can be opened.
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
            KeyboardInterrupt: Ctrl-C came while it was loading.
        """
        thread, code = AgentThread(), INTERRUPTED
        try:
            code = asyncio.run(self._serve(thread))
        finally:
            for open_socket in self.sockets:
                open_socket.close()
        if code and sys.stderr.isatty():
            sys.stderr.write("\n")  # after what was said of the loading
        if thread.working:
            # The agent's thread is deep inside a library; the interpreter's end would wait for it or abort.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        if code:
            raise KeyboardInterrupt

    async def _serve(self, thread: AgentThread) -> int:
        """The exit code."""
        stop = _stop_signal()
        loading = asyncio.ensure_future(thread.run(self.load))
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait([loading, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            return INTERRUPTED
        server = ModelServer(loading.result(), thread, self.options)
        with tempfile.TemporaryDirectory(prefix="fromage-") as folder:  # for this user's eyes only
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
    """Is set by Ctrl-C and its relatives; a second one ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def told() -> None:
        if stop.is_set():
            os._exit(INTERRUPTED)
        stop.set()

    for name in SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, told)
    return stop


def _command(path: Path, log: Path) -> str:
    """Shell command of a visitor's process; `exec` leaves no shell that would have to be ended too."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    except OSError:  # no place to write; the chat works without
        log = Path(os.devnull)
    words = [sys.executable, "-m", "tui.serving.visitor", str(path)]
    return f"exec {shlex.join(words)} 2>>{shlex.quote(str(log))}"


def address(host: str, port: int) -> str:
    """The address for a browser."""
    if host in ("0.0.0.0", "::", ""):
        host = "localhost"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on every address of a host name, all of the same port, so that no other program can have the
    port on one of them.

    Args:
        host: name or number of this machine.
        port: the port; 0 is any free one.

    Raises:
        ConfigError: the port is taken, or there is no such host here.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"There is no host {host!r} to listen on.", "Leave --host out for this machine.") from error
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
        raise ConfigError(f"{host} is no address of this machine.", "Leave --host out for this machine.")
    return bound


def _refused(host: str, port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            f"Port {port} of {host} is taken.", "Name another: --port NUMBER, or --port 0 for a free one."
        )
    if error.errno == errno.EACCES:
        return ConfigError(f"Port {port} needs more rights than you have.", "Choose one above 1023: --port 8000.")
    return ConfigError(f"Port {port} of {host} can't be used: {reason(error)}.", "Name another: --port NUMBER.")
