"""Making pictures searchable: a model's index, from pictures, stored features, or published embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fromage_lite.choice import encoder_of, lasting_name, maker, misfit, model_for_folder, sources_to_look_at
from fromage_lite.config import default_model
from fromage_lite.errors import ConfigError, FingerprintError, StoreError
from fromage_lite.model.fromage import Fromage
from fromage_lite.model.projection import fingerprint_without_lm, projection, vision_of
from fromage_lite.placement import choose_placement
from fromage_lite.progress import Report
from fromage_lite.vision import EncoderSpace, VisionEncoder
from fromage_lite.vision.two_steps import two_steps
from index.building.build import BuildReport, build_store, derive_index
from index.building.encoding import Encoder
from index.building.projected import ImportReport, import_embeddings
from index.progress import Progress
from index.search.derive import Project
from index.search.policy import IndexOptions
from index.sources.download import DownloadLimits
from index.sources.readers import Reader
from index.sources.recognise import SourceOptions, is_streamed, open_sources
from index.sources.reference_pickle import read_reference
from index.store.feature_store import FeatureStore
from index.store.manifest import INDEX_MANIFEST, IndexManifest
from index.store.threshold import keep_match_score

if TYPE_CHECKING:
    from index.building.ray_engine import RayEngine, RayOptions

Bar = Callable[[str, str], AbstractContextManager[Progress]]
"""As `progress_bar`: a title and the unit that is counted -> a context with a function to report progress."""


@contextmanager
def no_bar(title: str, unit: str) -> Iterator[Progress]:
    """A bar that shows nothing."""
    yield lambda done, total: None


def no_notice(sentence: str) -> None:
    """Tells nobody."""


def load_model(name: str | Path | None = None, device: str = "auto") -> Fromage:
    """Loads a model by its short name, its folder or its Hub id; without one, the default.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    return Fromage.from_pretrained(name or default_model(), device=device)


@dataclass(frozen=True)
class Embedder:
    """What makes an index: an image encoder, and a space for its features.

    Attributes:
        vision: the encoder.
        project: features (n, dim) float32 -> image embeddings (n, R) float32, unit norm.
        fingerprint: of the space.
        name: the model, as `--model` takes it from any folder.
        match_score: the score from which on a picture fits, as it was calibrated; None if it wasn't.
    """

    vision: VisionEncoder
    project: Project
    fingerprint: str
    name: str
    match_score: float | None = None


def load_embedder(name: str | Path, device: str = "auto") -> Embedder:
    """What indexes for a model. For an image encoder without a bridge, that is the encoder's own space, and likewise
    for a bridge that was not trained to find pictures, if its encoder has a text tower; else the bridge's.

    Raises:
        CheckpointError: the model is missing or damaged.
        ConfigError: neither bridge nor encoder can find pictures.
    """
    if (encoder := encoder_of(name)) is not None:
        return _embedder_without_bridge(VisionEncoder.load(encoder, choose_placement(device)), encoder)
    return embedder_of(load_model(name, device), name)


def load_vision(name: str | Path, device: str = "auto") -> VisionEncoder:
    """The image encoder that a name means, or the one of the bridge that it means, whose LM is not loaded.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    encoder = encoder_of(name)
    return vision_of(name, device) if encoder is None else VisionEncoder.load(encoder, choose_placement(device))


def embedder_of(model: Fromage, name: str | Path) -> Embedder:
    """As `load_embedder`, for a bridge that is loaded."""
    if not model.config.has_retrieval and model.vision.has_text_tower:
        return _embedder_without_bridge(model.vision, lasting_name(name))
    least = model.config.match_score
    return Embedder(model.vision, projection(model), model.fingerprint(), lasting_name(name), least)


def _embedder_without_bridge(vision: VisionEncoder, name: str) -> Embedder:
    space = EncoderSpace(vision)
    return Embedder(vision, space.project, space.fingerprint, name)


def index_pictures(
    pictures: Path | Sequence[Path],
    out: Path,
    model_name: str | Path | None = None,
    *,
    captions: Path | None = None,
    options: SourceOptions = SourceOptions(),
    retry_failed: bool = False,
    batch_size: int = 64,
    workers: int = 0,
    ray: RayOptions | None = None,
    device: str = "auto",
    load: Callable[[str | Path, str], Embedder] | None = None,
    only_changes: bool = False,
    failed: Callable[[], None] = lambda: None,
    index_options: IndexOptions = IndexOptions(),
    bar: Bar = no_bar,
    notice: Report = no_notice,
) -> tuple[BuildReport, IndexManifest]:
    """Embeds pictures and indexes them; continues where an interrupted call stopped.

    Args:
        pictures: whatever `index.sources.recognise` knows: a folder, a table, tars, a data set; or several of them.
        out: folder of the index and of the features that it is made from.
        model_name: as for `load_embedder`; without one, the model that `out` was begun with, else the shipped one that
            is for pictures like these, by a sample of them.
        captions: a table of captions for the pictures of the folder, in place of that of `options`.
        options: how they are read.
        retry_failed: ask web addresses again that were found dead.
        batch_size: pictures embedded at once.
        workers: processes that decode pictures; 0 for threads of this one.
        ray: embed on a Ray cluster, used like this; None embeds here.
        device: where the model runs.
        load: in place of `load_embedder`, for who has the model already.
        only_changes: leave the index as it is if no picture has changed and it is this model's.
        failed: called for each picture that can't be indexed, as it happens.
        index_options: what the index is to be like.
        bar: shows the progress.
        notice: gets a sentence about the model that was chosen.

    Raises:
        FromageError: the pictures, the model or `out` can't be used.
    """
    # Before loading the model, so that a mistyped folder fails at once.
    options = replace(options, captions=captions or options.captions)
    paths = [pictures] if isinstance(pictures, Path) else list(pictures)
    if ray is not None and any(is_streamed(path, options) for path in paths):
        hint = "Save it (save_to_disk) where all machines see it, or build without --engine ray."
        raise ConfigError("A Ray cluster reads no data set by its name.", hint)
    reader = open_sources(paths, options)
    model_name = _chosen(model_name, out, reader, notice)
    embedder = (load or load_embedder)(model_name, device)
    named = [str(path if is_streamed(path, options) else path.absolute()) for path in paths]
    chosen = [*options.words(), *(ray.words() if ray is not None else []), *index_options.words()]
    with _engine(ray, embedder, out, device, options.limits, batch_size, bar) as (elsewhere, progress):
        report = build_store(
            reader,
            two_steps(embedder.vision),
            out,
            encoder_fingerprint=embedder.vision.fingerprint(),
            batch_size=batch_size,
            progress=progress,
            resume=[*named, *chosen, *_words(embedder.name)],
            retry_failed=retry_failed,
            workers=workers,
            preprocessing=embedder.vision.preprocessing,
            failed=failed,
            elsewhere=elsewhere,
        )
    if only_changes and not report.changes and (known := _index_of(out, embedder, report)) is not None:
        return report, known
    derive_index(out, embedder.project, embedder.fingerprint, options=index_options, model=embedder.name)
    return report, keep_match_score(out, embedder.match_score)


@dataclass(frozen=True)
class WorkerEncoder:
    """Makes an image encoder on another machine, where it or its model has to be under the same name.

    Attributes:
        name: as `load_vision` takes it from any folder.
        device: where the encoder runs there.
        fingerprint: that it must have.
    """

    name: str
    device: str
    fingerprint: str

    def __call__(self) -> Encoder:
        """The encoder.

        Raises:
            CheckpointError: it is missing or damaged there.
            FingerprintError: another encoder is there.
        """
        vision = load_vision(self.name, self.device)
        if vision.fingerprint() != self.fingerprint:
            raise FingerprintError(
                f"A worker has another image encoder under the name {self.name} than the machine that began.",
                "Put the same model on all of them.",
            )
        return two_steps(vision)


@contextmanager
def _engine(
    ray: RayOptions | None,
    embedder: Embedder,
    out: Path,
    device: str,
    limits: DownloadLimits,
    batch_size: int,
    bar: Bar,
) -> Iterator[tuple[RayEngine | None, Progress]]:
    """What embeds on a cluster, None for here, and the progress of the build; its shards go once the build is done."""
    if ray is None:
        with bar("Embedding", "picture") as progress:
            yield None, progress
        return
    from index.building.ray_engine import RayEngine

    fingerprint = embedder.vision.fingerprint()
    options = replace(ray, shards=ray.shards or str(out.absolute() / "shards"))
    make = WorkerEncoder(embedder.name, device, fingerprint)
    with bar("Embedding on Ray", "picture") as on_ray, bar("Storing", "picture") as progress:
        engine = RayEngine(options, make, fingerprint, limits=limits, batch_size=batch_size, progress=on_ray)
        yield engine, progress
    engine.forget()


def _index_of(out: Path, embedder: Embedder, report: BuildReport) -> IndexManifest | None:
    """The manifest of an index that a model made of as many pictures as there are; else None."""
    try:
        manifest = IndexManifest.read(out / INDEX_MANIFEST)
    except StoreError:
        return None
    is_known = (manifest.bridge_fingerprint, manifest.count) == (embedder.fingerprint, report.total)
    return manifest if is_known else None


def _chosen(name: str | Path | None, out: Path, reader: Reader, notice: Report) -> str | Path:
    """The model for an index: the named one, that of the build that goes on, or the one for such pictures."""
    if name is not None:
        why = misfit(str(name), reader)
    elif name := maker(out):
        why = ""
    else:
        choice = model_for_folder(sources_to_look_at(reader))
        name, why = choice.model, choice.why
    if why:
        notice(why)
    return name


def index_features(
    store: Path, out: Path, embedder: Embedder, *, index_options: IndexOptions = IndexOptions(), bar: Bar = no_bar
) -> IndexManifest:
    """Indexes the pictures of a store for another model, from the stored features; no picture is opened.

    Args:
        store: the store's folder.
        out: the index's folder, which may be the same.
        embedder: the model, with the encoder that made the features.
        index_options: what the index is to be like.
        bar: shows the progress.

    Raises:
        FingerprintError: another encoder made the features.
        StoreError: the store is missing or damaged, or `out` can't be written.
    """
    opened = FeatureStore.open(store)
    check_encoder(opened, embedder)
    with bar("Projecting", "row") as progress:
        derive_index(
            opened,
            embedder.project,
            embedder.fingerprint,
            out,
            options=index_options,
            progress=progress,
            model=embedder.name,
        )
    return keep_match_score(out, embedder.match_score)


def check_encoder(opened: FeatureStore, embedder: Embedder) -> None:
    """Raises FingerprintError unless the model's own image encoder made the store's features."""
    if opened.bridge_fingerprint is None and opened.encoder_fingerprint != embedder.vision.fingerprint():
        raise FingerprintError(
            f"The features in {opened.path} were made by another image encoder than the model's.",
            "Build a new one from the pictures: fromage-lite index FOLDER --model MODEL --out NEW_INDEX",
        )


def index_embeddings(
    files: Iterable[Path],
    out: Path,
    model_name: str | Path,
    *,
    base: Path | None = None,
    device: str = "auto",
    index_options: IndexOptions = IndexOptions(),
    bar: Bar = no_bar,
    report: Callable[[Path, ImportReport], None] = lambda file, report: None,
) -> IndexManifest:
    """Indexes the image embeddings that come with the original FROMAGe.

    Args:
        files: pickles of paths and embeddings.
        out: the index's folder.
        model_name: folder or Hub id of the model that made them; its language model is not loaded.
        base: the folder that paths in the files are relative to; None is each file's own.
        device: where the image encoder runs; it is needed for the fingerprint.
        index_options: what the index is to be like.
        bar: shows the progress.
        report: gets a summary of each file.

    Raises:
        ConfigError: the embeddings have another width than the model's.
        FromageError: a file, the model or `out` can't be used.
    """
    known: tuple[str, int] | None = None
    files = list(files)
    for file in files:
        with bar(f"Reading {file.name}", "byte") as progress:
            reference = read_reference(file, progress)
        fingerprint, dim = known = known or fingerprint_without_lm(model_name, device)
        if reference.dim != dim:
            raise ConfigError(
                f"The embeddings in {file} have {reference.dim} dimensions, and those of {model_name} {dim}.",
                "Name the model that made them.",
            )
        with bar("Storing", "row") as progress:
            imported = import_embeddings(
                reference.blocks(),
                out,
                bridge_fingerprint=fingerprint,
                base=base or file.parent,
                total=len(reference),
                progress=progress,
                resume=[*_words(model_name, from_reference=files, relative_to=base), *index_options.words()],
            )
        del reference  # frees gigabytes that the index needs now
        report(file, imported)
    if known is None:
        raise ConfigError("There are no files of embeddings to index.")
    with bar("Indexing", "row") as progress:
        name = lasting_name(model_name)
        return derive_index(
            out, lambda vectors: vectors, known[0], options=index_options, progress=progress, model=name
        )


def _words(model_name: str | Path, **options: Path | Iterable[Path] | None) -> list[str]:
    """Arguments of the command that goes on with an index, from whatever folder."""
    words: list[str] = []
    for name, value in options.items():
        for path in [value] if isinstance(value, Path) else value or ():
            words += [f"--{name.replace('_', '-')}", str(path.absolute())]
    return [*words, "--model", lasting_name(model_name)]
