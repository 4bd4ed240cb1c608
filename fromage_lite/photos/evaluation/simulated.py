"""Dialogues over simulated photographs: mixtures of classes stand in for what the encoder sees in a file."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import torch

from fromage_lite.chat.agent import Agent
from fromage_lite.chat.engine import Engine
from fromage_lite.model.fromage import Fromage
from fromage_lite.model.projection import projection
from fromage_lite.photos.text.document import Mixture
from fromage_lite.photos.world.classes import CLASSES
from fromage_lite.text.message import ImageSegment
from index.search.hits import Hit

_MARK = "simulated photograph "


class SimulatedEngine(Engine):
    """An engine that knows simulated photographs by name, beside files."""

    def __init__(self, model: Fromage) -> None:
        super().__init__(model)
        self.mixtures: list[Mixture] = []

    def show(self, mixture: Mixture) -> ImageSegment:
        """A simulated photograph as a piece of a message."""
        self.mixtures.append(mixture)
        return ImageSegment(f"{_MARK}{len(self.mixtures) - 1}")

    def features(self, path: str) -> torch.Tensor:
        if path.startswith(_MARK):
            # In half precision, as a store keeps them.
            mixture = self.mixtures[int(path.removeprefix(_MARK))].astype(np.float16).astype(np.float32)
            return torch.from_numpy(mixture).to(self.model.language.device)
        return super().features(path)

    def has_picture(self, hit: Hit) -> bool:
        return hit.source.startswith(_MARK) or super().has_picture(hit)


class SimulatedIndex:
    """An exact index of simulated photographs; a hit's caption is the name of its likeliest class."""

    def __init__(self, engine: SimulatedEngine, mixtures: Sequence[Mixture]) -> None:
        self._sources = [engine.show(mixture).path for mixture in mixtures]
        self._captions = [CLASSES[int(mixture.argmax())].name for mixture in mixtures]
        self._embeds = projection(engine.model)(np.stack(mixtures).astype(np.float16).astype(np.float32))

    def __len__(self) -> int:
        return len(self._sources)

    def search(
        self,
        query_embeds: npt.NDArray[np.float32],
        k: int,
        exclude: Collection[int] = (),
        among: npt.NDArray[np.int64] | None = None,
    ) -> list[list[Hit]]:
        scores = query_embeds @ self._embeds.T
        if among is not None:
            scores[:, ~np.isin(np.arange(len(self)), among)] = -np.inf
        scores[:, list(exclude)] = -np.inf
        best = np.argsort(-scores, axis=1)[:, :k]
        return [
            [Hit(int(i), float(row[i]), self._sources[i], self._captions[i]) for i in order if np.isfinite(row[i])]
            for row, order in zip(scores, best, strict=True)
        ]

    def row(self, id: int) -> tuple[str, str]:
        return self._sources[id], self._captions[id]

    def thumbnail(self, id: int) -> bytes:
        return b""


def simulated_agent(model: Fromage, mixtures: Sequence[Mixture]) -> tuple[Agent, SimulatedEngine]:
    """An agent whose pictures are simulated, and its engine, which shows it more."""
    agent, engine = Agent(model, model_name="photos"), SimulatedEngine(model)
    engine.index = SimulatedIndex(engine, mixtures)
    agent.engine = engine
    return agent, engine
