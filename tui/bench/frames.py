"""The app without a terminal, with a scripted agent: what a long reply and many pictures cost, frame by frame."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from PIL import Image
from rich.console import RenderableType
from textual._compositor import CompositorUpdate
from textual.pilot import Pilot
from textual.screen import Screen

from fromage_lite.chat.events import Done, Event, ImagesFound, Statistics, TextDelta
from fromage_lite.chat.turns import Turn
from fromage_lite.config import GenerationSettings
from index.pictures.images import make_thumbnail
from index.search.hits import Hit
from tui.app import ChatApp
from tui.idle_collection import collected_when_idle
from tui.pictures.image_mode import ImageMode
from tui.screens.chat import ChatScreen

SIZE = (100, 40)
NEXT_BEST = 8


@dataclass
class Frames:
    """How long the screen stood still at a time: each is one step of the app's event loop, drawing included, in seconds
    of processor time, which other programs on the machine don't change.

    Attributes:
        longest: the longest step, in seconds.
        above_50_ms: steps longer than that.
        drawn: how many times something was drawn.
        busy: seconds of all steps together.
        elapsed: seconds from beginning to end, by the clock.
    """

    longest: float = 0.0
    above_50_ms: int = 0
    drawn: int = 0
    busy: float = 0.0
    elapsed: float = 0.0


class Watch:
    """Times every step of the event loop while it is on."""

    def __init__(self) -> None:
        self.frames = Frames()

    def __enter__(self) -> Frames:
        self._original = asyncio.events.Handle._run
        self._started = time.perf_counter()
        frames, original = self.frames, self._original

        def run(handle: asyncio.Handle) -> None:
            began = time.thread_time()
            original(handle)
            took = time.thread_time() - began
            frames.busy += took
            frames.longest = max(frames.longest, took)
            frames.above_50_ms += took > 0.05

        asyncio.events.Handle._run = run  # type: ignore[method-assign, assignment]
        return frames

    def __exit__(self, *_: object) -> None:
        asyncio.events.Handle._run = self._original  # type: ignore[method-assign]
        self.frames.elapsed += time.perf_counter() - self._started


class MeasuredApp(ChatApp):
    """Draws as for a terminal, though there is none: the text with its colours is made and thrown away."""

    CSS_PATH = [Path(__file__).parents[1] / str(name) for name in cast(list[str], ChatApp.CSS_PATH)]
    drawn = 0

    def _display(self, screen: Screen, renderable: RenderableType | None) -> None:
        if isinstance(renderable, CompositorUpdate) and not self._batch_count:
            renderable.render_segments(self.console)
            self.drawn += 1
        super()._display(screen, renderable)


@dataclass
class Scripted:
    """An agent whose replies are lists of events; its pictures are as large as an index keeps them."""

    replies: list[list[Event]]
    model_name: str = "scripted"
    device: str = "cpu"
    index_size: int = 1000
    turns: list[Turn] = field(default_factory=list)
    excluded: set[int] = field(default_factory=set)
    settings: GenerationSettings = field(default_factory=GenerationSettings)

    def dialogue(self, settings: GenerationSettings) -> Scripted:
        return self

    def reply(self, message: Sequence[Any], cancel: object = None) -> Iterator[Event]:
        yield from self.replies.pop(0)
        self.turns.append(Turn(tuple(message), (), "stop"))
        yield Statistics(10, 0, 10, 0.1, 100.0, 1.0)
        yield Done("", "stop")

    def is_at_hand(self, hit: Hit) -> bool:
        return True

    def thumbnail(self, hit: Hit) -> bytes:
        return photograph(hit.id)

    def exclude(self, ids: Collection[int]) -> None:
        self.excluded |= set(ids)


def photograph(seed: int) -> bytes:
    """A picture with as many colours as a photograph, as an index keeps it."""
    noise = Image.effect_noise((24, 18), 90).resize((256, 192), Image.Resampling.BICUBIC)
    other = Image.linear_gradient("L").resize((256, 192)).rotate(seed * 37 % 360)
    return make_thumbnail(Image.merge("RGB", (noise, other, Image.eval(noise, lambda v: (v + seed * 11) % 256))))


def memory() -> int:
    """Bytes that this process has in memory."""
    gc.collect()
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _say(app: ChatApp, pilot: Pilot[Any], text: str) -> None:
    screen = cast(ChatScreen, app.screen)
    before = len(screen.turns)
    screen.composer.prompt.focus()
    screen.composer.prompt.fill(text)
    await pilot.press("enter")
    while len(screen.turns) == before or screen.busy:
        await asyncio.sleep(0.005)


async def _chat(replies: list[list[Event]], use: Callable[[MeasuredApp, Pilot[Any]], Any]) -> None:
    agent = Scripted(replies)
    app = MeasuredApp(lambda progress: cast(Any, agent), ImageMode.HALFBLOCK)
    with collected_when_idle():  # as the app itself
        async with app.run_test(size=SIZE) as pilot:
            while cast(ChatScreen, app.screen).busy:
                await asyncio.sleep(0.005)
            await use(app, pilot)


def measure_streaming(fragments: int) -> Frames:
    """A reply of so many pieces of a word or two, as fast as they come."""
    watch = Watch()
    pieces: list[Event] = [TextDelta(f" word{n % 97}" + ("\n" if n % 60 == 59 else "")) for n in range(fragments)]

    async def use(app: MeasuredApp, pilot: Pilot[Any]) -> None:
        drawn = app.drawn
        with watch:
            await _say(app, pilot, "tell me everything")
            await pilot.pause()
        watch.frames.drawn = app.drawn - drawn

    asyncio.run(_chat([pieces], use))
    return watch.frames


@dataclass(frozen=True)
class Album:
    """A transcript full of pictures.

    Attributes:
        adding: while the pictures come in, each with its next best ones.
        scrolling: page by page from the end to the beginning and back.
        bytes_each: growth of memory for each of the second half of the replies with a picture and its next best.
    """

    adding: Frames
    scrolling: Frames
    bytes_each: float


def measure_pictures(count: int) -> Album:
    """So many replies with a picture and its next best."""
    adding, scrolling = Watch(), Watch()
    size: list[int] = []

    def hits(first: int) -> tuple[Hit, ...]:
        return tuple(Hit(n, 0.9, f"/pictures/{n}.jpg", f"picture {n}") for n in range(first, first + NEXT_BEST + 1))

    replies: list[list[Event]] = []
    for n in range(count):
        best, *more = hits(n * (NEXT_BEST + 1))
        replies.append([TextDelta(" here you are."), ImagesFound((best,), tuple(more))])

    async def use(app: MeasuredApp, pilot: Pilot[Any]) -> None:
        screen = cast(ChatScreen, app.screen)
        for half in (range(count // 2), range(count // 2, count)):
            with adding:
                for n in half:
                    await _say(app, pilot, f"picture {n}")
            await asyncio.sleep(0)  # a step of its own
            size.append(memory())
        with scrolling:
            for key in ("pageup", "pagedown"):
                for _ in range(count):
                    await pilot.press(key)
                    await asyncio.sleep(0.01)
            screen.transcript.anchor()
            await pilot.pause()
        adding.frames.drawn = app.drawn

    asyncio.run(_chat(replies, use))
    return Album(adding.frames, scrolling.frames, (size[1] - size[0]) / (count - count // 2))
