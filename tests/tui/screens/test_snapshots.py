"""The main screens as they were last looked at and found good, in two sizes and two themes.

`pytest tests/tui/screens/test_snapshots.py --snapshot-update` takes new ones; look at each before it is committed.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.theme import Theme
from textual_image import _terminal

from fromage_lite.chat.events import ContextPart, ImagesFound, RetTrace
from fromage_lite.model.inspection import TokenMatch
from fromage_lite.text.marks import RET
from tests.tui.driver import Driver
from tests.tui.fake_agent import FakeAgent, hit, loader, picture_bytes
from tests.tui.saved import Clock, say, turn
from tui.app import ChatApp
from tui.pictures.image_mode import ImageMode
from tui.sessions.archive import Archive
from tui.sessions.store import SessionStore
from tui.themes import DARK, LIGHT

DRAWN_WITH = "8.2.8"  # each version of Textual draws a little differently

pytestmark = pytest.mark.skipif(
    version("textual") != DRAWN_WITH, reason=f"the snapshots are of Textual {DRAWN_WITH}, as constraints.txt has it"
)
SMALL, LARGE = (80, 24), (120, 40)
COLOURS = ("steelblue", "seagreen", "goldenrod", "indianred", "slategray", "peru", "plum", "olive", "teal")
MORE = tuple(hit(n, f"next best {n}", 0.8 - n / 50) for n in range(2, 9))
TRACE = RetTrace((0.01, 0.02, 0.5, 0.97), (" here", " you", " are.", RET), (ContextPart(1, 34), ContextPart(2, 12)))
MARKDOWN = " **Two kinds** of cats:\n\n1. big ones\n2. `small` ones\n\n| cat | size |\n|---|---|\n| lion | big |"


def agent() -> FakeAgent:
    """Says the same whenever it is asked."""
    agent = FakeAgent(
        [" it is a big cat on the beach."],
        [" here you are:", ImagesFound((hit(1),), MORE), TRACE],
        [MARKDOWN],
        hits=[hit(1), *MORE],
    )
    agent.thumbnails = {n: picture_bytes(colour) for n, colour in enumerate(COLOURS)}
    agent.tokens_near = lambda path, count: [
        [TokenMatch(k, f" word{n}{k}", 0.6 - k / 20) for k in range(count)] for n in range(4)
    ]
    return agent


async def welcome(chat: Driver) -> None:
    """As it starts."""


async def reply(chat: Driver) -> None:
    """A question about a picture, an answer with one, and what is next best."""
    await chat.say("cat.png what is in this picture?")
    await chat.say("show me one on the beach")


async def strip(chat: Driver) -> None:
    """The keys' line, and a chosen picture."""
    await reply(chat)
    await chat.pilot.press("tab", "right", "right")


async def viewer(chat: Driver) -> None:
    await strip(chat)
    await chat.pilot.press("enter")


async def looking_inside(chat: Driver) -> None:
    """Figures, Markdown, tokens, and the way to [RET]."""
    await chat.pilot.press("f4")
    await reply(chat)
    await chat.type("/why")
    await chat.type("/tokens")
    await chat.ready()


async def markdown(chat: Driver) -> None:
    await reply(chat)
    await chat.say("which kinds are there?")


async def found(chat: Driver) -> None:
    """A search, a chip, and the list of commands."""
    await chat.type("/find a cat")
    await chat.ready()
    await chat.type("/image cat.png")
    await chat.until(lambda: chat.screen.composer.pictures)
    await chat.pilot.press("slash")


async def settings(chat: Driver) -> None:
    await chat.pilot.press("f2")


async def help(chat: Driver) -> None:
    await chat.pilot.press("f1")


async def sessions(chat: Driver) -> None:
    """Earlier conversations."""
    await chat.pilot.press("ctrl+l")
    await chat.until(lambda: "Small talk" in chat.text and "here you are." in chat.text)


EVERYWHERE = (welcome, strip)
ELSEWHERE = (viewer, looking_inside, markdown, found, settings, help, sessions)
CASES = [(scene, size, theme) for scene in EVERYWHERE for size in (SMALL, LARGE) for theme in (DARK, LIGHT)]
CASES += [(scene, SMALL, LIGHT) for scene in ELSEWHERE]
MORE_CASES = [(scene, LARGE, DARK) for scene in ELSEWHERE]


def name(scene: Callable, size: tuple[int, int], theme: Theme) -> str:
    return f"{scene.__name__}-{size[0]}x{size[1]}-{theme.name}"


async def settled(chat: Driver) -> None:
    """Until nothing changes any more: lists are filled and boxes measured in several steps."""
    before, same = "", 0
    while same < 3:
        await chat.pilot.pause()
        now = chat.app.export_screenshot()
        before, same = now, same + 1 if now == before else 0


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """Two conversations of long ago."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    store = SessionStore.open(tmp_path / "sessions.db", clock=Clock(1_600_000_000.0))
    say(store, turn("show me a lion", "here you are."), turn("and by night?", "here."))
    say(store, turn("hello", "hi"), title="Small talk")
    store.close()
    yield Archive(tmp_path / "sessions.db", save=False)
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("scene", "size", "theme"),
    [
        *(pytest.param(*case, id=name(*case)) for case in CASES),
        *(pytest.param(*case, id=name(*case), marks=pytest.mark.slow) for case in MORE_CASES),
    ],
)
def test_screens_look_as_they_did(
    scene: Callable[[Driver], Awaitable[None]], size, theme, snap_compare, archive: Archive, tmp_path: Path, monkeypatch
) -> None:
    # What a run's own terminal would change.
    monkeypatch.setattr(_terminal.get_cell_size, "_result", _terminal.CellSize(10, 20), raising=False)
    monkeypatch.chdir(tmp_path)
    Path("cat.png").write_bytes(picture_bytes("goldenrod", (120, 80)))
    app = ChatApp(loader(agent()), ImageMode.HALFBLOCK, archive=archive)
    app.theme = theme.name

    async def act(pilot: Pilot) -> None:
        driver = Driver(app, pilot)
        await driver.ready()
        driver.screen.status.clear_remark()
        driver.screen.composer.prompt.cursor_blink = False
        await scene(driver)
        await app.workers.wait_for_complete()
        driver.screen.status.clear_remark()
        await settled(driver)

    assert snap_compare(app, terminal_size=size, run_before=act)
