"""From names and options to an agent: the one place that knows the shipped models and their pictures.

It is the top of the package: chats, commands and scripts start with `load_agent`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fromage_lite.chat.agent import Agent, OwnIndex
from fromage_lite.choice import lasting_name, model_for_index
from fromage_lite.config import PHOTOS, PLAYGROUND, LoadOptions, shipped_model, shipped_name
from fromage_lite.errors import FromageError
from fromage_lite.progress import Report
from index.manifest import INDEX_MANIFEST, IndexManifest
from index.paths import index_of, pictures_folder

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
        FromageError: the model or the index is missing or damaged, or they don't belong together.
    """
    checkpoint = options.model or model_for_index(options.index)
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
