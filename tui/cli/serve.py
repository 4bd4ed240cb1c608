"""`fromage-lite serve`: the chat in a browser."""

from __future__ import annotations

import ipaddress
from functools import partial
from typing import Annotated

import typer

from fromage_lite.choice import model_for_index
from fromage_lite.config import GenerationSettings, LoadOptions
from index.pictures.images import one_line
from tui.cli import console
from tui.cli.options import NoSave, given_settings, load_agent, with_options
from tui.settings import paths


@with_options
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Name or address of this machine to listen on.")] = "localhost",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")] = 8000,
    *,
    load: LoadOptions,
    settings: GenerationSettings,
    no_save: NoSave = False,
) -> None:
    """Chat in a browser: one model for all visitors, and a dialogue for each. Ctrl-C stops it.

    Anyone who can open the page acts as you: they can read your picture files and your saved conversations.
    """
    from tui.serving.serve import Service, bind

    sockets = bind(host, port)  # before the model loads, so that a port in use fails at once
    if not _is_private(host):
        console.complain("Anyone who can reach this machine can use the chat, and read what you can read.")
    log = paths.state_dir() / "serve.log"
    given = given_settings(context)
    kept = {name: value for name, value in settings.to_dict().items() if name in given}

    def announce(address: str) -> None:
        typer.echo(f"The chat is at {one_line(address)} (Ctrl-C stops it).")

    model = load.model or model_for_index(load.index)
    options = {"settings": kept, "save": not no_save, "model": model}
    Service(partial(load_agent, load), sockets, host, options, log, announce).run()


def _is_private(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
