"""While the model loads, and when it can't be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fromage_lite.chat.events import Notice
from fromage_lite.errors import CheckpointError, FromageError
from fromage_lite.text.message import ImageSegment
from tests.tui.driver import chatting
from tests.tui.fake_agent import FakeAgent, Gate, hit, loader
from tui.widgets.turn import TurnView

ROOT = Path(__file__).parents[3]


async def test_the_screen_is_there_and_takes_words_while_the_model_loads() -> None:
    agent = FakeAgent([" hello"])
    async with chatting(load=loader(agent, "reading the weights", gate := Gate()), wait=False) as chat:
        await chat.until(lambda: "reading the weights" in chat.text)
        assert "It sees your pictures" in chat.text and "you can type already" in chat.text
        await chat.pilot.press("h", "i")
        assert chat.typed == "hi"
        gate.open()
        await chat.ready()
        assert "ready · playground · cpu · 2,000 pictures" in chat.text and chat.typed == "hi"


async def test_a_message_sent_early_is_answered_when_the_model_is_there() -> None:
    agent = FakeAgent([" hello"])
    gates = Gate(), Gate()
    async with chatting(load=loader(agent, gates[0], "reading the index", gates[1]), wait=False) as chat:
        await chat.type("hi")
        await chat.until(lambda: "waiting for the model" in chat.text)
        gates[0].open()
        await chat.until(lambda: chat.text.count("reading the index") == 2)  # status line and transcript
        await chat.type("another")
        assert chat.typed == "another" and "waiting already" in chat.text
        gates[1].open()
        await chat.until(lambda: chat.replies == ["hello"])
        assert agent.messages == [("hi",)]


async def test_what_the_user_should_know_of_a_large_model_stays_on_the_screen() -> None:
    plan = Notice("opt-6.7b in bfloat16 needs about 13.3 GB, 9.1 GB are free on cuda; try --quantize int8.")
    async with chatting(load=loader(FakeAgent(), plan, "reading the weights", gate := Gate()), wait=False) as chat:
        await chat.until(lambda: "reading the weights" in chat.text)
        gate.open()
        await chat.ready()
        assert chat.notes == [plan.message]
        assert chat.screen.transcript.shows_welcome


async def test_escape_takes_a_waiting_message_back() -> None:
    agent = FakeAgent()
    async with chatting(load=loader(agent, gate := Gate()), wait=False) as chat:
        await chat.type("hi")
        await chat.until(lambda: chat.screen.waiting)
        await chat.pilot.press("escape")
        await chat.until(lambda: not chat.screen.query(TurnView))
        assert chat.typed == "hi" and chat.screen.transcript.shows_welcome
        gate.open()
        await chat.ready()
        assert agent.messages == []


async def test_a_model_that_cannot_be_loaded_is_told_and_tried_again() -> None:
    agent = FakeAgent([" hello"])
    broken = CheckpointError("There is no model in /models/x.", "Name a folder with config.json.")
    async with chatting(load=loader(agent, gate := Gate(), broken), wait=False) as chat:
        await chat.type("hi")
        await chat.until(lambda: chat.screen.waiting)
        gate.open()
        await chat.until(lambda: "There is no model in /models/x." in chat.text)
        assert "Name a folder with config.json." in chat.text and "no model" in chat.text.splitlines()[-1]
        assert chat.typed == "hi"
        await chat.type("/find cats")
        assert chat.screen.busy == ""
        await chat.type("/retry")
        await chat.until(lambda: "ready" in chat.text.splitlines()[-1])


async def test_a_message_after_a_failed_load_tries_again() -> None:
    agent = FakeAgent([" hello"])
    async with chatting(load=loader(agent, MemoryError())) as chat:
        assert any("MemoryError" in note for note in chat.notes)
        await chat.say("hi")
        assert chat.replies == ["hello"]


async def test_commands_do_no_harm_before_the_model_is_there() -> None:
    async with chatting(load=loader(FakeAgent(), gate := Gate()), wait=False) as chat:
        for command in ("/undo", "/retry", "/reset", "/find cats", "/set temperature 0.5", "/set"):
            await chat.type(command)
        assert chat.screen.busy == "loading"
        gate.open()
        await chat.ready()
        assert chat.app.conversation.dialogue is not None
        assert chat.app.conversation.dialogue.settings.temperature == 0.5


async def test_a_search_before_the_model_is_there_waits_for_it(cat: Path) -> None:
    agent = FakeAgent(hits=[hit(1, "a red cat", 0.9)])
    async with chatting(load=loader(agent, gate := Gate()), wait=False) as chat:
        await chat.type(f"/image {cat}")
        await chat.until(lambda: chat.screen.composer.pictures)
        await chat.type("/find on the beach")
        assert "The search waits for the model" in chat.text
        await chat.type("hello")
        gate.open()
        await chat.until(lambda: chat.replies == ["ok"])
        assert agent.searches == [("on the beach", ImageSegment(str(cat)))]
        assert "a red cat" in [card.picture.caption for card in chat.cards]


async def test_quitting_while_the_model_loads() -> None:
    async with chatting(load=loader(FakeAgent(), gate := Gate()), wait=False) as chat:
        await chat.until(gate.reached.is_set)
        await chat.pilot.press("ctrl+q")
    assert chat.app.return_code == 0 and chat.app.conversation.working
    gate.open()


async def test_no_index_is_said() -> None:
    async with chatting(FakeAgent(index_size=0)) as chat:
        assert "no pictures" in chat.text and "replies come without pictures" in " ".join(chat.text.split())


def test_the_app_is_imported_without_any_model_library() -> None:
    code = "import sys, tui.app; print(sorted({'torch', 'transformers', 'open_clip', 'faiss'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_chat_refuses_to_start_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from tui.app import run

    monkeypatch.setattr("tui.app._is_terminal", lambda stream: False)
    with pytest.raises(FromageError, match="needs a terminal"):
        run()
