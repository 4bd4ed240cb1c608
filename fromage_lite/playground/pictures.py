"""The playground's own pictures: a gallery of scenes as files, indexed by the ordinary path on first start."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fromage_lite.errors import StoreError
from fromage_lite.playground.text.grammar import full_description
from fromage_lite.playground.world.render import render
from fromage_lite.playground.world.scene import Scene, random_group, sample_scene
from fromage_lite.playground.world.things import SETTINGS, THINGS
from fromage_lite.progress import Report
from index.errors import reason
from index.files import replacing, write_bytes
from index.paths import cache_folder

if TYPE_CHECKING:
    from fromage_lite.model.fromage import Fromage

GALLERY_SIZE = 2400
_VERSION = 1  # of the gallery's content: raise it when scenes or drawing change
_BATCH = 64


def gallery() -> list[Scene]:
    """The scenes of the gallery: every thing in every setting once by itself, then mixed scenes without restriction."""
    rng = random.Random("gallery")
    scenes = [Scene((random_group(rng, thing),), setting) for thing in THINGS for setting in SETTINGS]
    scenes += [sample_scene(rng, "any") for _ in range(GALLERY_SIZE - len(scenes))]
    return scenes


def playground_cache() -> Path:
    """Where generated pictures and features are kept."""
    return cache_folder() / "playground"


def _encoder_folder(model: Fromage) -> Path:
    return playground_cache() / f"gallery-{_VERSION}-{model.vision.fingerprint()[:12]}"


def playground_index_path(model: Fromage) -> Path:
    """The index folder of the gallery for this model's bridge, whether it exists or not."""
    return _encoder_folder(model) / f"index-{model.fingerprint()[:12]}"


def ensure_playground_index(model: Fromage, progress: Report | None = None) -> Path:
    """Make the gallery's pictures, features and index for this model if they are not there yet.

    An interrupted making goes on where it stopped; two processes that start together do it once.

    Args:
        model: the model whose encoder and bridge the index is for.
        progress: gets one short line of text now and then.

    Returns:
        The index folder.

    Raises:
        StoreError: the cache folder can't be written to.
    """
    from filelock import FileLock

    from fromage_lite.model.projection import projection
    from index.building.build import derive_index
    from index.errors import FromageError
    from index.search.faiss_index import ImageIndex

    say = progress or (lambda _: None)
    index, folder = playground_index_path(model), _encoder_folder(model)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            try:
                ImageIndex.open(index, bridge_fingerprint=model.fingerprint())
                return index
            except FromageError:
                pass  # missing or damaged: (re)make it below
            _write_pictures(say)
            _build_store(model, folder / "store", say)
            say("Indexing the playground's pictures")
            derive_index(folder / "store", projection(model), model.fingerprint(), index)
    except OSError as error:
        raise StoreError(
            f"The playground's pictures can't be written to {playground_cache()}: {reason(error)}.",
            "Free some space there, or set XDG_CACHE_HOME to a folder that can be written to.",
        ) from error
    return index


def _pictures_folder() -> Path:
    return playground_cache() / f"pictures-{_VERSION}"


def _write_pictures(say: Report) -> None:
    """Render the gallery to WebP files, each with its full description beside it; existing files stay."""
    folder = _pictures_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(gallery()):
        picture = folder / f"{number:05d}.webp"
        if number % 200 == 0:
            say(f"Drawing the playground's pictures: {number} of {GALLERY_SIZE}")
        if picture.exists():
            continue
        write_bytes(picture.with_suffix(".txt"), f"{full_description(scene)}\n".encode())
        with replacing(picture) as temporary:
            render(scene, number).save(temporary, "WEBP", quality=90)


def _build_store(model: Fromage, out: Path, say: Report) -> None:
    from PIL import Image

    from index.building.build import FolderReader, build_store

    def embed(images: list[Image.Image]) -> npt.NDArray[np.floating]:
        return model.image_features(images).pooled.cpu().numpy()

    def report(done: int, total: int) -> None:
        if done % (4 * _BATCH) == 0:
            say(f"Looking at the playground's pictures: {done} of {total}")

    build_store(
        FolderReader(_pictures_folder()),
        embed,
        out,
        encoder_fingerprint=model.vision.fingerprint(),
        batch_size=_BATCH,
        progress=report,
    )
