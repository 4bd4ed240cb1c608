"""`fromage-lite make-playground`: makes the shipped models from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def make_playground(
    stage: Annotated[
        list[str] | None,
        typer.Option(
            help="Run only this stage: lm, encoder, fromage, fromage-chat, words, index, figures, "
            "card; repeat for several."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the models.")] = Path("checkpoints/playground"),
    work: Annotated[Path, typer.Option(help="Where unfinished stages keep their state.")] = Path("runs/playground"),
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    lm_steps: Annotated[
        list[int] | None, typer.Option(min=1, help="LM steps of 4,096 tokens; repeat for several rounds.")
    ] = None,
    encoder_steps: Annotated[int | None, typer.Option(min=1, help="Encoder steps of 128 pictures.")] = None,
    readout_steps: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Encoder steps after these, with names read by least squares too; repeat for several rounds.",
        ),
    ] = None,
    atlas_font: Annotated[
        Path | None, typer.Option(help="Only redraw the pictograms, from this NotoColorEmoji.ttf.")
    ] = None,
) -> None:
    """Make the playground's models from scratch: language model, encoder, bridges, index, figures and model card.

    All stages take a few hours on two CPU cores. Ctrl-C saves; run the same command again to continue.
    """
    if atlas_font is not None:
        from fromage_lite.playground.world.atlas import ATLAS_FILE, make_atlas

        make_atlas(atlas_font)
        typer.echo(f"Drew {ATLAS_FILE}.")
        return
    from fromage_lite.playground import make as making

    plan = making.Making(
        out,
        work,
        device,
        seed,
        tuple(lm_steps or making.LM_STEPS),
        encoder_steps or making.ENCODER_STEPS,
        tuple(readout_steps or making.READOUT_STEPS),
    )
    try:
        making.make(plan, tuple(stage or making.STAGES), typer.echo)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Interrupted; the state is saved. Run the same command again to continue.") from None
