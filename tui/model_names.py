"""The names by which `/model` finds a model again."""

from __future__ import annotations

from pathlib import Path

DEFAULT = "default"
SHIPPED = "playground"


class ModelNames:
    """What leads back to the models of this run.

    Args:
        first: the model of the start, as `--model` takes it; None is the shipped one.
    """

    def __init__(self, first: str | None) -> None:
        self._first = first
        self._by_name: dict[str, str | None] = {SHIPPED: None}
        if first is not None:
            self.add(Path(first).name, first)

    def add(self, name: str, model: str | None) -> None:
        """A model that was loaded, and its name in messages."""
        self._by_name[name] = model

    def find(self, name: str) -> str | None:
        """The model, as `--model` takes it, that a name means: "default", a model's name in messages, else what
        `--model` makes of it. A folder comes before a name."""
        if name == DEFAULT:
            return self._first
        return name if Path(name).exists() else self._by_name.get(name, name)
