"""`fromage-lite serve`: the chat in a browser."""

from __future__ import annotations

import ipaddress
from functools import partial
from typing import Annotated

import typer

from index.images import one_line
from tui.cli import console
from tui.cli.options import (
    DEFAULTS,
    Device,
    Dtype,
    Index,
    MaxNewTokens,
    Model,
    NoSave,
    Quantize,
    Ret,
    RetBias,
    RetMode,
    Seed,
    Temperature,
    TopP,
    given_settings,
    load_agent,
    make_settings,
)
from tui.settings import paths


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Name or number of this machine to listen on.")] = "localhost",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 is any free one.")] = 8000,
    model: Model = None,
    index: Index = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quantize: Quantize = "none",
    temperature: Temperature = DEFAULTS.temperature,
    top_p: TopP = DEFAULTS.top_p,
    max_new_tokens: MaxNewTokens = DEFAULTS.max_new_tokens,
    ret: RetMode = Ret.auto,
    ret_bias: RetBias = DEFAULTS.ret_bias,
    seed: Seed = None,
    no_save: NoSave = False,
) -> None:
    """Chat in a browser: one model, shared by all visitors, each with a dialogue of their own. Ctrl-C ends it.

    Whoever can open the page acts as you do: it can read your picture files and the saved conversations.
    """
    settings = make_settings(temperature, top_p, max_new_tokens, ret, ret_bias, seed)
    from tui.serving.serve import Service, bind

    sockets = bind(host, port)  # before the model loads: a port that is taken is told at once
    if not _is_private(host):
        console.complain("Everybody who reaches this machine can use the chat, and read what you can read.")
    log = paths.state_dir() / "serve.log"
    options = {"settings": {name: getattr(settings, name) for name in given_settings(context)}, "save": not no_save}

    def announce(address: str) -> None:
        typer.echo(f"The chat is at {one_line(address)} (Ctrl-C ends it).")

    load = partial(load_agent, model, index, device, dtype, quantize)
    Service(load, sockets, host, options, log, announce).run()


def _is_private(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
