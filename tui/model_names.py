"""Models by name: how `/model` finds one again, and what lists of them say."""

from __future__ import annotations

from pathlib import Path

from fromage_lite.catalogue import Model
from fromage_lite.config import holds_model, shipped_model

DEFAULT = "default"


class ModelNames:
    """What leads back to the models of this run.

    Args:
        first: the model of the start, as `--model` takes it.
        is_first_named: whether the user has named it.
    """

    def __init__(self, first: str, is_first_named: bool = False) -> None:
        self._first, self.is_first_named = first, is_first_named
        self._by_name: dict[str, str] = {}
        self.add(Path(first).name, first)

    def add(self, name: str, model: str) -> None:
        """A model that was loaded, and its name in messages."""
        self._by_name[name] = model

    def find(self, name: str) -> str:
        """The model, as `--model` takes it, that a name means: "default", a shipped model's name, a model's name in
        messages, else what `--model` makes of it. A folder with a model comes before a name."""
        if name == DEFAULT:
            return self._first
        if shipped_model(name) is not None or holds_model(Path(name)):
            return name
        return self._by_name.get(name, name)


def facts(model: Model) -> str:
    """What a model takes, on one line."""
    needs = f"memory {size(model.memory)}" if model.memory is not None else "memory not known"
    if model.memory is not None and model.precision != "fp32":
        needs += f" in {model.precision}"
    parts = [f"{size(model.disk)} on disk" if model.is_here else f"not here ({model.get})", needs]
    if model.download:
        parts.insert(1, f"downloads {size(model.download)} when it first starts")
    elif model.download is None:
        parts.insert(1, "may download its frozen models when it first starts")
    return " · ".join(parts)


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 10**9 else f"{count / 1e6:.0f} MB"
