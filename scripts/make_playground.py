"""Make the playground's models from nothing: LM, encoder, bridges, index, figures and model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fromage_lite.errors import FromageError


def main(
    stage: Annotated[
        list[str] | None,
        typer.Option(
            help="Run only this stage (repeatable): lm, encoder, fromage, fromage-chat, index, figures, card."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to fill.")] = Path("checkpoints/playground"),
    work: Annotated[Path, typer.Option(help="Where interrupted stages keep their state.")] = Path("runs/playground"),
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of everything.")] = 0,
    lm_steps: Annotated[
        list[int] | None, typer.Option(min=1, help="LM steps of 4,096 tokens (repeat for rounds).")
    ] = None,
    encoder_steps: Annotated[int | None, typer.Option(min=1, help="Encoder steps of 128 pictures.")] = None,
    readout_steps: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Encoder steps after these, with names read by least squares too (repeat for rounds)."
        ),
    ] = None,
    atlas_font: Annotated[
        Path | None, typer.Option(help="Redraw the sprite atlas from this NotoColorEmoji.ttf, and do nothing else.")
    ] = None,
) -> None:
    """Make the playground's models from nothing.

    All stages take a few hours on two CPU cores. Ctrl-C saves; the same command goes on.
    """
    from fromage_lite.playground import make as making

    try:
        if atlas_font is not None:
            from fromage_lite.playground.world.atlas import ATLAS_FILE, make_atlas

            make_atlas(atlas_font)
            typer.echo(f"{ATLAS_FILE} is drawn.")
            return
        plan = making.Making(
            out,
            work,
            device,
            seed,
            tuple(lm_steps or making.LM_STEPS),
            encoder_steps or making.ENCODER_STEPS,
            tuple(readout_steps or making.READOUT_STEPS),
        )
        making.make(plan, tuple(stage or making.STAGES), typer.echo)
    except (FromageError, OSError) as error:
        typer.echo(f"make_playground: {error}", err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        typer.echo("Interrupted; the state is saved. The same command goes on.", err=True)
        raise typer.Exit(130) from error


if __name__ == "__main__":
    typer.run(main)
