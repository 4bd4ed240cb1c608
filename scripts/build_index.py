"""Make pictures searchable: embed them with a model's image encoder and build the index that its bridge searches.

\b
python scripts/build_index.py ~/Pictures --out my-index
    every picture below a folder; captions from text files of the same name, or from --captions
python scripts/build_index.py captions.tsv --out my-index
    a table of lines caption<TAB>image
python scripts/build_index.py
    the playground's own pictures
python scripts/build_index.py --rederive my-index --model runs/my-bridge
    an index for another bridge, from the features that are kept: no picture is opened
python scripts/build_index.py --from-reference cc3m_embeddings.pkl --model fromage_model --out cc3m
    an index of the embeddings that come with the original FROMAGe; its pictures are fetched when they are shown

An interrupted build goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fromage_lite.model.projection import projection
from index.errors import FromageError
from index.images import sanitize
from index.manifest import STORE_MANIFEST

if TYPE_CHECKING:
    from fromage_lite.model.fromage import Fromage
    from index.build import BuildReport

SHOWN_BAD = 20
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(help=__doc__)
def main(
    pictures: Annotated[
        Path | None, typer.Argument(help="A folder of pictures, or a table caption<TAB>image (.tsv).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The index folder to make or to bring up to date.")] = None,
    model: Annotated[str | None, typer.Option(help="Model folder or Hub name; the playground's by default.")] = None,
    captions: Annotated[
        Path | None, typer.Option(help="Table caption<TAB>image for the pictures of the folder.")
    ] = None,
    rederive: Annotated[
        Path | None, typer.Option(help="Index this existing store for --model, from its features alone.")
    ] = None,
    from_reference: Annotated[
        list[Path] | None,
        typer.Option(help="Image embeddings of the original FROMAGe (.pkl), made by --model; may be repeated."),
    ] = None,
    relative_to: Annotated[
        Path | None, typer.Option(help="Folder that paths in them are relative to; by default the file's own.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures embedded at once.")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Parse, check what goes together, and call the library."""
    try:
        if pictures is not None and rederive is not None:
            raise FromageError("--rederive takes its pictures from a store.", "Leave the folder out.")
        if pictures is not None and out is None:
            raise FromageError("Where should the index go?", "Name a folder with --out.")
        if from_reference and (pictures is not None or rederive is not None):
            raise FromageError("--from-reference brings its own pictures.", "Leave the folder and --rederive out.")
        if from_reference and (model is None or out is None):
            raise FromageError("--from-reference needs --model, whose embeddings they are, and --out.")
        if relative_to is not None and not from_reference:
            raise FromageError("--relative-to belongs to --from-reference.")
        if captions is not None and (pictures is None or not pictures.is_dir()):
            raise FromageError("--captions needs a folder of pictures.")
        if from_reference and model is not None and out is not None:
            _import(from_reference, relative_to, out, model, device)
            return
        if rederive is None and pictures is None and out is not None and (out / STORE_MANIFEST).is_file():
            rederive = out  # the command that a fingerprint error names
        if pictures is not None and out is not None:
            _build(pictures, out, model, captions, batch_size, device)
        elif rederive is not None:
            _rederive(rederive, out or rederive, _load(model, device))
        else:
            _playground(out, _load(model, device))
    except FromageError as error:
        typer.echo(sanitize(f"Error: {error}"), err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("\nInterrupted; nothing is lost. The same command goes on from here.", err=True)
        raise typer.Exit(130) from None


def _build(pictures: Path, out: Path, model_name: str | None, captions: Path | None, batch: int, device: str) -> None:
    from index.build import FolderReader, TsvReader, build_store, derive_index

    # Before the model: a mistyped folder should not cost the time of loading it.
    reader = TsvReader(pictures) if pictures.is_file() else FolderReader(pictures, captions)
    model = _load(model_name, device)
    with _progress("Embedding", "picture") as progress:
        report = build_store(
            reader,
            lambda images: model.image_features(images).pooled.float().cpu().numpy(),
            out,
            encoder_fingerprint=model.vision.fingerprint(),
            batch_size=batch,
            progress=progress,
        )
    manifest = derive_index(out, projection(model), model.fingerprint())
    _show(report, out, manifest.kind)


def _show(report: BuildReport, out: Path, kind: str) -> None:
    from index.build import BAD_LIST

    for bad in report.bad[:SHOWN_BAD]:
        typer.echo(f"  skipped: {bad.reason}")
    if len(report.bad) > SHOWN_BAD:
        typer.echo(f"  and {len(report.bad) - SHOWN_BAD} more")
    counts = {
        "new": report.added - report.changed,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "named twice": report.duplicates,
    }
    known = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    where = f", listed in {out / BAD_LIST}" if report.bad else ""
    typer.echo(
        f"{out}: {report.total} pictures, {report.captioned} with a caption ({known}); "
        f"{len(report.bad)} bad files skipped{where}. Index: {kind}."
    )


def _rederive(store: Path, out: Path, model: Fromage) -> None:
    from index.build import derive_index
    from index.errors import FingerprintError
    from index.store import FeatureStore

    opened = FeatureStore.open(store)
    if opened.bridge_fingerprint is None and opened.encoder_fingerprint != model.vision.fingerprint():
        raise FingerprintError(
            f"The store at {store} holds the features of another image encoder than the model's.",
            "Build a new one from the pictures: python scripts/build_index.py FOLDER --model MODEL --out NEW_INDEX",
        )
    with _progress("Projecting", "row") as progress:
        manifest = derive_index(opened, projection(model), model.fingerprint(), out, progress=progress)
    typer.echo(f"{out}: {manifest.count} pictures indexed from their features. Index: {manifest.kind}.")


def _import(files: list[Path], base: Path | None, out: Path, model: str, device: str) -> None:
    from fromage_lite.model.projection import fingerprint_without_lm
    from index.build import derive_index
    from index.projected import import_embeddings
    from index.reference_pickle import read_reference

    known: tuple[str, int] | None = None
    for file in files:
        with _progress(f"Reading {file.name}", "byte") as progress:
            reference = read_reference(file, progress)
        fingerprint, dim = known = known or fingerprint_without_lm(model, device)
        if reference.dim != dim:
            raise FromageError(
                f"The embeddings in {file} are of width {reference.dim}, and those of {model} of width {dim}.",
                "Name the model that made them.",
            )
        with _progress("Storing", "row") as progress:
            report = import_embeddings(reference.blocks(), out, bridge_fingerprint=fingerprint,
                                       base=base or file.parent, total=len(reference), progress=progress)  # fmt: skip
        del reference  # gigabytes, which the index needs now
        for bad in report.bad[:SHOWN_BAD]:
            typer.echo(f"  skipped: {bad.reason}")
        typer.echo(
            f"{file}: {report.added} new, {report.known} there already, {report.duplicates} named twice, "
            f"{len(report.bad)} skipped."
        )
    with _progress("Indexing", "row") as progress:
        manifest = derive_index(out, lambda vectors: vectors, fingerprint, progress=progress)
    typer.echo(f"{out}: {manifest.count} pictures. Index: {manifest.kind}.")


def _playground(out: Path | None, model: Fromage) -> None:
    from fromage_lite.playground.pictures import ensure_playground_index

    index = ensure_playground_index(model, progress=lambda text: typer.echo(text, err=True))
    if out is not None:
        _rederive(index, out, model)
    else:
        typer.echo(f"{index}: the playground's index is ready.")


def _load(name: str | None, device: str) -> Fromage:
    from fromage_lite.config import playground_dir
    from fromage_lite.model.fromage import Fromage

    return Fromage.from_pretrained(name or playground_dir(), device=device)


@contextmanager
def _progress(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    from tqdm import tqdm

    with tqdm(desc=title, unit=f" {unit}s", dynamic_ncols=True) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update


if __name__ == "__main__":
    app()
