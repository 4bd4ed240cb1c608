"""Another index, another model, in the middle of a conversation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fromage_lite.chat.events import ImagesFound
from fromage_lite.errors import CheckpointError, FingerprintError
from tests.tui.driver import Driver, chatting
from tests.tui.fake_agent import FakeAgent, Gate, hit


@pytest.fixture
def indices(monkeypatch: pytest.MonkeyPatch) -> dict[str | None, int | Exception]:
    """What every fake agent finds at a path: so many pictures, or an error."""
    known: dict[str | None, int | Exception] = {"none": 0, None: 0}
    monkeypatch.setattr(FakeAgent, "indices", known)
    return known


def loads(chat: Driver, agent: FakeAgent, *steps: Gate | Exception) -> list[str]:
    """Makes the conversation able to load another model; the names asked for."""
    asked: list[str] = []

    def load(model: str, progress: Callable[[str], None]) -> FakeAgent:
        asked.append(model)
        progress("Loading the other one …")
        for step in steps:
            if isinstance(step, Exception):
                raise step
            step.wait()
        return agent

    chat.app.conversation.load_other = load
    return asked


async def test_another_index_is_used_from_the_next_reply_on(indices) -> None:
    indices["/pictures/mine"] = 1234
    agent = FakeAgent([" Here:", ImagesFound((hit(7),))], [" two"])
    async with chatting(agent) as chat:
        await chat.say("show me a cat")
        await chat.type("/index /pictures/mine")
        await chat.until(lambda: chat.notes)
        assert "1,234" in chat.notes[-1] and chat.screen.status.pictures == "1,234 pictures"
        assert len(chat.cards) == 1, "what was shown stays"
        # Number 7 is another picture in the new index, which may be shown.
        assert [found.id for found in agent.last.turns[0].reply[1]] == [-1]
        await chat.say("and?")
        await chat.type("/index none")
        await chat.until(lambda: "without pictures" in chat.notes[-1])


async def test_an_index_of_another_model_is_refused_with_the_command_that_rebuilds_it(indices) -> None:
    indices["/pictures/old"] = FingerprintError("The index was made with another model.", "Rebuild it: build --model m")
    async with chatting(FakeAgent(index_size=5)) as chat:
        await chat.type("/index /pictures/old")
        await chat.until(lambda: chat.notes)
        assert "another model" in chat.notes[0] and "Rebuild it: build --model m" in chat.notes[0]
        assert chat.screen.status.pictures == "5 pictures"
        await chat.say("still there?")
        assert chat.replies == ["ok"]


async def test_another_model_takes_the_dialogue_over(indices) -> None:
    indices["/pictures/mine"] = 10
    first, second = FakeAgent([" one"]), FakeAgent([" two"])
    first.index_path = Path("/pictures/mine")
    second.model_name = "other"
    async with chatting(first) as chat:
        await chat.say("hello")
        asked = loads(chat, second, gate := Gate())
        await chat.type("/model /models/other")
        await chat.until(gate.reached.is_set)
        assert "Loading the other one" in chat.text.splitlines()[-1]
        await chat.pilot.press("h", "i")
        await chat.type("/reset")
        await chat.type("hi")
        assert chat.typed == "hi" and chat.replies == ["one"], "one can type meanwhile, but not send"
        gate.open()
        await chat.until(lambda: chat.notes)
        assert asked == ["/models/other"] and "other answers now" in chat.notes[-1] and "1 message" in chat.notes[-1]
        assert chat.screen.status.model == "other" and second.index_size == 10
        await chat.pilot.press("enter")
        await chat.until(lambda: chat.replies == ["one", "two"])
        await chat.ready()
        assert [turn.text for turn in second.last.turns] == ["one", "two"]


async def test_a_model_that_does_not_fit_the_index_says_so(indices) -> None:
    indices["/pictures/mine"] = FingerprintError("The index was made with another model.", "Rebuild it: build …")
    first, second = FakeAgent([" one", ImagesFound((hit(3),))]), FakeAgent()
    first.index_path = Path("/pictures/mine")
    async with chatting(first) as chat:
        await chat.say("hello")
        loads(chat, second)
        await chat.type("/model other")
        await chat.until(lambda: len(chat.notes) == 2)
        assert "Rebuild it: build" in chat.notes[0]
        assert chat.screen.status.pictures == "no pictures"
        assert [found.id for found in second.last.turns[0].reply[1]] == [-1]


@pytest.mark.parametrize("error", [CheckpointError("There is no model in x.", "Name a folder."), MemoryError()])
async def test_a_model_that_cannot_be_loaded_leaves_the_one_before(indices, error: Exception) -> None:
    agent = FakeAgent([" one"])
    async with chatting(agent) as chat:
        loads(chat, FakeAgent(), error)
        await chat.type("/model x")
        await chat.until(lambda: chat.notes)
        assert "The model before goes on." in chat.notes[0]
        await chat.say("hello")
        assert chat.replies == ["one"]


async def test_neither_is_changed_during_a_reply(indices, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = FakeAgent([" one", gate := Gate()])
    async with chatting(agent) as chat:
        await chat.type("hello")
        await chat.until(gate.reached.is_set)
        hints: list[str] = []
        monkeypatch.setattr(chat.screen, "hint", hints.append)
        await chat.type("/index none")
        await chat.type("/model x")
        await chat.until(lambda: [hint.startswith("Esc stops") for hint in hints] == [True, True])
        gate.open()
        await chat.ready()
        assert chat.replies == ["one"]


async def test_an_argument_is_asked_for(indices) -> None:
    async with chatting() as chat:
        await chat.type("/index")
        await chat.type("/model")
        await chat.until(lambda: len(chat.notes) == 2)
        assert "/index FOLDER" in chat.notes[0] and "/model FOLDER" in chat.notes[1]
