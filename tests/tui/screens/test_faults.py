"""Faults that nobody foresaw, planted all over the app: each is told, and the chat goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from textual.app import ComposeResult
from textual.widgets import Static

from tests.tui.driver import Driver, chatting
from tests.tui.fake_agent import FakeAgent, Gate, hit
from tui.faults import QUIET_SECONDS, LastingApp, undrawable
from tui.pictures.thumbnails import load_file
from tui.screens.chat import ChatScreen
from tui.screens.finding import Finding
from tui.screens.settings import SettingsPanel
from tui.widgets.composer import PromptArea
from tui.widgets.status import StatusBar
from tui.widgets.turn import Note

pytestmark = pytest.mark.faulty


def broken(*_: object, **__: object) -> None:
    raise ZeroDivisionError("by zero")


async def broken_later(*_: object, **__: object) -> None:
    raise ZeroDivisionError("by zero")


async def told_and_alive(chat: Driver, times: int = 1) -> None:
    """The fault is in the transcript, nothing is going on any more, and a message is answered."""
    await chat.until(lambda: sum("ZeroDivisionError: by zero" in note for note in chat.notes) == times)
    await chat.ready()
    before = len(chat.screen.turns)
    await chat.say("hello")
    assert len(chat.screen.turns) == before + 1


# In features ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "where"),
    [
        ("/find cats", "tui.screens.finding.Finding._find"),
        ("/tokens", "tui.screens.inspecting.Inspecting._picture_meant"),
        ("/randvqa", "tui.screens.inspecting.Inspecting._draw_question"),
        ("/index none", "tui.screens.indexing.Indexing._change_index"),
        ("/model x", "tui.screens.switching.Switching._change_model"),
        ("/paste", "tui.screens.attaching.clipboard_pictures"),
        ("/image x.png", "tui.screens.attaching.read_pictures"),
        ("/set temperature 1", "tui.screens.settings.change_setting"),
        ("/reset", "tui.widgets.transcript.Transcript.clear"),
        ("/theme", "tui.app.ChatApp.action_switch_theme"),
        ("x.png what is it?", "tui.screens.sending.extract_pictures"),
        ("any words", "tui.screens.sending.Sending._show_message"),
    ],
)
async def test_in_a_feature(typed: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with chatting(size=(100, 40)) as chat:
        with monkeypatch.context() as planted:
            planted.setattr(where, broken)
            await chat.type(typed)
            await chat.until(lambda: chat.notes)
        await told_and_alive(chat)


async def test_a_search_that_fails_frees_the_agent_and_two_faults_are_two_notes(monkeypatch) -> None:
    async with chatting(FakeAgent(hits=[hit(1)]), size=(100, 40)) as chat:
        monkeypatch.setattr(Finding, "_find", broken_later)
        for times in (1, 2):
            await chat.type("/find cats")
            await told_and_alive(chat, times)
        monkeypatch.undo()
        await chat.type("/find cats")
        await chat.until(lambda: len(chat.cards) == 1)


async def test_while_a_reply_is_drawn(monkeypatch) -> None:
    agent = FakeAgent([" one", gate := Gate(), " two"])
    async with chatting(agent) as chat:
        await chat.type("count")
        await chat.until(gate.reached.is_set)
        monkeypatch.setattr(chat.screen.transcript.query("Prose").first(), "append", broken)
        gate.open()
        await chat.until(lambda: any("can't be shown: ZeroDivisionError" in note for note in chat.notes))
        await chat.ready()
        await chat.say("hello")
        assert chat.replies[-1] == "ok"


# In what runs beside the features -----------------------------------------------------------------------------


@pytest.mark.parametrize("thread", [False, True])
async def test_in_a_worker_of_any_widget(thread: bool) -> None:
    """Whoever starts it, and whether or not they thought of errors."""
    async with chatting() as chat:
        chat.screen.composer.run_worker(broken if thread else broken_later(), thread=thread)
        await told_and_alive(chat)


async def test_in_a_worker_of_the_app_and_of_a_dialog() -> None:
    async with chatting(size=(100, 40)) as chat:
        chat.app.run_worker(broken_later())
        await told_and_alive(chat)
        await asyncio.sleep(0)
        await chat.pilot.press("f2")
        await chat.until(lambda: isinstance(chat.app.screen, SettingsPanel))
        chat.app.screen.run_worker(other_fault())
        await chat.until(lambda: any("LookupError: elsewhere" in note for note in chat.notes))
        assert any("Something went wrong" in told.message for told in chat.app._notifications)
        await chat.pilot.press("escape")
        await chat.until(lambda: chat.app.screen is chat.screen)


async def other_fault() -> None:
    raise LookupError("elsewhere")


@pytest.mark.parametrize(
    "plant",
    [
        lambda chat: chat.screen.set_timer(0.001, broken),
        lambda chat: chat.screen.composer.set_interval(0.001, broken),
        lambda chat: chat.screen.call_later(broken),
        lambda chat: chat.screen.call_next(broken),
        lambda chat: chat.screen.transcript.call_after_refresh(broken),
        lambda chat: chat.app.call_later(broken),
    ],
    ids=["timer", "interval", "later", "next", "after-refresh", "app"],
)
async def test_in_a_timer_or_a_callback(plant: Callable[[Driver], object]) -> None:
    async with chatting() as chat:
        plant(chat)
        await told_and_alive(chat)


@pytest.mark.parametrize(
    ("owner", "handler", "press"),
    [
        (ChatScreen, "on_prompt_area_page_wanted", "pageup"),
        (ChatScreen, "on_composer_submitted", "enter"),
        (PromptArea, "_on_key", "z"),
        (PromptArea, "action_newline", "ctrl+j"),
    ],
)
async def test_in_a_message_handler_which_is_not_deaf_after_it(owner, handler: str, press: str, monkeypatch) -> None:
    async with chatting() as chat:
        with monkeypatch.context() as planted:
            planted.setattr(owner, handler, broken)
            await chat.pilot.press(press)
            await chat.until(lambda: chat.notes)
        chat.screen.composer.prompt.fill("")
        await chat.pilot.press("a", "b")
        assert chat.typed == "ab"
        await told_and_alive(chat)


class Undrawable(Static):
    def render(self) -> str:
        raise ZeroDivisionError("by zero")


class BrokenInside(Static):
    def compose(self) -> ComposeResult:
        raise ZeroDivisionError("by zero")


async def test_in_drawing_what_cannot_be_drawn_is_hidden() -> None:
    async with chatting(FakeAgent([" one"], [" two"])) as chat:
        await chat.say("first")
        await chat.screen.transcript.add(culprit := Undrawable())
        await told_and_alive(chat)
        assert not culprit.display
        assert "first" in chat.text and "one" in chat.text and "two" in chat.text, "the rest is drawn as ever"


async def test_in_drawing_something_that_was_drawn_before(monkeypatch) -> None:
    async with chatting() as chat:
        with monkeypatch.context() as planted:
            planted.setattr(StatusBar, "render", broken)
            chat.screen.hint("draw yourself")
            await chat.until(lambda: chat.notes)
        assert not chat.screen.status.display
        await told_and_alive(chat)


async def test_in_composing_a_widget() -> None:
    async with chatting() as chat:
        await chat.screen.transcript.add(BrokenInside())
        await told_and_alive(chat)


async def test_a_fault_that_comes_again_and_again_is_told_once() -> None:
    async with chatting() as chat:
        timer = chat.screen.set_interval(0.001, broken)
        await chat.until(lambda: chat.notes)
        for _ in range(50):
            await chat.pilot.pause(0.002)
        assert len(chat.notes) == 1 and QUIET_SECONDS > 1
        timer.stop()
        await chat.say("hello")
        assert chat.replies == ["ok"]


# Where the app does end -------------------------------------------------------------------------------------------


class NeverThere(LastingApp):
    def compose(self) -> ComposeResult:
        raise ZeroDivisionError("by zero")


async def test_an_app_that_cannot_even_start_ends_with_its_error() -> None:
    with pytest.raises(ZeroDivisionError):
        async with NeverThere().run_test():
            pass


def test_an_error_from_elsewhere_has_no_widget() -> None:
    try:
        broken()
    except ZeroDivisionError as error:
        assert undrawable(error) is None


async def test_notes_say_what_happened(cat) -> None:
    assert load_file(cat).caption == "cat.png"
    async with chatting() as chat:
        chat.screen.call_later(broken)
        await chat.until(lambda: chat.screen.transcript.query(Note))
        assert chat.notes == ["Something went wrong: ZeroDivisionError: by zero."]
