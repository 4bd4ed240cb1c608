"""`fromage-lite train`: a bridge of your own."""

from __future__ import annotations

import typer

from fromage_lite.config import PHOTOS
from fromage_lite.training.options import RunOptions
from tui.cli.guard import INTERRUPTED
from tui.cli.options import with_options


@with_options
def train(options: RunOptions) -> None:
    """Train a bridge between a frozen language model and a frozen image encoder.

    Without arguments: the chat's bridge on the playground, in about a quarter of an hour on one CPU core. The run's
    folder gets best/ and last/ (checkpoints), and a log for TensorBoard. Ctrl-C saves and stops; --resume continues.
    """
    recipe = options.load_recipe()  # before PyTorch takes its time

    from fromage_lite.photos.data import photos_data
    from fromage_lite.playground.data import playground_data
    from fromage_lite.training.run import run

    if run(recipe, options, typer.echo, photos_data if recipe.world == PHOTOS else playground_data):
        raise typer.Exit(INTERRUPTED)
