"""Another index, another model, in the middle of a conversation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fromage_lite.catalogue import Model
from fromage_lite.chat.events import ImagesFound
from fromage_lite.errors import CheckpointError, FingerprintError
from tests.tui.driver import Driver, chatting
from tests.tui.fake_agent import FakeAgent, Gate, hit
from tui.model_names import ModelNames
from tui.screens.models import ChooseModel


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
        monkeypatch.setattr(chat.screen, "hint", lambda text, about="": hints.append(text))
        await chat.type("/index none")
        await chat.type("/model x")
        await chat.until(lambda: [hint.startswith("Esc stops") for hint in hints] == [True, True])
        gate.open()
        await chat.ready()
        assert chat.replies == ["one"]


async def test_an_argument_is_asked_for(indices) -> None:
    async with chatting() as chat:
        await chat.type("/index")
        await chat.until(lambda: chat.notes)
        assert "/index FOLDER" in chat.notes[0]


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three models that can be had, one of them elsewhere."""
    models = [
        Model("playground", "shipped", "pictograms", "lm", "encoder", disk=38_000_000, memory=70_000_000),
        Model("runs/mine/best", "bridge", "what it was trained on", "lm", "encoder", disk=12_000_000),
        Model("far/away", "released", "photographs", "lm", "e", is_here=False, download=15 * 10**9, get="git clone x"),
    ]
    monkeypatch.setattr("tui.screens.switching.catalogue", lambda: models)


async def test_a_model_is_chosen_from_a_list_of_what_can_be_had(indices, shelf) -> None:
    async with chatting(FakeAgent(), size=(100, 30)) as chat:
        asked = loads(chat, FakeAgent())
        await chat.type("/model")
        await chat.until(lambda: isinstance(chat.app.screen, ChooseModel))
        lines = chat.text.splitlines()
        assert any("playground  ● answers now" in line for line in lines)
        assert any("38 MB on disk · memory 70 MB" in line for line in lines)
        assert any("not here (git clone x) · downloads 15.0 GB when it first starts" in line for line in lines)
        await chat.pilot.press("down", "enter")
        await chat.until(lambda: chat.notes)
        await chat.ready()
        assert asked == ["runs/mine/best"] and "answers now" in chat.notes[-1]
        await chat.type("/model")
        await chat.until(lambda: isinstance(chat.app.screen, ChooseModel))
        await chat.pilot.press("escape")
        await chat.until(lambda: chat.app.screen is chat.screen)
        assert asked == ["runs/mine/best"]


async def test_a_model_that_is_elsewhere_says_how_to_get_it(indices, shelf) -> None:
    async with chatting(FakeAgent()) as chat:
        asked = loads(chat, FakeAgent())
        await chat.type("/model")
        await chat.until(lambda: isinstance(chat.app.screen, ChooseModel))
        await chat.pilot.press("end", "enter")
        await chat.until(lambda: chat.notes)
        assert asked == [] and "far/away is not here yet. To get it: git clone x" in chat.notes[0]


async def test_a_model_with_pictures_of_its_own_is_no_trouble(indices) -> None:
    indices["/pictures/first"] = FingerprintError("The index was made with another model.", "Rebuild it: build …")
    indices[None] = 70  # the second model's own
    first, second = FakeAgent(), FakeAgent()
    first.index_path, second.model_name = Path("/pictures/first"), "other"
    async with chatting(first) as chat:
        await chat.say("hello")
        loads(chat, second)
        await chat.type("/model other")
        await chat.until(lambda: chat.notes)
        await chat.ready()
        assert len(chat.notes) == 1 and "another model" not in chat.notes[0]
        assert "other answers now, with its own pictures (70)." in chat.notes[0]
        assert chat.screen.status.pictures == "70 pictures"


async def test_the_cached_pictures_of_a_shipped_model_are_not_to_be_made_anew(
    indices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    own = tmp_path / "fromage-lite" / "playground-index"
    indices[str(own)] = FingerprintError("The index was made with another model.", "Rebuild it: build …")
    first, second = FakeAgent(), FakeAgent()
    first.index_path = own
    async with chatting(first) as chat:
        loads(chat, second)
        await chat.type("/model other")
        await chat.until(lambda: len(chat.notes) == 2)
        assert "Rebuild" not in chat.notes[0] and "/index FOLDER" in chat.notes[0]


def test_names_lead_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ModelNames("playground")
    assert names.find("default") == names.find("playground") == "playground"
    assert names.find("facebook/opt-125m") == "facebook/opt-125m"
    names.add("small", "/models/small")
    assert names.find("small") == "/models/small"
    names = ModelNames("/models/mine")
    assert names.find("default") == names.find("mine") == "/models/mine" and names.find("playground") == "playground"
    (tmp_path / "mine").mkdir()
    assert names.find("mine") == "/models/mine", "a folder without a model means nothing"
    (tmp_path / "mine" / "config.json").write_text("{}")
    assert names.find("mine") == "mine", "a folder that holds a model is what it says"
