"""What is installed, what works and what is wrong. Loads the model as the chat would; downloads and builds nothing."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from fromage_lite import __version__
from fromage_lite.chat.agent import Agent, is_playground, model_argument
from fromage_lite.config import playground_dir
from fromage_lite.errors import FromageError
from index.errors import described

PACKAGES = ("torch", "torchvision", "transformers", "open_clip_torch", "timm", "textual", "textual-image",
            "textual-serve", "numpy", "pillow", "safetensors", "huggingface_hub", "accelerate")  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        value: what was found.
        fault: what is wrong with it and what to do; empty if it is all right.
    """

    name: str
    value: str
    fault: str = ""

    @property
    def ok(self) -> bool:
        return not self.fault


def examine(
    model: str | Path | None = None,
    index: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    quantize: str = "none",
) -> Iterator[Check]:
    """Checks versions, devices, the model and its index, the cheap things first.

    Args: as of `Agent.load`.
    """
    yield from _versions()
    yield from _devices()
    yield Check("playground models", str(playground_dir()))
    yield from _model_and_index(model, index, device, dtype, quantize)


def _versions() -> Iterator[Check]:
    yield Check("fromage-lite", __version__)
    yield Check("Python", f"{platform.python_version()} on {platform.platform(terse=True)} {platform.machine()}")
    for name in PACKAGES:
        version = _version(name)
        yield Check(name, version or "missing", "" if version else "Install the dependencies again: make install.")
    faiss = {name: version for name in ("faiss-gpu", "faiss-cpu") if (version := _version(name))}
    fault = ""
    if len(faiss) != 1:
        fault = "Exactly one of faiss-gpu and faiss-cpu must be installed: they hold the same module."
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
    """What can be asked for with --dtype; bf16 needs a card that computes in it, fp16 is slow on a CPU."""
    import torch

    if torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "fp32, fp16"
    return "fp32, bf16, fp16"


def _model_and_index(
    model: str | Path | None, index: str | Path | None, device: str, dtype: str, quantize: str
) -> Iterator[Check]:
    plans: list[str] = []
    try:
        agent = Agent.load(model, "none", device=device, dtype=dtype, quantize=quantize, notice=plans.append)
    except FromageError as error:
        yield Check("model", str(model or "playground"), str(error))
        return
    except Exception as error:
        yield Check("model", str(model or "playground"), f"It can't be loaded: {described(error)}")
        return
    yield from (Check("memory", plan) for plan in plans)
    facts = agent.describe()
    yield Check("model", f"{facts['model']}, fingerprint {facts['fingerprint']}")
    yield Check("language model", f"{facts['language_model']}, {facts['max_positions']} positions")
    yield Check("image encoder", facts["vision_encoder"])
    yield Check("runs on", f"{facts['device']}, {facts['dtype']}")
    yield _index(agent, model, index)


def _index(agent: Agent, model: str | Path | None, index: str | Path | None) -> Check:
    from index.faiss_index import ImageIndex

    if str(index) == "none" or (index is None and not is_playground(model)):
        return Check("index", "none: replies come without pictures")
    fingerprint = agent.model.fingerprint()
    if index is None:
        from fromage_lite.playground.pictures import playground_index_path

        path = playground_index_path(agent.model)
        if not path.exists():
            return Check("index", "the playground's pictures, to be made at the first start of the chat")
    else:
        path = Path(index).expanduser()
    try:
        opened = ImageIndex.open(path, bridge_fingerprint=fingerprint, model=model_argument(model))
    except FromageError as error:
        return Check("index", str(path), str(error))
    return Check("index", f"{path}, {len(opened)} pictures, made with fingerprint {fingerprint}")
