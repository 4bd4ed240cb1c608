"""`fromage-lite serve`: the chat in a browser."""

from __future__ import annotations

import ipaddress
from functools import partial
from typing import Annotated

import typer

from fromage_lite.config import GenerationSettings, LoadOptions
from index.images import one_line
from tui.cli import console
from tui.cli.options import NoSave, given_settings, load_agent, with_options
from tui.settings import paths


@with_options
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Name or number of this machine to listen on.")] = "localhost",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 is any free one.")] = 8000,
    *,
    load: LoadOptions,
    settings: GenerationSettings,
    no_save: NoSave = False,
) -> None:
    """Chat in a browser: one model, shared by all visitors, each with a dialogue of their own. Ctrl-C ends it.

    Whoever can open the page acts as you do: it can read your picture files and the saved conversations.
    """
    from tui.serving.serve import Service, bind

    sockets = bind(host, port)  # before the model loads: a port that is taken is told at once
    if not _is_private(host):
        console.complain("Everybody who reaches this machine can use the chat, and read what you can read.")
    log = paths.state_dir() / "serve.log"
    given = given_settings(context)
    kept = {name: value for name, value in settings.to_dict().items() if name in given}

    def announce(address: str) -> None:
        typer.echo(f"The chat is at {one_line(address)} (Ctrl-C ends it).")

    options = {"settings": kept, "save": not no_save}
    Service(partial(load_agent, load), sockets, host, options, log, announce).run()


def _is_private(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
