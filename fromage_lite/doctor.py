"""What is installed, what works and what is wrong. It loads the model as the chat would, and builds nothing."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from fromage_lite import __version__
from fromage_lite.chat.agent import Agent
from fromage_lite.choice import encoder_of, made_without_bridge, model_for_index
from fromage_lite.config import NO_INDEX, PHOTOS, PLAYGROUND, SHIPPED, LoadOptions, shipped_dir, shipped_name
from fromage_lite.errors import FromageError, StoreError
from fromage_lite.start import load_agent, load_tower, own_pictures
from index.errors import described
from index.search.hits import Retriever

if TYPE_CHECKING:
    from fromage_lite.vision import VisionEncoder

PACKAGES = (
    "torch",
    "torchvision",
    "transformers",
    "open_clip_torch",
    "timm",
    "textual",
    "textual-image",
    "textual-serve",
    "numpy",
    "pillow",
    "safetensors",
    "huggingface_hub",
    "accelerate",
)
NAMED = 5  # of the pictures that are wrong in the index


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was checked.
        value: what was found.
        fault: what is wrong and what to do; empty if all is well.
    """

    name: str
    value: str
    fault: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not self.fault


def examine(options: LoadOptions) -> Iterator[Check]:
    """Checks versions, devices, the model and its index, cheap checks first."""
    yield from _versions()
    yield from _devices()
    folders = [folder for name in SHIPPED if (folder := shipped_dir(name)).is_dir()]
    yield Check("shipped models", ", ".join(map(str, folders)))
    yield from _model_and_index(options)


def _versions() -> Iterator[Check]:
    yield Check("fromage-lite", __version__)
    yield Check("Python", f"{platform.python_version()} on {platform.platform(terse=True)} {platform.machine()}")
    for name in PACKAGES:
        version = _version(name)
        yield Check(name, version or "missing", "" if version else "Install the dependencies again: make install.")
    faiss = {name: version for name in ("faiss-gpu", "faiss-cpu") if (version := _version(name))}
    fault = ""
    if len(faiss) != 1:
        fault = "Install exactly one of faiss-gpu and faiss-cpu: they contain the same module."
    yield Check("faiss", ", ".join(f"{name} {version}" for name, version in faiss.items()) or "missing", fault)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> Iterator[Check]:
    try:
        import torch

        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            names.append("Apple MPS")
        yield Check("devices", ", ".join([*names, f"CPU ({torch.get_num_threads()} threads)"]))
        yield Check("precisions", _precisions())
    except Exception as error:  # a broken torch or driver raises anything
        yield Check("devices", "unknown", f"PyTorch does not work: {described(error)}")


def _precisions() -> str:
    """What --dtype can be here; bf16 needs a GPU that computes in it, fp16 is slow on a CPU."""
    import torch

    if torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "fp32, fp16"
    return "fp32, bf16, fp16"


def _model_and_index(options: LoadOptions) -> Iterator[Check]:
    plans: list[str] = []
    try:
        if made_without_bridge(options.index) or (options.model and encoder_of(options.model)):
            yield from _encoder_and_index(options)
            return
        options = replace(options, model=options.model or model_for_index(options.index))
        agent = load_agent(replace(options, index=NO_INDEX), notice=plans.append)
    except StoreError as error:
        yield Check("index", options.index or "", str(error))
        return
    except FromageError as error:
        yield Check("model", options.model or "by the index", str(error))
        return
    except Exception as error:
        yield Check("model", options.model or "by the index", f"It can't be loaded: {described(error)}")
        return
    yield from (Check("memory", plan) for plan in plans)
    facts = agent.describe()
    yield Check("model", f"{facts['model']}, fingerprint {facts['fingerprint']}")
    yield Check("language model", f"{facts['language_model']}, {facts['max_positions']} positions")
    yield Check("image encoder", facts["vision_encoder"])
    yield Check("runs on", f"{facts['device']}, {facts['dtype']}")
    yield Check("can be asked by", ", ".join(agent.engine.ways) or "nothing: it finds no pictures")
    yield _index(agent, options)
    yield from _pictures(agent.engine.index, agent.model.vision, options)


def _encoder_and_index(options: LoadOptions) -> Iterator[Check]:
    """An image encoder without a bridge, and its index."""
    tower = load_tower(options)
    encoder = tower.space.encoder
    yield Check("model", f"no bridge: it can search, but not chat; fingerprint {tower.space.fingerprint}")
    yield Check("image encoder", encoder.name)
    yield Check("runs on", f"{encoder.device}, {str(encoder.dtype).removeprefix('torch.')}")
    yield Check("can be asked by", "text-tower" if encoder.has_text_tower else "pictures only: it has no text tower")
    count = len(tower.index) if tower.index is not None else 0
    yield Check("index", f"{options.index}, {count} pictures")
    yield from _pictures(tower.index, encoder, options)


def _index_path(agent: Agent, options: LoadOptions) -> Path | None:
    from fromage_lite.playground.pictures import playground_index_path

    if options.index is not None:
        return None if options.index == NO_INDEX else Path(options.index).expanduser()
    if shipped_name(options.model) == PLAYGROUND:
        return playground_index_path(agent.model)
    return own_pictures(agent.model) if shipped_name(options.model) == PHOTOS else None


def _index(agent: Agent, options: LoadOptions) -> Check:
    path = _index_path(agent, options)
    if path is None:
        return Check("index", "none: replies come without pictures")
    if options.index is None and not path.exists():
        return Check("index", "the playground's pictures; the chat will make it when it first starts")
    try:
        agent.use_index(path)
    except FromageError as error:
        return Check("index", str(path), str(error))
    made = f"made with fingerprint {agent.model.fingerprint()}"
    return Check("index", f"{path}, {agent.index_size} pictures, {made}; {_kind(agent.index)}")


def _kind(index: Retriever | None) -> str:
    """The kind of an open index and, of a folder, why it is that."""
    from index.milvus.milvus_index import MilvusIndex
    from index.search.faiss_index import ImageIndex

    if isinstance(index, MilvusIndex):
        return index.about.kind
    return index.manifest.described() if isinstance(index, ImageIndex) else "of an unknown kind"


def _pictures(index: Retriever | None, vision: VisionEncoder, options: LoadOptions) -> Iterator[Check]:
    """Whether the index keeps what its pictures look like to this encoder; a sample is embedded again."""
    from index.building.verify import compare_pictures, verify_index
    from index.search.faiss_index import ImageIndex
    from index.store.unfinished import resuming

    if not isinstance(index, ImageIndex):
        return
    faults = verify_index(index)
    yield Check("index files", f"{index.store.path}, {len(index.store):,} rows", " ".join(faults))
    if index.store.bridge_fingerprint is not None:
        return  # another program embedded these pictures
    try:
        found = compare_pictures(index.store, lambda images: vision.image_features(images).pooled.cpu().numpy())
    except Exception as error:  # whatever an encoder or a damaged file raises
        yield Check("pictures embedded again", "not possible", described(error))
        return
    notes = {"gone": found.gone, "changed since": found.changed, "unreadable now": found.unreadable}
    value = ", ".join([str(found.compared), *(f"{count} {what}" for what, count in notes.items() if count)])
    fault = ""
    if wrong := found.differing:
        remedy = f"Delete {index.store.path} and build it again: {resuming(index.store.path)}"
        if options.index is None:
            remedy = f"Delete {index.store.path.parent}: the next start of the chat makes it again."
        names = ", ".join(wrong[:NAMED]) + (f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else "")
        fault = (
            f"The index keeps something else than the pictures' features or thumbnails of {len(wrong)} of "
            f"{found.compared}: {names}. {remedy}"
        )
    yield Check("pictures embedded again", value, fault)
