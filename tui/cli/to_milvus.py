"""`fromage-lite to-milvus`: an index for more than one machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fromage_lite.progress import progress_bar
from index.pictures.images import one_line, sanitize
from tui.cli.options import Device, Model


def to_milvus(
    index: Annotated[Path, typer.Argument(help="Folder of an index, as the command index makes it.")],
    address: Annotated[
        str,
        typer.Argument(
            help="milvus://HOST:PORT/COLLECTION, or a Milvus Lite file that ends in .db.", metavar="ADDRESS"
        ),
    ],
    model: Model = None,
    kind: Annotated[
        str | None,
        typer.Option(help="Milvus' index: FLAT (exact), HNSW, IVF_SQ8, DISKANN, … Default: by the number of pictures."),
    ] = None,
    thumbnails: Annotated[bool, typer.Option(help="Send the small pictures along.")] = True,
    replace: Annotated[bool, typer.Option("--replace", help="Drop a collection that is there.")] = False,
    device: Device = "auto",
) -> None:
    """Load an index into Milvus, for more pictures than one machine holds, or for many computers to search.

    Run it again to go on with an interrupted load, or after the index has changed. A server's password or token is
    taken from the environment variable MILVUS_TOKEN.

    Examples:

    fromage-lite to-milvus my-index milvus://localhost:19530/holiday
    fromage-lite search --index milvus://localhost:19530/holiday a dog on a beach
    """
    from fromage_lite.choice import maker
    from fromage_lite.config import default_model
    from fromage_lite.indexing import load_embedder
    from fromage_lite.milvus import index_in_milvus

    name = model or maker(index) or default_model()
    try:
        report = index_in_milvus(
            index,
            address,
            lambda: load_embedder(name, device),
            kind=kind,
            thumbnails=thumbnails,
            again=replace,
            bar=progress_bar,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Interrupted; nothing is lost. Run the same command again to continue.") from None
    counts = {"new": report.added, "removed": report.removed}
    known = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing new"
    typer.echo(sanitize(f"{address}: {report.total} pictures ({known}). Index: {report.kind}."))
    typer.echo(f"Chat with it: fromage-lite chat --index {one_line(address)}")
