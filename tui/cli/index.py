"""`fromage-lite index`: makes pictures searchable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fromage_lite.errors import ConfigError
from fromage_lite.progress import progress_bar
from index.search.policy import IndexOptions
from index.sources.clip_retrieval import is_export
from index.sources.download import DownloadLimits
from index.sources.recognise import SourceOptions
from index.store.manifest import ROWS
from tui.cli import console
from tui.cli.index_report import IndexReport, JsonIndexReport, say, show_bad
from tui.cli.options import Device, Model

if TYPE_CHECKING:
    from fromage_lite.indexing import Bar, Embedder
    from fromage_lite.progress import Report
    from index.building.build_report import BuildReport
    from index.building.projected import ImportReport
    from index.building.ray_engine import RayOptions
    from index.store.manifest import IndexManifest

Engine = Literal["local", "ray"]


def index(
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PICTURES",
            help="Folders of pictures, pictures, tables of lines caption<TAB>image (files or web addresses), tar or "
            "Parquet files or folders of them (WebDataset, img2dataset), data sets of Hugging Face's datasets, saved "
            "or by name (OWNER/NAME, with --split); or one output folder of clip-retrieval, with --encoder-of.",
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
    split: Annotated[
        str, typer.Option(help="Split of a data set that is named; without it none is asked for.", show_default=False)
    ] = "",
    encoder_of: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="The model whose image encoder made the features of clip-retrieval."),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures embedded at once.")] = 64,
    workers: Annotated[
        int, typer.Option(min=0, max=256, help="Processes that decode pictures, for many cores; 0 for threads.")
    ] = 0,
    engine: Annotated[
        Engine, typer.Option(help="Where pictures are embedded: local, or ray for a cluster of machines.")
    ] = "local",
    ray_address: Annotated[
        str, typer.Option(help="The Ray cluster. Default: that of RAY_ADDRESS or of this machine, else a new one.")
    ] = "",
    num_actors: Annotated[
        int, typer.Option(min=0, help="Encoders on the cluster; 0 for one a GPU, or one for each second CPU.")
    ] = 0,
    shards: Annotated[
        str,
        typer.Option(help="Folder or address (s3://…) that all of its machines share. Default: OUT/shards."),
    ] = "",
    watch: Annotated[bool, typer.Option(help="Go on: keep the index up to date until Ctrl-C.")] = False,
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

    Where --model names an image encoder, there is no bridge: the index can be searched, but not chatted with.

    Without --model, a few of the pictures are looked at: photographs are indexed with the model photos, scenes of the
    playground with playground. The index keeps the model's name, so that a chat with it needs none.

    To continue an interrupted build, run the same command again. Without arguments, the command builds the index of the
    playground's own pictures.

    Examples:

    fromage-lite index ~/Pictures --out my-index
    fromage-lite index ~/Pictures ~/scans --out my-index --watch
    fromage-lite index captions.tsv --out my-index --model runs/my-bridge
    fromage-lite index cc3m-shards --out cc3m --model runs/my-bridge
    fromage-lite index ~/Pictures --out my-index --model open_clip:ViT-B-32/laion2b_s34b_b79k
    fromage-lite index cc12m-shards --out cc12m --model runs/my-bridge --engine ray --shards /shared/cc12m
    fromage-lite index --rederive my-index --model runs/my-bridge
    fromage-lite index --from-reference cc3m_embeddings.pkl --model fromage_model --out cc3m
    """
    sources = list(pictures or ())
    _check_together(sources, out, model, captions, rederive, from_reference, relative_to, encoder_of)
    _check_sources(sources, captions, exclude, as_json, watch, encoder_of)
    ray = _ray(engine, ray_address, num_actors, shards, watch, encoder_of)
    limits = DownloadLimits(downloads, per_host, round(max_download * 1e9))
    options = SourceOptions(captions, exclude or (), limits, split)
    wanted = IndexOptions(recall, compact, factory)
    if not sources and rederive is None and out is not None and (out / ROWS).is_file():
        rederive = out  # the command that a fingerprint error names
    try:
        if from_reference and model is not None and out is not None:
            _index_embeddings(from_reference, relative_to, out, model, wanted, device)
        elif encoder_of is not None and out is not None:
            _index_export(sources[0], relative_to, out, encoder_of, model, wanted, device)
        elif sources and out is not None:
            report = JsonIndexReport() if as_json else IndexReport()
            _Pictures(
                sources, out, model, options, retry_failed, batch_size, workers, ray, wanted, device, report
            ).index(watch)
        elif rederive is not None:
            _index_features(rederive, out or rederive, model, wanted, device)
        else:
            _index_playground(out, model, wanted, device)
    except KeyboardInterrupt as interrupt:
        words = str(interrupt) or "Interrupted; nothing is lost. Run the same command again to continue."
        raise KeyboardInterrupt(words) from None


def _check_together(
    pictures: Sequence[Path],
    out: Path | None,
    model: str | None,
    captions: Path | None,
    rederive: Path | None,
    from_reference: Sequence[Path] | None,
    relative_to: Path | None,
    encoder_of: str | None,
) -> None:
    if pictures and rederive is not None:
        raise ConfigError("--rederive takes its pictures from an index.", "Omit the folder.")
    if pictures and out is None:
        raise ConfigError("Where should the index go?", "Name a folder with --out.")
    if from_reference and (pictures or rederive is not None):
        raise ConfigError("--from-reference brings its own pictures.", "Omit the folder and --rederive.")
    if from_reference and (model is None or out is None):
        raise ConfigError("--from-reference needs --out, and --model, which made the embeddings.")
    if relative_to is not None and not from_reference and encoder_of is None:
        raise ConfigError("--relative-to is only for --from-reference and --encoder-of.", "Omit it.")


def _check_sources(
    pictures: Sequence[Path],
    captions: Path | None,
    exclude: Sequence[str] | None,
    as_json: bool,
    watch: bool,
    encoder_of: str | None,
) -> None:
    if captions is not None and (len(pictures) != 1 or not pictures[0].is_dir()):
        raise ConfigError("--captions needs a folder of pictures.", "Name one, or omit it.")
    if exclude and not any(path.is_dir() for path in pictures):
        raise ConfigError("--exclude needs a folder of pictures.", "Name one, or omit it.")
    if as_json and not pictures:
        raise ConfigError("--json is for a folder or a file of pictures.", "Name one, or omit it.")
    if watch and not (pictures and all(path.exists() for path in pictures)):
        raise ConfigError("--watch needs folders or files of pictures that are there.", "Name one, or omit it.")
    if encoder_of is not None and not (len(pictures) == 1 and is_export(pictures[0])):
        raise ConfigError(
            "--encoder-of needs an output folder of clip-retrieval, with img_emb/img_emb_0.npy and its metadata.",
            "Name one, or omit it.",
        )
    if encoder_of is not None and watch:
        raise ConfigError("--watch is for pictures, not for features of clip-retrieval.", "Omit it.")


def _ray(
    engine: Engine, address: str, num_actors: int, shards: str, watch: bool, encoder_of: str | None
) -> RayOptions | None:
    if engine == "local":
        if address or num_actors or shards:
            raise ConfigError("--ray-address, --num-actors and --shards are for --engine ray.", "Add it, or omit them.")
        return None
    if watch or encoder_of is not None:
        raise ConfigError("--engine ray is for builds, without --watch and --encoder-of.", "Omit one of them.")
    from index.building.ray_engine import RayOptions

    return RayOptions(address, num_actors, shards)


@dataclass(frozen=True)
class _Pictures:
    """Pictures to index, as the command line names them."""

    sources: Sequence[Path]
    out: Path
    model: str | None
    options: SourceOptions
    retry_failed: bool
    batch_size: int
    workers: int
    ray: RayOptions | None
    wanted: IndexOptions
    device: str
    report: IndexReport | JsonIndexReport

    def index(self, watch: bool) -> None:
        """Builds; and on, if they are watched."""
        from fromage_lite.indexing import load_embedder, no_bar, no_notice
        from fromage_lite.watching import keep_up
        from index.building.watching import Roots

        roots = Roots(self.sources, self.out) if watch else None
        load = cache(load_embedder)
        built, manifest = self._build(load, self.report.bar, self.report.notice, only_changes=False)
        self.report.show(built, self.out, manifest)
        if roots is None:
            return
        self.report.notice("Watching for changes; Ctrl-C ends it.")

        def again() -> tuple[BuildReport, IndexManifest]:
            return self._build(load, no_bar, no_notice, only_changes=True)

        try:
            keep_up(
                again,
                roots,
                built=lambda built: self.report.again(built[0], self.out, built[1]),
                notice=self.report.notice,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt("No longer watching; what is indexed stays so.") from None

    def _build(
        self, load: Callable[[str | Path, str], Embedder], bar: Bar, notice: Report, only_changes: bool
    ) -> tuple[BuildReport, IndexManifest]:
        from fromage_lite.indexing import index_pictures

        return index_pictures(
            self.sources,
            self.out,
            self.model,
            options=self.options,
            retry_failed=self.retry_failed,
            batch_size=self.batch_size,
            workers=self.workers,
            ray=self.ray,
            index_options=self.wanted,
            device=self.device,
            load=load,
            failed=self.report.failed,
            only_changes=only_changes,
            bar=bar,
            notice=notice,
        )


def _index_features(store: Path, out: Path, model: str | None, wanted: IndexOptions, device: str) -> None:
    from fromage_lite.choice import maker
    from fromage_lite.config import default_model
    from fromage_lite.indexing import index_features, load_embedder

    name = model or maker(store) or default_model()
    embedder = load_embedder(name, device)
    manifest = index_features(store, out, embedder, index_options=wanted, bar=progress_bar)
    say(f"{out}: {manifest.count} pictures indexed from their features. Index: {manifest.described()}")


def _index_export(
    folder: Path, base: Path | None, out: Path, encoder_of: str, model: str | None, wanted: IndexOptions, device: str
) -> None:
    from fromage_lite.importing import index_export

    report, manifest = index_export(
        folder, out, encoder_of, model, base=base, device=device, index_options=wanted, bar=progress_bar
    )
    _show_import(folder, report)
    say(f"{out}: {manifest.count} pictures. Index: {manifest.described()}")


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
    say(f"{out}: {manifest.count} pictures. Index: {manifest.described()}")


def _show_import(file: Path, report: ImportReport) -> None:
    show_bad(report.bad)
    say(
        f"{file}: {report.added} new, {report.known} already indexed, {report.duplicates} duplicate, "
        f"{len(report.bad)} skipped."
    )


def _index_playground(out: Path | None, model_name: str | None, wanted: IndexOptions, device: str) -> None:
    from fromage_lite.config import PLAYGROUND
    from fromage_lite.indexing import embedder_of, index_features, load_model
    from fromage_lite.playground.pictures import ensure_playground_index

    model_name = model_name or PLAYGROUND
    model = load_model(model_name, device)
    with console.StatusLine() as status:
        own = ensure_playground_index(model, status)
    if out is None:
        say(f"{own}: the index of the playground's pictures is ready.")
        return
    embedder = embedder_of(model, model_name)
    manifest = index_features(own, out, embedder, index_options=wanted, bar=progress_bar)
    say(f"{out}: {manifest.count} pictures indexed from their features. Index: {manifest.described()}")
