"""An index of features that clip-retrieval computed: no picture is opened, and the encoder says only who it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fromage_lite.choice import lasting_name
from fromage_lite.errors import ConfigError, FingerprintError
from fromage_lite.indexing import Bar, Embedder, load_embedder, load_vision, no_bar
from index.building.projected import ImportReport, import_features
from index.search.derive import derive_index
from index.search.policy import IndexOptions
from index.sources.clip_retrieval import Export
from index.store.manifest import IndexManifest
from index.store.threshold import keep_match_score

SAME_DIRECTION = 0.999
"""Cosine of image embeddings from which on the length of a feature does not matter."""


def index_export(
    folder: Path,
    out: Path,
    encoder_of: str,
    model_name: str | None = None,
    *,
    base: Path | None = None,
    device: str = "auto",
    index_options: IndexOptions = IndexOptions(),
    bar: Bar = no_bar,
) -> tuple[ImportReport, IndexManifest]:
    """Indexes an output folder of clip-retrieval for a model.

    Args:
        folder: clip-retrieval's output.
        out: folder of the index.
        encoder_of: the model whose image encoder made the features: that it is this one can't be seen from them.
        model_name: the model that is to search; by default the same one.
        base: the folder that paths of pictures are in, and relative to; by default the output folder.
        device: where the model runs.
        index_options: what the index is to be like.
        bar: shows the progress.

    Raises:
        ConfigError: the features are of another width than the encoder's, or normalised where the encoder's are not and
            the bridge heeds their length.
        FingerprintError: the two models have different encoders.
        StoreError: the export or `out` can't be used.
    """
    export = Export(folder)
    name = model_name or encoder_of
    model = load_embedder(name, device)
    if name != encoder_of and load_vision(encoder_of, device).fingerprint() != model.vision.fingerprint():
        what = f"The image encoder of {encoder_of} is another one than that of {name}, which can't search its features."
        raise FingerprintError(what, "Name a --model with that encoder.")
    if export.dim != model.vision.dim:
        raise ConfigError(
            f"The features in {folder} have {export.dim} dimensions, and those of {encoder_of}'s encoder "
            f"{model.vision.dim}.",
            "Name the model whose image encoder made them: --encoder-of MODEL.",
        )
    _check_length(export, model, folder)
    resume = [str(folder.absolute()), "--encoder-of", lasting_name(encoder_of), "--model", lasting_name(name)]
    resume += index_options.words()
    with bar("Storing", "row") as progress:
        report = import_features(
            export,
            out,
            encoder_fingerprint=model.vision.fingerprint(),
            base=base or folder,
            progress=progress,
            resume=[*resume, "--relative-to", str(base.absolute())] if base is not None else resume,
        )
    with bar("Projecting", "row") as progress:
        derive_index(out, model.project, model.fingerprint, options=index_options, progress=progress, model=model.name)
    return report, keep_match_score(out, model.match_score)


def _check_length(export: Export, model: Embedder, folder: Path) -> None:
    """clip-retrieval makes features of length 1. Where the encoder's own are not, a bridge with a constant part would
    take them for others."""
    if not export.is_normalised:
        return
    greys = [Image.new("RGB", (256, 256), (level, level, level)) for level in (40, 120, 200)]
    length = float(model.vision.image_features(greys).pooled.norm(dim=1).mean())
    if abs(length - 1) < 0.05:
        return
    sample: npt.NDArray[np.float32] = next(export.blocks()).features[:256]
    project = model.project
    cosines = (project(sample) * project(length * sample)).sum(axis=1)
    if cosines.min() < SAME_DIRECTION:
        raise ConfigError(
            f"The features in {folder} are normalised, those of the model's encoder are not (their length is about "
            f"{length:.2g}), and its bridge heeds the length.",
            "Index the pictures themselves.",
        )
