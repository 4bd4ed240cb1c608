"""What a conversation brings back when it is opened again, besides what was said: searches, index, model, drafts."""

from __future__ import annotations

from pathlib import Path

import pytest

from fromage_lite.chat.events import ImagesFound
from fromage_lite.errors import StoreError
from fromage_lite.text.message import ImageSegment, parse_message
from index.search.hits import Hit
from tests.tui.driver import Driver
from tests.tui.fake_agent import FakeAgent, Gate, hit, loader, picture_bytes
from tests.tui.saved import say, turn
from tests.tui.sessions.test_sessions import kept
from tui.app import ChatApp
from tui.pictures.image_mode import ImageMode
from tui.sessions.archive import Archive
from tui.sessions.commands import Sessions
from tui.sessions.conversation import SavedConversation
from tui.sessions.records import HeldWith
from tui.sessions.store import SessionStore
from tui.settings.preferences import Preferences
from tui.widgets.found import Found
from tui.widgets.picture import FocusablePicture


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def indices(monkeypatch) -> dict[str, FakeAgent]:
    """Stands in for opening an index: sets its path, unless it is gone."""

    async def use_index(self: SavedConversation, index: str) -> None:
        if "gone" in index:
            raise StoreError(f"There is no index at {index}.", "Build it again.")
        self.agent.index_path = None if index == "none" else Path(index)
        self.agent.index_size = 0 if index == "none" else 40

    monkeypatch.setattr(SavedConversation, "use_index", use_index)


def views(chat: Driver) -> list[str]:
    """The transcript's parts, in their order: searches by their words, others by their class."""
    parts = chat.screen.transcript.query("Found, TurnView")
    return [part._words if isinstance(part, Found) else type(part).__name__ for part in parts]


async def test_searches_are_there_again_between_the_turns(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "orange.png"
    file.write_bytes(picture_bytes())
    found = Hit(3, 0.75, str(file), "an orange thing")
    agent = FakeAgent(["one"], ["two ", ImagesFound((found,))], hits=[found, hit(4, "a beach")])
    async with kept(path, agent, size=(100, 60)) as chat:
        await chat.type("/find something orange")
        await chat.until(lambda: "something orange" in chat.text and not chat.screen.busy)
        await chat.say("first")
        await chat.say("second")
        await chat.type("/find beaches")
        await chat.until(lambda: "beaches" in chat.text and not chat.screen.busy)
        cards = chat.screen.query(FocusablePicture)
        await chat.screen._pictures.act("similar", cards.first().picture, ())
        await chat.until(lambda: "more like" in chat.text and not chat.screen.busy)
        before = views(chat)
    assert before == ["something orange", "TurnView", "TurnView", "beaches", "an orange thing"]
    async with kept(path, FakeAgent(), size=(100, 60), resume="last") as chat:
        await chat.until(lambda: len(chat.screen.turns) == 2)
        assert views(chat) == before
        assert [(grid._words, grid._like) for grid in chat.screen.query(Found)] == [
            ("something orange", False),
            ("beaches", False),
            ("an orange thing", True),
        ]
        grids = chat.screen.query(Found)
        assert [[picture.caption for picture in grid.pictures] for grid in grids] == [
            ["an orange thing", "a beach"],
            ["an orange thing", "a beach"],
            ["a beach"],
        ]
        assert grids[0].pictures[0].image is not None and grids[0].pictures[0].hit == found
        assert [turn.message for turn in chat.app.conversation.dialogue.turns] == [("first",), ("second",)]


def held(path: Path, **what: str) -> int:
    store = SessionStore.open(path)
    session = say(store, turn("hello", "hi"))
    store.describe(session, HeldWith("playground", **what))
    store.close()
    return session


def index_path(path: Path) -> tuple[str, str, str]:
    store = SessionStore.open(path)
    info = store.sessions()[0]
    store.close()
    return info.index, info.index_path, info.model_path


async def test_what_a_conversation_is_held_with_is_kept(path: Path, tmp_path: Path) -> None:
    agent = FakeAgent(["one"], ["two"], ["three"])
    async with kept(path, agent) as chat:
        agent.index_path = tmp_path / "photos"
        (tmp_path / "model").mkdir()
        chat.app.conversation.model_path = str(tmp_path / "model")
        await chat.say("1")
        await chat.until(lambda: index_path(path) == ("photos", str(tmp_path / "photos"), str(tmp_path / "model")))
        agent.index_path, agent.index_size = None, 0
        chat.app.conversation.model_path = "someone/a-model"
        await chat.say("2")
        await chat.until(lambda: index_path(path) == ("", "none", "someone/a-model"))
        agent.index_size = 9  # pictures of no folder
        await chat.say("3")
        await chat.until(lambda: index_path(path) == ("", "", "someone/a-model"))


async def test_the_index_of_the_conversation_is_opened_again(path: Path, indices) -> None:
    held(path, index="photos", index_path="/indices/photos")
    agent = FakeAgent(["yes"])
    async with kept(path, agent, resume="last") as chat:
        await chat.until(lambda: any("/indices/photos" in note for note in chat.notes))
        assert agent.index_path == Path("/indices/photos") and chat.screen.status.pictures == "40 pictures"
        assert len(agent.last.turns) == 1


async def test_the_index_is_opened_when_the_model_is_there(path: Path, indices) -> None:
    held(path, index="photos", index_path="/indices/photos")
    agent, gate = FakeAgent(), Gate()
    async with kept(path, load=loader(agent, gate), resume="last", wait=False) as chat:
        await chat.until(lambda: len(chat.screen.turns) == 1)
        gate.open()
        await chat.ready()
        assert agent.index_path == Path("/indices/photos") and chat.screen.status.pictures == "40 pictures"
        assert [note for note in chat.notes if "/indices/photos" in note] != []


@pytest.mark.parametrize(
    ("folder", "size", "words"),
    [
        ("photos", 1234, "Pictures come from the index {}, 1,234."),
        ("cache/fromage-lite/playground/index", 2000, "Pictures come from the model's own index, 2,000."),
        (None, 0, "There is no index, so replies come without pictures."),
    ],
)
async def test_going_on_at_the_start_says_which_index_answers(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str | None, size: int, words: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    agent = FakeAgent(index_size=size)
    agent.index_path = tmp_path / folder if folder else None
    first = held(path, index_path=str(agent.index_path) if folder else "none")
    second = held(path, index_path=str(agent.index_path) if folder else "none")
    async with kept(path, agent, resume=first) as chat:
        said = words.format(agent.index_path)
        await chat.until(lambda: [note for note in chat.notes if note.startswith(said[:-1])])
        await chat.screen.feature(Sessions).resume(second)  # the same index: nothing to say
        assert said not in chat.notes


@pytest.mark.parametrize(
    ("wanted", "note", "size"),
    [
        ("/indices/gone", "can't be opened: There is no index at /indices/gone", 2000),
        ("none", "without an index", 0),
    ],
)
async def test_an_index_that_is_gone_and_one_that_was_none(
    path: Path, indices, wanted: str, note: str, size: int
) -> None:
    held(path, index_path=wanted)
    agent = FakeAgent(["yes"])
    async with kept(path, agent, resume="last") as chat:
        await chat.until(lambda: any(note in shown for shown in chat.notes))
        assert agent.index_size == size
        await chat.say("go on")
        assert len(agent.last.turns) == 2


async def test_an_index_that_the_user_has_named_stays(path: Path, indices) -> None:
    session = held(path, index_path="/indices/photos")
    agent = FakeAgent(["yes"])
    async with kept(path, agent) as chat:
        chat.app.conversation.is_index_named = True
        await chat.screen.feature(Sessions).resume(session)
        assert agent.index_path is None and chat.notes == []
        chat.app.conversation.is_index_named, chat.app.conversation.fixed = False, "It is shared."
        await chat.type("/reset")
        await chat.screen.feature(Sessions).resume(session)
        assert agent.index_path is None and chat.notes == []


async def test_another_model_is_named_and_its_index_left_alone(path: Path, indices) -> None:
    store = SessionStore.open(path)
    session = say(store, turn("hello", "hi"))
    store.describe(session, HeldWith("opt", "photos", "/models/opt", "/indices/photos"))
    store.close()
    agent = FakeAgent()
    async with kept(path, agent, resume=session) as chat:
        await chat.until(lambda: chat.notes != [])
        (note,) = chat.notes
        assert "held with the model opt; playground goes on. /model /models/opt brings it back." in note
        assert agent.index_path is None


async def test_notes_of_the_start_are_not_lost_when_the_conversation_is_opened(path: Path) -> None:
    session, problem = held(path), "The config file has a line that can't be used."
    app = ChatApp(
        loader(FakeAgent()),
        ImageMode.NONE,
        archive=Archive(path),
        resume=session,
        preferences=Preferences(problems=(problem,)),
    )
    async with app.run_test() as pilot:
        chat = Driver(app, pilot)
        await chat.until(lambda: len(chat.screen.turns) == 1)
        await chat.until(lambda: chat.notes == [problem])


async def test_a_message_taken_back_has_its_pictures(path: Path, cat: Path, dog: Path) -> None:
    message = (ImageSegment(str(cat)), "compare", ImageSegment(str(dog)), "with", ImageSegment("/gone.png"))
    conversation = SavedConversation(loader(FakeAgent()))
    words, pictures = await conversation.draft_of(message)
    assert words == f"compare <image:{dog}> with <image:/gone.png>"
    assert [(picture.path, picture.image is not None) for picture in pictures] == [(str(cat), True)]
    assert parse_message(words, [picture.path for picture in pictures]) == message
    assert await conversation.draft_of(("only words",)) == ("only words", ())
    conversation.close()
