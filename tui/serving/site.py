"""The web server: a page with a terminal, and a process of the chat for each open page."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from html import escape
from pathlib import Path
from string import Template

from aiohttp import WSCloseCode, web
from textual_serve.app_service import AppService
from textual_serve.server import Server, to_int

from tui.serving.model_server import GOODBYE_SECONDS

PAGE, SCRIPT = Path(__file__).with_name("page.html"), Path(__file__).with_name("page.js")
TITLE = "fromage_lite"
SMALLEST_FONT, LARGEST_FONT = 6, 60
LARGEST_MESSAGE = 4 * 2**20  # bytes from a browser; a pasted text is one message

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Process(AppService):
    """A visitor's process. When it ends, for whatever reason, the page is told."""

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            with suppress(Exception):
                await self.remote_close()

    async def stop(self) -> None:
        """Asks the chat to end, and kills it if it doesn't."""
        try:
            await asyncio.wait_for(super().stop(), GOODBYE_SECONDS)
        except TimeoutError:
            if self._process is not None:
                with suppress(ProcessLookupError):
                    self._process.kill()


class Site(Server):
    """Serves the chat to browsers.

    Args:
        command: shell command that starts a visitor's process.
        host: the name that it listens on.
    """

    def __init__(self, command: str, host: str) -> None:
        super().__init__(command, host=host, title=TITLE)
        self._open: set[web.WebSocketResponse] = set()

    def application(self) -> web.Application:
        """The routes of the server, behind `_guard`."""
        logging.getLogger("aiohttp").setLevel(logging.CRITICAL)  # a browser's bad requests don't belong in the terminal
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/", self.handle_index),
                web.get("/page.js", self.handle_script),
                web.get("/ws", self.handle_websocket),
                web.get("/download/{key}", self.handle_download),
                web.static("/static", self.statics_path),
            ]
        )
        app.on_shutdown.append(self.on_shutdown)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuses requests from other web pages through the user's browser: the chat can read this user's files."""
        if not is_own_name(request.host, self.host):
            raise web.HTTPForbidden(text=f"This is not {self.host}.")
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"{request.scheme}://{request.host}":
            raise web.HTTPForbidden(text="The chat can't be used from another page.")
        return await handler(request)

    async def handle_index(self, request: web.Request) -> web.Response:  # type: ignore[override]
        """Serves the page with the terminal."""
        font_size = min(max(to_int(request.query.get("fontsize", ""), 16), SMALLEST_FONT), LARGEST_FONT)
        websocket = f"{'wss' if request.scheme == 'https' else 'ws'}://{request.host}/ws"
        text = Template(await asyncio.to_thread(PAGE.read_text, "utf-8")).substitute(
            title=escape(TITLE), websocket=escape(websocket), font_size=font_size
        )
        policy = (
            f"default-src 'self'; connect-src 'self' {websocket}; img-src 'self' data:; font-src 'self' data:; "
            "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        )
        headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def handle_script(self, request: web.Request) -> web.FileResponse:
        """Serves the page's own script."""
        return web.FileResponse(SCRIPT)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Serves one visitor, from the first key to the last."""
        websocket = web.WebSocketResponse(heartbeat=15, max_msg_size=LARGEST_MESSAGE)
        await websocket.prepare(request)
        self._open.add(websocket)

        async def goodbye() -> None:
            await websocket.close()

        service = _Process(
            self.command,
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=goodbye,
            download_manager=self.download_manager,
        )
        try:
            width, height = (
                to_int(request.query.get(name, ""), least) for name, least in (("width", 80), ("height", 24))
            )
            await service.start(min(max(width, 1), 1000), min(max(height, 1), 1000))
            with suppress(OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError):
                await self._process_messages(websocket, service)
        finally:
            self._open.discard(websocket)
            await service.stop()
        return websocket

    async def on_shutdown(self, app: web.Application) -> None:
        """Closes all open pages' connections."""
        goodbyes = (ws.close(code=WSCloseCode.GOING_AWAY, message=b"The server ends.") for ws in list(self._open))
        await asyncio.gather(*goodbyes, return_exceptions=True)


def is_own_name(address: str, host: str) -> bool:
    """Whether a request's `Host` names this machine: an IP address, localhost, the machine's name, or `host`. Any other
    name could belong to a foreign page and point here (DNS rebinding)."""
    name = address.rsplit(":", 1)[0] if not address.endswith("]") else address
    name = name.strip("[]").rstrip(".").lower()
    if name in {"localhost", host.lower(), socket.gethostname().lower()}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
