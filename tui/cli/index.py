"""`fromage-lite index`: makes pictures searchable."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fromage_lite.errors import ConfigError
from fromage_lite.progress import progress_bar
from index.download import DownloadLimits
from index.images import sanitize
from index.manifest import ROWS, IndexManifest
from index.policy import IndexOptions
from index.progress import Progress
from index.recognise import SourceOptions
from tui.cli import console
from tui.cli.options import Device, Model

if TYPE_CHECKING:
    from index.build import BadPicture, BuildReport
    from index.projected import ImportReport

SHOWN_BAD = 20


def index(
    pictures: Annotated[
        Path | None,
        typer.Argument(
            metavar="PICTURES",
            help="A folder of pictures, a picture, a table of lines caption<TAB>image (files or web addresses), a tar "
            "or Parquet file or a folder of them (WebDataset, img2dataset), or a data set of Hugging Face's datasets.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the index to create or update.")] = None,
    model: Model = None,
    captions: Annotated[
        Path | None, typer.Option(help="Table of lines caption<TAB>image for the pictures of the folder.")
    ] = None,
    rederive: Annotated[
        Path | None,
        typer.Option(metavar="INDEX", help="Index the pictures of this index for --model, from its stored features."),
    ] = None,
    from_reference: Annotated[
        list[Path] | None,
        typer.Option(help="Image embeddings of the original FROMAGe (.pkl), made by --model; repeat for several."),
    ] = None,
    relative_to: Annotated[
        Path | None, typer.Option(help="Folder that paths in these files are relative to. Default: each file's own.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Leave out files and folders, as in a .gitignore; repeat for several."),
    ] = None,
    downloads: Annotated[int, typer.Option(min=1, max=256, help="Web addresses fetched at once.")] = 32,
    per_host: Annotated[float, typer.Option(min=0.01, help="Requests a second that one web server gets.")] = 5.0,
    max_download: Annotated[float, typer.Option(min=0.0, metavar="GB", help="Stop fetching here; 0 for no end.")] = 0.0,
    retry_failed: Annotated[bool, typer.Option(help="Ask web addresses again that were found dead.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures embedded at once.")] = 64,
    recall: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Share of the true ten nearest that a search of a large index is to find; 1 searches exactly.",
            show_default="0.98, or 0.95 with --compact",
        ),
    ] = None,
    compact: Annotated[bool, typer.Option("--compact", help="Keep little of a large index in memory.")] = False,
    factory: Annotated[
        str | None, typer.Option(metavar="STRING", help="Kind of index, as FAISS's index_factory names it.")
    ] = None,
    device: Device = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print progress and result of PICTURES as JSON, one object per line.")
    ] = False,
) -> None:
    """Make pictures searchable: embed them with a model's image encoder and index them for its bridge.

    Without --model, a few of the pictures are looked at: photographs are indexed with the model photos, scenes of the
    playground with playground. The index keeps the model's name, so that a chat with it needs none.

    To continue an interrupted build, run the same command again. Without arguments, the command builds the index of the
    playground's own pictures.

    Examples:

    fromage-lite index ~/Pictures --out my-index
    fromage-lite index captions.tsv --out my-index --model runs/my-bridge
    fromage-lite index cc3m-shards --out cc3m --model runs/my-bridge
    fromage-lite index --rederive my-index --model runs/my-bridge
    fromage-lite index --from-reference cc3m_embeddings.pkl --model fromage_model --out cc3m
    """
    _check_together(pictures, out, model, captions, rederive, from_reference, relative_to)
    if exclude and (pictures is None or not pictures.is_dir()):
        raise ConfigError("--exclude needs a folder of pictures.", "Name one, or omit it.")
    if as_json and pictures is None:
        raise ConfigError("--json is for a folder or a file of pictures.", "Name one, or omit it.")
    limits = DownloadLimits(downloads, per_host, round(max_download * 1e9))
    options = SourceOptions(captions, exclude or (), limits)
    wanted = IndexOptions(recall, compact, factory)
    if pictures is None and rederive is None and out is not None and (out / ROWS).is_file():
        rederive = out  # the command that a fingerprint error names
    try:
        if from_reference and model is not None and out is not None:
            _index_embeddings(from_reference, relative_to, out, model, wanted, device)
        elif pictures is not None and out is not None:
            report = _JsonReport() if as_json else _Report()
            _index_pictures(pictures, out, model, options, retry_failed, batch_size, wanted, device, report)
        elif rederive is not None:
            _index_features(rederive, out or rederive, model, wanted, device)
        else:
            _index_playground(out, model, wanted, device)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Interrupted; nothing is lost. Run the same command again to continue.") from None


def _check_together(
    pictures: Path | None,
    out: Path | None,
    model: str | None,
    captions: Path | None,
    rederive: Path | None,
    from_reference: Sequence[Path] | None,
    relative_to: Path | None,
) -> None:
    if pictures is not None and rederive is not None:
        raise ConfigError("--rederive takes its pictures from an index.", "Omit the folder.")
    if pictures is not None and out is None:
        raise ConfigError("Where should the index go?", "Name a folder with --out.")
    if from_reference and (pictures is not None or rederive is not None):
        raise ConfigError("--from-reference brings its own pictures.", "Omit the folder and --rederive.")
    if from_reference and (model is None or out is None):
        raise ConfigError("--from-reference needs --out, and --model, which made the embeddings.")
    if relative_to is not None and not from_reference:
        raise ConfigError("--relative-to is only for --from-reference.", "Omit it.")
    if captions is not None and (pictures is None or not pictures.is_dir()):
        raise ConfigError("--captions needs a folder of pictures.", "Name one, or omit it.")


def _index_pictures(
    pictures: Path,
    out: Path,
    model: str | None,
    options: SourceOptions,
    retry_failed: bool,
    batch_size: int,
    wanted: IndexOptions,
    device: str,
    report: _Report | _JsonReport,
) -> None:
    from fromage_lite.indexing import index_pictures

    built, manifest = index_pictures(
        pictures,
        out,
        model,
        options=options,
        retry_failed=retry_failed,
        batch_size=batch_size,
        device=device,
        index_options=wanted,
        bar=report.bar,
        notice=report.notice,
    )
    report.show(built, out, manifest)


class _Report:
    """Output for people."""

    bar = staticmethod(progress_bar)
    notice = staticmethod(console.complain)

    def show(self, built: BuildReport, out: Path, manifest: IndexManifest) -> None:
        """Prints what was done."""
        from index.build import BAD_LIST

        _show_causes(built)
        counts = {
            "new": built.added - built.changed,
            "moved or copied": built.reused,
            "changed": built.changed,
            "unchanged": built.unchanged,
            "removed": built.removed,
            "mended": built.mended,
            "duplicate": built.duplicates,
        }
        known = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        where = f", listed in {out / BAD_LIST}" if built.bad else ""
        _say(
            f"{out}: {built.total} pictures, {built.captioned} with a caption ({known}); "
            f"{built.failed} bad files skipped{where}. Index: {manifest.described()}"
        )


class _JsonReport:
    """Output for programs."""

    EVERY = 0.2  # seconds between two lines of progress

    @contextmanager
    def bar(self, title: str, unit: str) -> Iterator[Progress]:
        """As `progress_bar`, in lines of JSON."""
        last = -self.EVERY

        def update(done: int, total: int) -> None:
            nonlocal last
            if done >= total or time.monotonic() - last >= self.EVERY:
                last = time.monotonic()
                self._print({"event": "progress", "what": title, "unit": unit, "done": done, "total": total})

        yield update

    def notice(self, sentence: str) -> None:
        """Prints a sentence for the user."""
        self._print({"event": "notice", "message": sentence})

    def show(self, built: BuildReport, out: Path, manifest: IndexManifest) -> None:
        """Prints what was done."""
        self._print(
            {
                "event": "done",
                "index": str(out),
                "model": manifest.model,
                "pictures": built.total,
                "changed": built.added + built.reused + built.removed + built.mended,
                "reused": built.reused,
                "bad": built.failed,
            }
        )

    def _print(self, data: dict[str, object]) -> None:
        console.echo_json(data)
        sys.stdout.flush()


def _show_causes(report: BuildReport) -> None:
    """The failures one by one where they are few, else how many each cause had, with an example."""
    if report.failed <= SHOWN_BAD:
        _show_bad(report.bad)
        return
    for cause in report.causes[:SHOWN_BAD]:
        typer.echo(f"  {cause.count:,} x {cause.cause}: {cause.example}")
    if rest := report.causes[SHOWN_BAD:]:
        typer.echo(f"  {sum(cause.count for cause in rest):,} x other causes")


def _show_bad(bad: Sequence[BadPicture]) -> None:
    for picture in bad[:SHOWN_BAD]:
        typer.echo(f"  skipped: {picture.reason}")
    if len(bad) > SHOWN_BAD:
        typer.echo(f"  and {len(bad) - SHOWN_BAD} more")


def _index_features(store: Path, out: Path, model: str | None, wanted: IndexOptions, device: str) -> None:
    from fromage_lite.choice import maker
    from fromage_lite.config import default_model
    from fromage_lite.indexing import index_features, load_model

    name = model or maker(store) or default_model()
    manifest = index_features(store, out, load_model(name, device), name, index_options=wanted, bar=progress_bar)
    _say(f"{out}: {manifest.count} pictures indexed from their features. Index: {manifest.described()}")


def _index_embeddings(
    files: Sequence[Path], base: Path | None, out: Path, model: str, wanted: IndexOptions, device: str
) -> None:
    from fromage_lite.indexing import index_embeddings

    manifest = index_embeddings(
        files,
        out,
        model,
        base=base,
        device=device,
        index_options=wanted,
        bar=progress_bar,
        report=_show_import,
    )
    _say(f"{out}: {manifest.count} pictures. Index: {manifest.described()}")


def _show_import(file: Path, report: ImportReport) -> None:
    _show_bad(report.bad)
    _say(
        f"{file}: {report.added} new, {report.known} already indexed, {report.duplicates} duplicate, "
        f"{len(report.bad)} skipped."
    )


def _index_playground(out: Path | None, model_name: str | None, wanted: IndexOptions, device: str) -> None:
    from fromage_lite.config import PLAYGROUND
    from fromage_lite.indexing import index_features, load_model
    from fromage_lite.playground.pictures import ensure_playground_index

    model_name = model_name or PLAYGROUND
    model = load_model(model_name, device)
    with console.StatusLine() as status:
        own = ensure_playground_index(model, status)
    if out is None:
        _say(f"{own}: the index of the playground's pictures is ready.")
        return
    manifest = index_features(own, out, model, model_name, index_options=wanted, bar=progress_bar)
    _say(f"{out}: {manifest.count} pictures indexed from their features. Index: {manifest.described()}")


def _say(sentence: str) -> None:
    typer.echo(sanitize(sentence))
