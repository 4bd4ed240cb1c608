"""From names and options to an agent: the one place that knows the shipped models and their pictures.

It is the top of the package: chats, commands and scripts start with `load_agent`.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from fromage_lite.chat.agent import Agent, OwnIndex
from fromage_lite.chat.tower import Tower
from fromage_lite.chat.tower_search import TowerSearch
from fromage_lite.choice import encoder_of, lasting_name, made_without_bridge, model_for_index
from fromage_lite.config import (
    NO_INDEX,
    PHOTOS,
    PLAYGROUND,
    AskBy,
    LoadOptions,
    shipped_model,
    shipped_name,
)
from fromage_lite.errors import ConfigError, FromageError
from fromage_lite.files import expand_user
from fromage_lite.progress import Report
from index.paths import index_of, pictures_folder
from index.pictures.images import one_line
from index.store.manifest import INDEX_MANIFEST, IndexManifest

if TYPE_CHECKING:
    from fromage_lite.model.fromage import Fromage


def load_agent(
    options: LoadOptions = LoadOptions(), progress: Report | None = None, notice: Report | None = None
) -> Agent:
    """Loads a model and opens its index.

    Args:
        options: what to load, where and how precisely. Without a model, the one that made the index is loaded, else
            the default. Without an index, that of the model's own pictures is opened: the playground's, which is made
            on first use, or the one that the chat made of the user's folder of pictures.
        progress: gets a sentence about each step that takes time.
        notice: gets a sentence about the memory that a large model will take.

    Raises:
        ConfigError: the model, or what made the index, is an image encoder without a bridge.
        FromageError: the model or the index is missing or damaged, or they don't belong together.
    """
    checkpoint = options.model or _bridge_for_index(options.index)
    if encoder_of(checkpoint) is not None:
        raise ConfigError(
            f"{one_line(checkpoint, 200)} is an image encoder without a bridge, so there is nothing to chat with.",
            _without_bridge(checkpoint, options.index),
        )
    name = model_label(checkpoint)
    if progress is not None:
        progress(f"Loading the model {name} …")  # the import alone takes seconds
    from fromage_lite.model.fromage import Fromage
    from fromage_lite.playground.pictures import ensure_playground_index

    model = Fromage.from_pretrained(
        checkpoint, device=options.device, dtype=options.dtype, quantize=options.quantize, notice=notice
    )
    own_index: OwnIndex | None = ensure_playground_index if shipped_name(checkpoint) == PLAYGROUND else None
    if shipped_name(checkpoint) == PHOTOS:
        own_index = own_pictures
    agent = Agent(model, model_name=name, checkpoint=lasting_name(checkpoint), own_index=own_index)
    agent.use_index(options.index, progress)
    return agent


def _bridge_for_index(index: str | None) -> str:
    """As `model_for_index`, for an index that a bridge made."""
    encoder = made_without_bridge(index)
    if encoder and encoder_of(encoder, asks_hub=False) is not None:
        raise ConfigError(
            f"The index at {index} was made with the image encoder {one_line(encoder, 200)} alone, so there is no "
            "bridge to chat with.",
            _without_bridge(encoder, index),
        )
    return model_for_index(index)


def _without_bridge(encoder: str, index: str | None) -> str:
    words = shlex.join(["fromage-lite", "train", "--data", "CAPTIONS", "--vision-encoder", encoder])
    where = shlex.quote(index or "INDEX")
    return f"Search instead (fromage-lite search WORDS --index {where}), or train one: {words} --out runs/mine"


def load_searcher(
    options: LoadOptions = LoadOptions(),
    by: AskBy | None = None,
    progress: Report | None = None,
    notice: Report | None = None,
) -> Agent | TowerSearch:
    """Loads what finds pictures without a dialogue. By text tower, no language model is loaded.

    Args:
        options: as for `load_agent`; the model may be an image encoder without a bridge.
        by: the way to ask; None is `text-tower` for an encoder and for an index that an encoder alone made, else the
            model's own.
        progress: as for `load_agent`.
        notice: likewise.

    Raises:
        FromageError: as `load_agent`, and where the encoder has not made the index's features.
    """
    has_bridge = not made_without_bridge(options.index) and not (options.model and encoder_of(options.model))
    if has_bridge and by != "text-tower":
        return load_agent(options, progress, notice)
    if by not in (None, "text-tower"):
        raise ConfigError(f"There is no bridge to ask by {by}.", "Leave out --by, or name a bridge: --model.")
    return TowerSearch(load_tower(options, progress, notice))


def load_tower(
    options: LoadOptions = LoadOptions(), progress: Report | None = None, notice: Report | None = None
) -> Tower:
    """An index in the space of a model's image encoder, which alone is loaded, unless the model's own pictures are
    meant.

    Raises: as `load_searcher`.
    """
    if options.index is None or options.index == NO_INDEX:
        if options.model is not None and encoder_of(options.model) is not None:
            raise ConfigError("There is no index to search.", "Name one with --index, or build one from your pictures.")
        return load_agent(options, progress, notice).engine.tower
    index = Path(expand_user(options.index))
    model = options.model or model_for_index(index)
    if progress is not None:
        progress(f"Loading the image encoder of {model_label(model)} …")
    from fromage_lite.model.projection import vision_of
    from fromage_lite.placement import choose_placement
    from fromage_lite.vision import EncoderSpace, VisionEncoder
    from index.milvus.milvus_index import MilvusIndex
    from index.milvus.server import is_milvus
    from index.search.faiss_index import ImageIndex

    # First, so that a mistyped folder fails at once.
    opened = MilvusIndex.open(index, model=model) if is_milvus(index) else ImageIndex.open(index, model=model)
    place, encoder = choose_placement(options.device, options.dtype), encoder_of(model)
    vision = vision_of(model, place) if encoder is None else VisionEncoder.load(encoder, place)
    return Tower.open(EncoderSpace(vision), opened)


def model_label(model: str) -> str:
    """The short name of a model in messages."""
    if shipped_model(model) is not None or not Path(model).exists():
        return model
    return Path(model).name


def own_pictures(model: Fromage, progress: Report | None = None) -> Path | None:
    """The index of the user's folder of pictures for `photos`, if the chat has made one and it is this model's."""
    folder = pictures_folder()
    if folder is None:
        return None
    index = index_of(folder, PHOTOS)
    try:
        manifest = IndexManifest.read(index / INDEX_MANIFEST)
    except FromageError:
        return None
    return index if manifest.bridge_fingerprint == model.fingerprint() else None
