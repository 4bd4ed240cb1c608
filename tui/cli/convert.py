"""`fromage-lite convert`: a foreign bridge in our own format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fromage_lite.config import VisualInput
from index.pictures.images import one_line


def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder or Hugging Face id of the original FROMAGe (model_args.json and pretrained_ckpt.pth.tar), or "
            "an adapter file: linear-modality-alignment's .pt, LiMBeR's proj.ckpt."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The model folder to make.")],
    lm: Annotated[str | None, typer.Option(help="Language model (folder or Hub id) instead of the source's.")] = None,
    vision_encoder: Annotated[
        str | None, typer.Option(help="Image encoder, likewise; LiMBeR's files don't name theirs.")
    ] = None,
    visual_input: Annotated[
        VisualInput | None, typer.Option(help="For LiMBeR: map the pooled feature, or each patch of the grid.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into an existing folder.")] = False,
) -> None:
    """Convert the original FROMAGe's checkpoint, or a relative's adapter, into a model folder of this program.

    Example: fromage-lite convert fromage_model/fromage_vis4 my-fromage
    """
    from fromage_lite.checkpoint.convert import convert as write

    config = write(
        source, out, language_model=lm, vision_encoder=vision_encoder, visual_input=visual_input, force=force
    )
    says = "" if config.has_retrieval else " It answers with words only: it was trained on captions alone."
    typer.echo(one_line(f"{out}: a bridge between {config.language_model} and {config.vision_encoder}.{says}"))
    typer.echo(f"Chat with it: fromage-lite chat --model {out}")
