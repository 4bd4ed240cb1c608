"""`fromage-lite train`: a bridge of one's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from tui.cli.guard import INTERRUPTED
from tui.cli.options import Device, Dtype, Quantize


def train(
    recipe: Annotated[
        str | None,
        typer.Option(
            help="fromage (captions only), fromage-chat (captions and dialogues), paper (large models), or a .toml "
            "file. Default: fromage-chat, or paper with --data."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A table of lines caption<TAB>image, or an index folder whose pictures have captions. "
            "Default: the playground."
        ),
    ] = None,
    images_root: Annotated[
        Path | None,
        typer.Option(help="Folder that image paths in the table are relative to. Default: the table's own."),
    ] = None,
    language_model: Annotated[
        str | None, typer.Option(help="Hub name or folder of a causal language model. Default: the playground's.")
    ] = None,
    vision_encoder: Annotated[
        str | None,
        typer.Option(
            help="Image encoder: open_clip:MODEL/PRETRAINED, timm:NAME, or a transformers model. "
            "Default: the playground's."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run. Default: runs/RECIPE.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, exactly where it stopped.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew where --out already holds a run.")] = False,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Length of the run, over which the learning rate's schedule is laid. Default: the recipe's."
        ),
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Stop after this step; --resume goes on from there.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Captions a step. Default: the recipe's.")] = None,
    seed: Annotated[int, typer.Option(help="Decides the bridge's first values, the data and the batches.")] = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quantize: Quantize = "none",
    max_bad: Annotated[float, typer.Option(min=0, max=1, help="Largest share of unusable rows in the table.")] = 0.05,
    export: Annotated[
        Path | None, typer.Option(help="Also write the best bridge, without training state, to this folder.")
    ] = None,
) -> None:
    """Train a bridge between a frozen language model and a frozen image encoder.

    Without arguments: the chat's bridge on the playground, in about a quarter of an hour on one CPU core. The run's
    folder gets best/ and last/ (checkpoints), and a log for TensorBoard. Ctrl-C saves and ends; --resume goes on.
    """
    from fromage_lite.training.recipe import load_recipe

    chosen = load_recipe(recipe or ("fromage-chat" if data is None else "paper"))  # before PyTorch takes its time
    chosen = dataclasses.replace(chosen, steps=steps or chosen.steps, batch_size=batch_size or chosen.batch_size)

    from fromage_lite.playground.data import playground_data
    from fromage_lite.training.run import RunOptions, run

    options = RunOptions(
        recipe=chosen,
        out=out or Path("runs") / chosen.name,
        data=data,
        images_root=images_root,
        language_model=language_model,
        vision_encoder=vision_encoder,
        resume=resume,
        overwrite=overwrite,
        max_steps=max_steps,
        seed=seed,
        device=device,
        dtype=dtype,
        quantize=quantize,
        max_bad_share=max_bad,
        export=export,
    )
    if run(options, typer.echo, playground_data):
        raise typer.Exit(INTERRUPTED)
