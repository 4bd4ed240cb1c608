"""`fromage-lite make-photos`: makes the shipped model of photographs from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def make_photos(
    stage: Annotated[
        list[str] | None,
        typer.Option(help="Run only this stage: lm, bridge, match, figures, card; repeat for several."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the model.")] = Path("checkpoints/photos"),
    work: Annotated[Path, typer.Option(help="Where unfinished stages keep their state.")] = Path("runs/photos"),
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    photographs: Annotated[
        Path | None, typer.Option(help="A folder of real ones, filled by scripts/fetch_photographs.py, to measure on.")
    ] = None,
    lm_steps: Annotated[
        list[int] | None, typer.Option(min=1, help="LM steps of 4,096 tokens; repeat for several rounds.")
    ] = None,
) -> None:
    """Make the model of photographs: language model, bridge, figures and model card. No photograph is needed.

    All stages take an hour or two on two CPU cores. Ctrl-C saves; run the same command again to continue.
    """
    from fromage_lite.photos import make as making

    plan = making.Making(out, work, device, seed, photographs, tuple(lm_steps or making.LM_STEPS))
    try:
        making.make(plan, tuple(stage or making.STAGES), typer.echo)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Interrupted; the state is saved. Run the same command again to continue.") from None
