"""`fromage-lite models`: what models can be had."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from fromage_lite.catalogue import Model, catalogue
from index.pictures.images import one_line
from tui.cli import console
from tui.cli.options import AsJson
from tui.model_names import facts


def models(as_json: AsJson = False) -> None:
    """List the models that can be had: shipped, released, the bridges in runs/ and in the folders here, and the image
    encoders that made an index there without a bridge.

    Each with what it is good at, what it takes on disk, what its first start downloads, and the memory that its weights
    take. Every command takes their names: --model NAME. Nothing is asked of the network.
    """
    found = catalogue()
    if as_json:
        for model in found:
            console.echo_json(model.to_dict())
    else:
        _print(found)


def _print(models: Sequence[Model]) -> None:
    for model in models:
        mark = "  (the default)" if model.is_default else ""
        typer.echo(f"{one_line(model.name)}{mark}")
        typer.echo(f"    {one_line(model.good_at)}")
        typer.echo(f"    {one_line(facts(model))}")
