"""Drives the app in tests: types, waits for conditions, reads the screen."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual.pilot import Pilot

from tests.tui.fake_agent import FakeAgent, loader
from tui.app import ChatApp
from tui.pictures.image_mode import ImageMode
from tui.screens.chat import ChatScreen
from tui.widgets.picture import PictureCard
from tui.widgets.turn import Note

PATIENCE = 60  # seconds until a test gives up; no test waits as long as it goes well


class Driver:
    def __init__(self, app: ChatApp, pilot: Pilot) -> None:
        self.app = app
        self.pilot = pilot
        screen = app.screen
        assert isinstance(screen, ChatScreen)
        self.screen = screen

    async def until(self, condition: Callable[[], object]) -> None:
        """Lets the app work until the condition holds."""
        deadline = time.monotonic() + PATIENCE
        await self.pilot.pause()
        while not condition():
            assert time.monotonic() < deadline, "the screen was:\n" + self.text
            await self.pilot.pause()
        await self.pilot.pause()

    async def ready(self) -> None:
        await self.until(lambda: not self.screen.busy)

    async def type(self, text: str) -> None:
        """Puts the text into the composer and presses Enter."""
        self.screen.composer.prompt.focus()
        self.screen.composer.prompt.fill(text)
        await self.pilot.press("enter")
        await self.pilot.pause()

    async def say(self, text: str) -> None:
        """Sends a message and waits for the end of the reply."""
        before = len(self.screen.turns)
        await self.type(text)
        await self.until(lambda: len(self.screen.turns) > before or self.screen.failed)
        await self.ready()

    @property
    def text(self) -> str:
        """The screen as the user sees it."""
        return "\n".join(strip.text.rstrip() for strip in self.app.screen._compositor.render_strips())

    @property
    def typed(self) -> str:
        return self.screen.composer.prompt.text

    @property
    def cards(self) -> list[PictureCard]:
        """The pictures in the transcript."""
        return list(self.screen.transcript.query(PictureCard))

    @property
    def notes(self) -> list[str]:
        return [note.text for note in self.screen.transcript.query(Note)]

    @property
    def replies(self) -> list[str]:
        """The replies' words, as drawn."""
        return [turn.reply.text for turn in self.screen.turns]


@asynccontextmanager
async def chatting(
    agent: FakeAgent | None = None,
    *,
    load: Callable | None = None,
    size: tuple[int, int] = (80, 24),
    mode: ImageMode = ImageMode.HALFBLOCK,
    wait: bool = True,
    **options: Any,
) -> AsyncIterator[Driver]:
    """The app with a scripted agent."""
    app = ChatApp(load or loader(agent or FakeAgent()), mode, **options)
    async with app.run_test(size=size) as pilot:
        driver = Driver(app, pilot)
        if wait:
            await driver.ready()
        yield driver
