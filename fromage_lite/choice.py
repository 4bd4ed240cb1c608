"""Which model answers where the user names none: the one that made the index, the one that the pictures are for, else
the default. Choosing loads no model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL import Image

from fromage_lite.config import (
    CONFIG_FILE,
    ENCODER_LIBRARIES,
    NO_INDEX,
    PHOTOS,
    PLAYGROUND,
    default_model,
    shipped_dir,
    shipped_model,
    shipped_name,
)
from fromage_lite.errors import ConfigError, FromageError
from fromage_lite.files import expand_user
from index.milvus.server import about, is_milvus
from index.paths import index_of, pictures_folder
from index.pictures.images import one_line, open_image
from index.sources.hub_datasets import HubReader
from index.sources.readers import FolderReader, Reader, TsvReader
from index.sources.several import SeveralReaders
from index.store.manifest import INDEX_MANIFEST, IndexManifest
from index.store.unfinished import begun_with

SAMPLE = 12  # pictures of a folder that are looked at
MOST_LISTED = 20_000  # pictures of a folder or a table that the sample is spread over
KNOWS_PICTOGRAMS = "The playground's model knows its pictograms only; photographs need another --model."

_FOLDER = "local-dir:"
_HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_SEES = frozenset({"vision_config", "image_size", "patch_size", "num_channels"})  # only models of pictures have these

_SIGHTS = {
    PHOTOS: ("The picture is a photograph", "The pictures are photographs"),
    PLAYGROUND: ("The picture is a scene of the playground", "The pictures are scenes of the playground"),
}


@dataclass(frozen=True)
class Choice:
    """A model for pictures.

    Attributes:
        model: as `--model` takes it.
        why: why it is this one, a sentence for the user; "" if that is plain.
        fits: whether it is for pictures like these, as far as is known.
    """

    model: str
    why: str = ""
    fits: bool = True


def sight(model: str, count: int) -> str:
    """What so many pictures are that a shipped model is for: the beginning of a sentence."""
    return _SIGHTS[model][count > 1]


def lasting_name(model: str | Path) -> str:
    """A model's name as it means the same from every folder: a short name, an absolute folder, or a Hub id."""
    name = str(model)
    if shipped_model(name) is not None:
        return name
    if (encoder := encoder_of(name, asks_hub=False)) is not None:
        return encoder
    path = Path(expand_user(name)).resolve()
    short = shipped_name(path)
    if short and path == shipped_dir(short).resolve():
        return short
    return str(Path(expand_user(name)).absolute()) if path.exists() else name


def encoder_of(model: str | Path, *, asks_hub: bool = True) -> str | None:
    """The image encoder that a model's name means where there is no bridge, as `VisionEncoder.load` takes it from any
    folder; None for a bridge.

    An encoder is named by a library's prefix (`open_clip:ViT-B-32/…`), by a folder that transformers, open_clip or timm
    saved, or by a Hub repository of such files.

    Args:
        model: as `--model` takes it.
        asks_hub: whether the config.json of a repository may be fetched to tell; else one is taken for a bridge.
    """
    name = str(model)
    library, _, rest = name.partition(":")
    if library in ENCODER_LIBRARIES:
        folder = Path(expand_user(rest.removeprefix(_FOLDER)))
        return f"{library}:{_FOLDER}{folder.absolute()}" if rest.startswith(_FOLDER) else name
    if shipped_model(name) is not None:
        return None
    folder = Path(expand_user(name))
    if folder.is_dir():
        return _encoder_in(folder.absolute())
    if not asks_hub or not _HUB_ID.fullmatch(name):
        return None
    from fromage_lite.checkpoint.hub import repository_config  # it knows checkpoints, so it loads torch

    return _encoder_by(repository_config(name), name, "hf-hub:")


def _encoder_in(folder: Path) -> str | None:
    if config := _json(folder / CONFIG_FILE):
        return _encoder_by(config, str(folder), _FOLDER)
    return f"open_clip:{_FOLDER}{folder}" if (folder / "open_clip_config.json").is_file() else None


def _encoder_by(config: Mapping[str, object], name: str, place: str) -> str | None:
    """The encoder with a config.json; None if it is another one's, above all a bridge's."""
    if "language_model" in config:
        return None
    if isinstance(config.get("architecture"), str):
        return f"timm:{place}{name}"
    return name if "model_type" in config and not _SEES.isdisjoint(config) else None


def _json(path: Path) -> dict[str, object]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def model_for_index(index: str | Path | None) -> str:
    """The model that answers from an index: the one that made it, else the default.

    Args:
        index: as `LoadOptions.index`.

    Raises:
        ConfigError: the model that made it is not on this computer. What a folder names is never downloaded unasked.
        StoreError: the index is in Milvus, and can't be asked.
    """
    if index is None or str(index) == NO_INDEX:
        return default_model()
    model = maker(Path(expand_user(index)))
    if not model:
        return default_model()
    if not _is_at_hand(model):
        raise ConfigError(
            f"The index at {index} was made with the model {one_line(model, 200)}, which is not on this computer.",
            "Name a model: --model.",
        )
    return model


def maker(index: Path) -> str:
    """The model that made the index in a folder, or began to, or that a collection in Milvus is for; "" if that isn't
    known.

    Raises:
        StoreError: the index is in Milvus, and can't be asked.
    """
    if is_milvus(index):
        return about(index).model
    try:
        return IndexManifest.read(index / INDEX_MANIFEST).model
    except FromageError:
        words = begun_with(index)
    return next((value for name, value in zip(words, words[1:], strict=False) if name == "--model"), "")


def model_for_pictures(pictures: Sequence[str | Path | Image.Image]) -> str:
    """The shipped model that is for pictures like these: all of one kind. "" where they are mixed, where there is none,
    or where the model isn't shipped. Files that can't be read have no say; pictures that are open may be small."""
    seen = {_side(picture) for picture in pictures} - {None}
    name = seen.pop() if len(seen) == 1 else None
    return name if name is not None and shipped_model(name) is not None else ""


def made_without_bridge(index: str | Path | None) -> str:
    """The model that made an index, if that is in an encoder's own space; "" for all others, and where there is no
    index.

    Args:
        index: as `LoadOptions.index`.

    Raises:
        StoreError: the index is in Milvus, and can't be asked.
    """
    if index is None or str(index) == NO_INDEX:
        return ""
    path = Path(expand_user(index))
    if is_milvus(path):
        made = about(path)
        return "" if made.has_bridge else made.model
    try:
        manifest = IndexManifest.read(path / INDEX_MANIFEST)
    except FromageError:
        return ""
    return "" if manifest.has_bridge else manifest.model


def model_to_search(pictures: Sequence[str]) -> str:
    """The model that searches where neither a model nor an index is named: the default, as long as it has pictures of
    the user's to find or is asked about a photograph; else the playground, which brings pictures.

    Args:
        pictures: what is searched by, beside words.
    """
    folder = pictures_folder()
    has_own = folder is not None and (index_of(folder, PHOTOS) / INDEX_MANIFEST).is_file()
    return default_model() if has_own or model_for_pictures(pictures) == PHOTOS else PLAYGROUND


def sources_to_look_at(reader: Reader) -> list[str]:
    """Pictures of a reader by which the model for all of them is chosen. Nothing is fetched, and of tars and data sets
    only the beginning is read."""
    if isinstance(reader, SeveralReaders):
        return [source for part in reader.readers for source in sources_to_look_at(part)]
    if isinstance(reader, HubReader):
        return []
    is_listed_fast = isinstance(reader, FolderReader | TsvReader)
    listed = islice(reader, MOST_LISTED)
    return list(islice((file.source for file in listed if not file.problem), MOST_LISTED if is_listed_fast else SAMPLE))


def model_for_folder(sources: Iterable[str]) -> Choice:
    """The shipped model that is to index pictures, by a sample spread over them.

    Args:
        sources: their paths in their order.
    """
    listed = list(islice(sources, MOST_LISTED))
    sample = [listed[place * len(listed) // SAMPLE] for place in range(SAMPLE)] if len(listed) > SAMPLE else listed
    sides = [side for source in sample if (side := _side(source)) is not None]
    photographs = sides.count(PHOTOS)
    if not sides:
        return Choice(default_model())
    if photographs * 2 < len(sides):
        drawn = len(sides) - photographs
        return Choice(PLAYGROUND, f"{_of(drawn, sides)} the playground's: indexed with the model {PLAYGROUND}.")
    if shipped_model(PHOTOS) is None:
        return Choice(PLAYGROUND, KNOWS_PICTOGRAMS, fits=False)
    return Choice(PHOTOS, f"{_of(photographs, sides)} photographs: indexed with the model {PHOTOS}.")


def misfit(model: str, reader: Reader) -> str:
    """What the user should know who named a model for pictures: a sentence if it is one that sees pictograms only, and
    they are photographs; else ""."""
    if shipped_name(model) != PLAYGROUND:
        return ""
    choice = model_for_folder(sources_to_look_at(reader))
    return KNOWS_PICTOGRAMS if choice.why and (choice.model == PHOTOS or not choice.fits) else ""


def _of(count: int, sides: Sequence[str]) -> str:
    if len(sides) == 1:
        return "The picture is of"
    return f"{'All' if count == len(sides) else f'{count} of the'} {len(sides)} pictures looked at are"


def _side(picture: str | Path | Image.Image) -> str | None:
    """The model that a picture is for: all that is no scene counts as a photograph. None for a file that can't be
    read."""
    from fromage_lite.playground.world import recognition  # the atlas of pictograms is read then

    try:
        image = picture if isinstance(picture, Image.Image) else open_image(expand_user(picture))
        return PLAYGROUND if recognition.is_scene(image) else PHOTOS
    except FromageError:
        return None


def _is_at_hand(model: str) -> bool:
    if shipped_model(model) is not None or Path(expand_user(model)).is_dir():
        return True
    if model.partition(":")[0] in ENCODER_LIBRARIES:
        from fromage_lite.vision.libraries import encoder_is_here

        return encoder_is_here(model)
    from huggingface_hub import try_to_load_from_cache

    repository, inside = "/".join(model.split("/")[:2]), "/".join(model.split("/")[2:])
    try:
        return isinstance(try_to_load_from_cache(repository, f"{inside}/{CONFIG_FILE}".lstrip("/")), str)
    except ValueError:
        return False
