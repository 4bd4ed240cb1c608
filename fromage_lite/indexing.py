"""Making pictures searchable: a model's index, from pictures, stored features, or published embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from fromage_lite.choice import lasting_name, maker, misfit, model_for_folder, sources_to_look_at
from fromage_lite.config import default_model
from fromage_lite.errors import ConfigError, FingerprintError
from fromage_lite.model.fromage import Fromage
from fromage_lite.model.projection import fingerprint_without_lm, projection
from fromage_lite.progress import Report
from index.build import BuildReport, build_store, derive_index
from index.manifest import IndexManifest
from index.policy import IndexOptions
from index.progress import Progress
from index.projected import ImportReport, import_embeddings
from index.readers import Reader
from index.recognise import SourceOptions, open_source
from index.reference_pickle import read_reference
from index.store import FeatureStore

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


def index_pictures(
    pictures: Path,
    out: Path,
    model_name: str | Path | None = None,
    *,
    captions: Path | None = None,
    options: SourceOptions = SourceOptions(),
    retry_failed: bool = False,
    batch_size: int = 64,
    device: str = "auto",
    index_options: IndexOptions = IndexOptions(),
    bar: Bar = no_bar,
    notice: Report = no_notice,
) -> tuple[BuildReport, IndexManifest]:
    """Embeds pictures and indexes them; continues where an interrupted call stopped.

    Args:
        pictures: whatever `index.recognise` knows: a folder, a table, tars, a data set.
        out: folder of the index and of the features that it is made from.
        model_name: as for `load_model`; without one, the model that `out` was begun with, else the shipped one that
            is for pictures like these, by a sample of them.
        captions: a table of captions for the pictures of the folder, in place of that of `options`.
        options: how they are read.
        retry_failed: ask web addresses again that were found dead.
        batch_size: pictures embedded at once.
        device: where the model runs.
        index_options: what the index is to be like.
        bar: shows the progress.
        notice: gets a sentence about the model that was chosen.

    Raises:
        FromageError: the pictures, the model or `out` can't be used.
    """
    # Before loading the model, so that a mistyped folder fails at once.
    options = replace(options, captions=captions or options.captions)
    reader = open_source(pictures, options)
    model_name = _chosen(model_name, out, reader, notice)
    model = load_model(model_name, device)
    with bar("Embedding", "picture") as progress:
        report = build_store(
            reader,
            lambda images: model.image_features(images).pooled.float().cpu().numpy(),
            out,
            encoder_fingerprint=model.vision.fingerprint(),
            batch_size=batch_size,
            progress=progress,
            resume=[str(pictures.absolute()), *options.words(), *_words(model_name)],
            retry_failed=retry_failed,
        )
    name = lasting_name(model_name)
    return report, derive_index(out, projection(model), model.fingerprint(), options=index_options, model=name)


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
    store: Path,
    out: Path,
    model: Fromage,
    model_name: str | Path,
    *,
    index_options: IndexOptions = IndexOptions(),
    bar: Bar = no_bar,
) -> IndexManifest:
    """Indexes the pictures of a store for another bridge, from the stored features; no picture is opened.

    Args:
        store: the store's folder.
        out: the index's folder, which may be the same.
        model: the bridge, with the encoder that made the features.
        model_name: by which it was loaded; the index keeps it.
        index_options: what the index is to be like.
        bar: shows the progress.

    Raises:
        FingerprintError: another encoder made the features.
        StoreError: the store is missing or damaged, or `out` can't be written.
    """
    opened = FeatureStore.open(store)
    if opened.bridge_fingerprint is None and opened.encoder_fingerprint != model.vision.fingerprint():
        raise FingerprintError(
            f"The features in {store} were made by another image encoder than the model's.",
            "Build a new one from the pictures: fromage-lite index FOLDER --model MODEL --out NEW_INDEX",
        )
    with bar("Projecting", "row") as progress:
        name = lasting_name(model_name)
        return derive_index(
            opened, projection(model), model.fingerprint(), out, options=index_options, progress=progress, model=name
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
                resume=_words(model_name, from_reference=files, relative_to=base),
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
