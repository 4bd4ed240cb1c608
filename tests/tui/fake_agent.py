"""A scripted agent: replies are lists of events, with gates where a test wants to look at the screen."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from PIL import Image

from fromage_lite.chat.events import Done, Event, Failed, ImagesFound, Notice, Statistics, TextDelta
from fromage_lite.chat.request import SearchRequest
from fromage_lite.chat.turns import Turn
from fromage_lite.config import AskBy, GenerationSettings, SpellingMode
from fromage_lite.errors import FromageError, StoreError
from fromage_lite.model.inspection import PatchGrid, TokenMatch
from fromage_lite.text.message import ImageSegment, Segment
from index.search.hits import Hit
from tui.conversation import Tell

STATISTICS = Statistics(12, 30, 9, 0.21, 34.0, 2.5)


class Gate:
    """A place in a script where the agent waits until the test opens it (or the reply is cancelled)."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def open(self) -> None:
        self._open.set()

    def wait(self, cancel: threading.Event | None = None) -> None:
        self.reached.set()
        while not self._open.wait(0.002):
            if cancel is not None and cancel.is_set():
                return


Script = Sequence[Event | Gate | str | Exception]


def hit(id: int, caption: str = "a big cat on the beach", score: float = 0.83) -> Hit:
    return Hit(id, score, f"/pictures/{id:05}.png", caption)


def picture_bytes(colour: str = "orange", size: tuple[int, int] = (64, 48)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, "PNG")
    return data.getvalue()


class FakeDialogue:
    def __init__(self, agent: FakeAgent, settings: GenerationSettings) -> None:
        self.agent = agent
        self.settings = settings
        self.turns: list[Turn] = []
        self.excluded: set[int] = set()

    def reply(
        self, message: Sequence[Segment], attachments: Sequence[str] = (), cancel: threading.Event | None = None
    ) -> Iterator[Event]:
        self.agent.messages.append(tuple(message))
        return self._play(tuple(message), cancel, [*self.turns])

    def regenerate(self, cancel: threading.Event | None = None) -> Iterator[Event]:
        self.agent.regenerated += 1
        return self._play(self.turns[-1].message, cancel, self.turns[:-1])

    def undo(self) -> Turn | None:
        return self.turns.pop() if self.turns else None

    def reset(self) -> None:
        self.turns = []
        self.excluded = set()

    def exclude(self, ids: Iterable[int]) -> None:
        self.excluded |= set(ids)

    def include(self, ids: Iterable[int]) -> None:
        self.excluded -= set(ids)

    def look_up(
        self, request: SearchRequest, k: int = 5, exclude: Collection[int] = (), spelling: SpellingMode = "auto"
    ) -> list[Hit]:
        return self.agent.look_up(request, k, exclude, spelling)

    def pictures_left(self, message: Sequence[Segment]) -> int:
        return self.agent.room - len(image_paths(message))

    def _play(
        self, message: tuple[Segment, ...], cancel: threading.Event | None, before: list[Turn]
    ) -> Iterator[Event]:
        parts: list[str | tuple[Hit, ...]] = []
        text = ""
        script = self.agent.scripts.pop(0) if self.agent.scripts else [" ok"]
        for step in script:
            if isinstance(step, Gate):
                step.wait(cancel)
            elif isinstance(step, FromageError):
                yield Failed(step)
                return
            elif isinstance(step, Exception):
                raise step
            elif isinstance(step, str | TextDelta):
                delta = step if isinstance(step, str) else step.text
                text += delta
                parts.append(delta)
                yield TextDelta(delta)
            else:
                if isinstance(step, ImagesFound):
                    parts.append(step.hits)
                yield step
            if cancel is not None and cancel.is_set():
                self.turns = [*before, Turn(message, tuple(parts), "cancelled")]
                yield STATISTICS
                yield Done(text.strip(), "cancelled")
                return
        self.turns = [*before, Turn(message, tuple(parts), "stop")]
        yield STATISTICS
        yield Done(text.strip(), "stop")


class FakeAgent:
    model_name = "playground"
    device = "cpu"
    index_path: Path | None = None
    indices: ClassVar[dict[str | None, int | Exception]] = {"none": 0, None: 0}

    def __init__(self, *scripts: Script, hits: Sequence[Hit] = (), index_size: int = 2000) -> None:
        self.scripts = list(scripts)
        self.hits = list(hits)
        self.index_size = index_size
        self.messages: list[tuple[Segment, ...]] = []
        self.searches: list[tuple[Segment, ...]] = []
        self.ways: list[AskBy | None] = []  # in which the searches asked
        self.requests: list[SearchRequest] = []
        self.slips: dict[str, str] = {}
        self.looked_at: list[str] = []
        self.regenerated = 0
        self.room = 9  # pictures in a message
        self.patches: PatchGrid | None = None
        self.thumbnails: dict[int, bytes] = {}
        self.last: FakeDialogue | None = None

    def use_index(self, index: str | Path | None, progress: Callable[[str], None] | None = None) -> None:
        """Opens nothing: what could be opened is listed in `indices`, so many pictures or an error; None is its own."""
        found = self.indices.get(
            str(index) if index is not None else None, StoreError(f"There is no index at {index}.")
        )
        if isinstance(found, Exception):
            raise found
        self.index_size, self.index_path = found, Path(str(index)) if found else None

    def row(self, id: int) -> tuple[str, str] | None:
        return hit(id).source, hit(id).caption

    def dialogue(self, settings: GenerationSettings) -> FakeDialogue:
        self.last = FakeDialogue(self, settings)
        return self.last

    def read_as(self, segments: Sequence[Segment], by: AskBy | None = None) -> tuple[Segment, ...]:
        return tuple(self.slips.get(segment, segment) if isinstance(segment, str) else segment for segment in segments)

    def search(
        self,
        segments: Sequence[Segment],
        k: int,
        exclude: Collection[int] = (),
        spelling: SpellingMode = "auto",
        by: AskBy | None = None,
    ) -> list[Hit]:
        self.searches.append(tuple(segments))
        self.ways.append(by)
        return [hit for hit in self.hits if hit.id not in exclude][:k]

    def look_up(
        self, request: SearchRequest, k: int = 5, exclude: Collection[int] = (), spelling: SpellingMode = "auto"
    ) -> list[Hit]:
        self.requests.append(request)
        segments = [segment for term in request.terms for segment in term.segments]
        return self.search(segments, k, exclude, spelling, request.by)

    def tokens_near(self, path: str, k: int) -> list[list[TokenMatch]]:
        self.looked_at.append(path)
        return [[TokenMatch(n, f" word{n}", 0.9 - n / 10) for n in range(k)] for _ in range(3)]

    def patch_grid(self, path: str) -> PatchGrid | None:
        return self.patches

    def is_at_hand(self, hit: Hit) -> bool:
        return not hit.source.startswith("http")

    def thumbnail(self, hit: Hit) -> bytes:
        return self.thumbnails.get(hit.id, picture_bytes())


def loader(agent: FakeAgent, *steps: str | Notice | Gate | Exception) -> Callable[[Tell], FakeAgent]:
    """A load function: says its texts, waits at its gates, raises its error once."""
    todo = list(steps)

    def load(progress: Tell) -> FakeAgent:
        while todo:
            step = todo.pop(0)
            if isinstance(step, Gate):
                step.wait()
            elif isinstance(step, Exception):
                raise step
            else:
                progress(step)
        return agent

    return load


def image_paths(segments: Sequence[Segment]) -> list[str]:
    return [segment.path for segment in segments if isinstance(segment, ImageSegment)]


__all__ = ["STATISTICS", "FakeAgent", "Gate", "Notice", "hit", "image_paths", "loader", "picture_bytes"]
