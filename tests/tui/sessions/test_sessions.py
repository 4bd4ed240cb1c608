"""Conversations in the app: kept as they go, listed, opened again with their pictures, renamed, deleted, searched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList

from fromage_lite.chat.events import ImagesFound
from fromage_lite.errors import FromageError
from index.search.hits import Hit
from tests.tui.driver import Driver
from tests.tui.fake_agent import FakeAgent, Gate, image_paths, loader, picture_bytes
from tests.tui.saved import say, turn
from tui.app import ChatApp
from tui.pictures.image_mode import ImageMode
from tui.screens.chat import ChatScreen
from tui.sessions.archive import Archive
from tui.sessions.dialogs import AskTitle, Confirm
from tui.sessions.records import SavedTurn, SessionInfo
from tui.sessions.screen import SessionsScreen
from tui.sessions.store import SessionStore
from tui.widgets.next_best import NextBest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@asynccontextmanager
async def kept(
    path: Path,
    agent: FakeAgent | None = None,
    *,
    load: Callable | None = None,
    size: tuple[int, int] = (80, 30),
    resume: int | str | None = None,
    save: bool = True,
    wait: bool = True,
) -> AsyncIterator[Driver]:
    """The app with a scripted agent, and conversations in this file."""
    app = ChatApp(
        load or loader(agent or FakeAgent()), ImageMode.HALFBLOCK, archive=Archive(path, save=save), resume=resume
    )
    async with app.run_test(size=size) as pilot:
        driver = Driver(app, pilot)
        if wait:
            await driver.ready()
        yield driver


def sessions(path: Path) -> list[tuple[SessionInfo, tuple[SavedTurn, ...]]]:
    store = SessionStore.open(path)
    found = [(info, store.load(info.id)[0].turns) for info in store.sessions()]
    store.close()
    return found


def words(path: Path) -> list[list[tuple]]:
    """(message, reply, reason) of every turn of every conversation."""
    return [[(t.message, t.reply, t.reason) for t in turns] for _, turns in sessions(path)]


async def open_list(chat: Driver) -> SessionsScreen:
    await chat.pilot.press("ctrl+l")
    await chat.until(lambda: isinstance(chat.app.screen, SessionsScreen))
    screen = chat.app.screen
    assert isinstance(screen, SessionsScreen)
    await chat.until(lambda: listed(screen) or screen.query_one("#none").display)
    return screen


def listed(screen: SessionsScreen) -> list[str]:
    return [match.info.title for match in screen._matches]


async def back(chat: Driver) -> None:
    await chat.until(lambda: isinstance(chat.app.screen, ChatScreen))


async def test_what_is_said_is_kept_as_it_goes(path: Path, cat: Path) -> None:
    gate = Gate()
    agent = FakeAgent(["a cat"], ["here: ", ImagesFound((Hit(4, 0.5, "/p/4.png", "four"),)), gate, " more"], ["new"])
    async with kept(path, agent) as chat:
        await chat.say(f"{cat} what is this?")
        await chat.type("show me four")
        await chat.until(gate.reached.is_set)
        await chat.until(lambda: len(words(path)[0]) == 2 and words(path)[0][1][1])
        first, second = words(path)[0]
        assert image_paths(first[0]) == [str(cat)] and first[1:] == (("a cat",), "stop")
        assert second == (("show me four",), ("here: ", (Hit(4, 0.5, "/p/4.png", "four"),)), None)
        gate.open()
        await chat.ready()
        await chat.type("/reset")
        await chat.say("another subject")
    assert [[turn[0][-1] for turn in turns] for turns in words(path)] == [
        ["another subject"],
        ["what is this?", "show me four"],
    ]
    assert [info.model for info, _ in sessions(path)] == ["playground"] * 2


async def test_undo_and_retry_change_what_is_kept(path: Path) -> None:
    agent = FakeAgent(["one"], ["two"], ["two again"], [FromageError("The model stumbled.")], ["three"])
    async with kept(path, agent) as chat:
        await chat.say("1")
        await chat.say("2")
        await chat.type("/retry")
        await chat.until(lambda: chat.replies[-1] == "two again")
        await chat.ready()
        await chat.type("/undo")
        await chat.say("3")
        assert chat.screen.failed
        await chat.until(lambda: len(words(path)[0]) == 2)
        assert words(path)[0] == [(("1",), ("one",), "stop"), (("3",), (), None)]
        await chat.type("/retry")
        await chat.until(lambda: len(chat.screen.turns) == 2)
    assert words(path)[0] == [(("1",), ("one",), "stop"), (("3",), ("three",), "stop")]


async def test_a_message_that_waits_for_the_model_is_kept_and_can_be_taken_back(path: Path) -> None:
    gate = Gate()
    async with kept(path, load=loader(FakeAgent(["hi"]), gate), wait=False) as chat:
        await chat.type("hello")
        await chat.until(lambda: words(path) == [[(("hello",), (), None)]])
        await chat.pilot.press("escape")
        await chat.until(lambda: words(path) == [])
        await chat.type("hello again")
        gate.open()
        await chat.until(lambda: len(chat.screen.turns) == 1)
    assert words(path) == [[(("hello again",), ("hi",), "stop")]]


async def test_leaving_during_a_reply_keeps_its_words(path: Path) -> None:
    gate = Gate()
    async with kept(path, FakeAgent(["half a", gate, " reply"])) as chat:
        await chat.type("hello")
        await chat.until(gate.reached.is_set)
        await chat.pilot.press("ctrl+q")
    ((message, reply, reason),) = words(path)[0]
    assert message == ("hello",) and reply[0].startswith("half a") and reason in (None, "cancelled")


async def test_a_conversation_is_opened_again_with_its_pictures(path: Path, tmp_path: Path, cat: Path) -> None:
    found, gone = tmp_path / "found.png", tmp_path / "gone.png"
    found.write_bytes(picture_bytes("green", (30, 20)))
    dog = tmp_path / "dog.png"
    dog.write_bytes(picture_bytes("brown"))
    hits = (
        ImagesFound((Hit(1, 0.9, str(found), "a green thing"),)),
        ImagesFound((Hit(2, 0.8, str(gone), "a lost one"),)),
    )
    async with kept(path, FakeAgent(["a cat"], ["here", *hits, " enjoy"])) as chat:
        await chat.say(f"{cat} what is this?")
        await chat.say(f"{dog} show me things")
    dog.unlink()
    agent = FakeAgent(["of course"])
    async with kept(path, agent, size=(100, 60)) as chat:
        await open_list(chat)
        assert "what is this?" in chat.text and "2 turns" in chat.text
        await chat.pilot.press("enter")
        await back(chat)
        await chat.until(lambda: len(chat.screen.turns) == 2)
        assert chat.replies[0] == "a cat" and chat.replies[1].split() == ["here", "enjoy"]
        assert [(card.picture.caption, card.picture.image is not None) for card in chat.cards] == [
            ("cat.png", True),
            ("dog.png", False),
            ("a green thing", True),
            ("a lost one", False),
        ]
        assert chat.cards[2].picture.image.getpixel((5, 5))[1] > 100  # the green one itself
        assert f"no file {gone}" in chat.cards[3].picture.problem
        dialogue = chat.app.conversation.dialogue
        assert [turn.reason for turn in dialogue.turns] == ["stop", "stop"]
        assert image_paths(dialogue.turns[0].message) == [str(cat)] and len(dialogue.turns[1].hits) == 2
        await chat.say("and now?")
        assert len(dialogue.turns) == 3
        await chat.type("/undo")
        await chat.type("/undo")
    assert len(words(path)) == 1 and len(words(path)[0]) == 1


async def test_a_picture_that_has_gone_since_is_marked_when_its_conversation_is_opened_again(
    path: Path, tmp_path: Path
) -> None:
    """`FakeAgent` has a small copy of every picture, and says which is its number 1."""
    file = tmp_path / "cat.png"
    file.write_bytes(picture_bytes())

    class Indexed(FakeAgent):
        def row(self, id: int) -> tuple[str, str]:
            return str(file), "a cat"

    script = ["here", ImagesFound((Hit(1, 0.9, str(file), "a cat"),))]
    async with kept(path, Indexed(script)) as chat:
        await chat.say("show me a cat")
        assert "its file is gone" not in chat.text
    file.unlink()
    async with kept(path, Indexed(), resume="last") as chat:
        await chat.until(lambda: chat.cards)
        await chat.until(lambda: "its file is gone" in chat.text)
        assert chat.cards[0].picture.image is not None
    gate = Gate()
    async with kept(path, load=loader(Indexed(), gate), resume="last", wait=False) as chat:
        await chat.until(lambda: chat.cards and "no file" in chat.cards[0].picture.problem)
        gate.open()  # now there is an index, which has a small copy
        await chat.until(lambda: "its file is gone" in chat.text)
        assert chat.cards[0].picture.image is not None and "no file" not in chat.text
    file.write_bytes(picture_bytes())
    async with kept(path, Indexed(), resume="last") as chat:
        await chat.until(lambda: chat.cards)
        await chat.until(lambda: "match 0.90" in chat.text)
        assert "its file is gone" not in chat.text


async def test_the_next_best_and_what_is_hidden_come_back_too(path: Path, tmp_path: Path) -> None:
    files = []
    for colour in ("orange", "blue", "green"):
        files.append(tmp_path / f"{colour}.png")
        files[-1].write_bytes(picture_bytes(colour))
    best, second, third = (Hit(n, 0.9 - n / 10, str(file), file.stem) for n, file in enumerate(files))
    script = [[" look:", ImagesFound((best,), (second, third))], [" again:", ImagesFound((third,), (second,))]]
    async with kept(path, FakeAgent(*script), size=(80, 40)) as chat:
        await chat.say("show me one")
        await chat.type("/retry")
        await chat.until(lambda: chat.replies == ["again:"])
        await chat.ready()
        chat.screen.query_one(NextBest).focus()
        await chat.pilot.press("x")
        await chat.until(lambda: chat.screen.conversation.hidden == {second.id})
    assert sessions(path)[0][1][0].more == ((second,),)
    agent = FakeAgent()
    async with kept(path, agent, resume="last", size=(80, 40)) as chat:
        await chat.until(lambda: chat.screen.query(NextBest) and "⊘" in chat.text)
        assert agent.last.excluded == {second.id} and chat.screen.query_one(NextBest).current.caption == "blue"
        await chat.type("/reset")
        assert not agent.last.excluded
        await chat.say("something else")
    newest, before = sessions(path)
    assert newest[0].id != before[0].id
    store = SessionStore.open(path)
    assert store.load(newest[0].id)[0].hidden == () and [h.id for h in store.load(before[0].id)[0].hidden] == [1]
    store.close()


async def test_continue_opens_the_last_one_before_the_model_is_there(path: Path) -> None:
    async with kept(path, FakeAgent(["one"])) as chat:
        await chat.say("first")
    gate = Gate()
    async with kept(path, load=loader(FakeAgent(["two"]), gate), resume="last", wait=False) as chat:
        await chat.until(lambda: len(chat.screen.turns) == 1)
        assert chat.replies == ["one"] and chat.screen.busy == "loading"
        gate.open()
        await chat.ready()
        await chat.say("second")
        assert [turn.message for turn in chat.app.conversation.dialogue.turns] == [("first",), ("second",)]
    assert [turn[0] for turn in words(path)[0]] == [("first",), ("second",)] and len(words(path)) == 1


async def test_continue_with_nothing_to_continue_and_a_number_that_is_none(path: Path) -> None:
    async with kept(path, resume="last") as chat:
        await chat.until(lambda: chat.notes)
        assert "no earlier conversation" in chat.notes[0]
    async with kept(path, resume=99) as chat:
        await chat.until(lambda: chat.notes)
        assert "no conversation 99" in chat.notes[0]
        await chat.say("still works")


async def undone(chat: Driver) -> list[str]:
    """Takes every turn back; the first words of what came back, in that order."""
    back = []
    while chat.screen.transcript.turns:
        before = len(chat.screen.transcript.turns)
        chat.screen.composer.prompt.fill("")
        await chat.pilot.press("ctrl+t")
        await chat.until(lambda: len(chat.screen.transcript.turns) < before)  # noqa: B023
        back.append(chat.typed)
    return back


async def test_undo_takes_back_the_last_visible_turn_be_it_interrupted_or_whole(path: Path) -> None:
    store = SessionStore.open(path)
    turns = [turn("one", "1"), turn("two", "half", reason=None), turn("three", "3"), turn("four", "hal", reason=None)]
    say(store, *turns)
    store.close()
    agent = FakeAgent(["5"])
    async with kept(path, agent, resume="last") as chat:
        await chat.until(lambda: len(chat.screen.transcript.turns) == 4)
        await chat.say("five")
        for rest in (["one", "two", "three", "four"], ["one", "two", "three"], ["one", "two"], ["one"]):
            before = len(chat.screen.transcript.turns)
            await chat.pilot.press("ctrl+t")
            await chat.until(lambda: len(chat.screen.transcript.turns) < before)  # noqa: B023
            await chat.ready()
            await chat.until(lambda: [m[0] for m, _, _ in words(path)[0]] == rest)  # noqa: B023
            finished = [message for message in rest if message in ("one", "three")]
            assert [t.message[0] for t in agent.last.turns] == finished
    async with kept(path, resume="last") as chat:
        await chat.until(lambda: len(chat.screen.transcript.turns) == 1)
        assert await undone(chat) == ["one"]
    assert words(path) == []


async def test_undo_of_a_failed_message_above_the_last_takes_it_out_of_the_kept_conversation(path: Path) -> None:
    agent, gate = FakeAgent(["1"], [" half", Gate(), FromageError("It broke.")], ["3"]), Gate()
    agent.scripts[1][1] = gate
    async with kept(path, agent) as chat:
        await chat.say("one")
        await chat.type("two")
        await chat.until(gate.reached.is_set)
        chat.screen.composer.prompt.fill("three")  # so that the failed one is not handed back
        gate.open()
        await chat.until(lambda: "It broke." in chat.text and "/retry tries again." in chat.text)
        await chat.pilot.press("enter")
        await chat.until(lambda: len(chat.screen.turns) == 2)
        assert "It broke." in chat.text and "/retry" not in chat.text
        assert await undone(chat) == ["three", "two", "one"]
    assert words(path) == []


async def test_an_interrupted_reply_is_shown_and_not_told_to_the_model(path: Path) -> None:
    store = SessionStore.open(path)
    session = store.create()
    for message, reply, reason in (
        ("one", "1", "stop"),
        ("two", "half", None),
        ("three", "3", "stop"),
        ("four", "4", None),
    ):
        store.add_turn(session, SavedTurn((message,), (reply,), reason))
    store.close()
    agent = FakeAgent(["whole"])
    async with kept(path, agent, size=(90, 50), resume=session) as chat:
        await chat.until(lambda: chat.screen.failed)
        assert [turn.message for turn in chat.app.conversation.dialogue.turns] == [("one",), ("three",)]
        assert chat.text.count("interrupted") == 2 and "half" in chat.text and chat.text.count("retry") == 1
        await chat.type("/retry")
        await chat.until(lambda: len(chat.screen.turns) == 3)
        assert agent.messages == [("four",)] and chat.replies[-1] == "whole"
    assert [turn[1:] for turn in words(path)[0]] == [
        (("1",), "stop"),
        (("half",), None),
        (("3",), "stop"),
        (("whole",), "stop"),
    ]


async def test_the_list_is_searched_as_one_types(path: Path) -> None:
    store = SessionStore.open(path)
    for title, said in (("", "tell me of penguins"), ("Travel", "a beach in the sun"), ("", "hello there")):
        id = store.create(title=title)
        store.add_turn(id, SavedTurn((said,), ("fine",), "stop"))
    store.close()
    async with kept(path) as chat:
        screen = await open_list(chat)
        assert listed(screen) == ["hello there", "Travel", "tell me of penguins"]
        await chat.pilot.press(*"peng")
        await chat.until(lambda: listed(screen) == ["tell me of penguins"])
        await chat.pilot.press(*'" OR (')
        await chat.until(lambda: listed(screen) == [])
        assert "Nothing has" in chat.text
        await chat.pilot.press("escape")  # first empties the field
        await chat.until(lambda: len(listed(screen)) == 3)
        await chat.pilot.press("down", "enter")
        await back(chat)
        await chat.until(lambda: len(chat.screen.turns) == 1)
        assert "a beach in the sun" in chat.text


async def test_rename_and_delete(path: Path) -> None:
    async with kept(path, FakeAgent(["1"], ["2"])) as chat:
        await chat.type("/rename Too early")
        assert "Say something first" in chat.text
        await chat.say("one")
        await chat.type("/rename  The\x1b[31m first")
        await chat.until(lambda: sessions(path)[0][0].title == "The first")
        await chat.type("/reset")
        await chat.say("two")
        screen = await open_list(chat)
        assert listed(screen) == ["two", "The first"]
        await chat.pilot.press("down", "f2")
        await chat.until(lambda: isinstance(chat.app.screen, AskTitle))
        assert chat.app.screen.query_one(Input).value == "The first"
        await chat.pilot.press(*"New", "enter")  # all of it is selected at first
        await chat.until(lambda: listed(screen) == ["two", "New"])
        await chat.until(lambda: screen.query_one(OptionList).highlighted == 1)
        await chat.pilot.press("ctrl+d")
        await chat.until(lambda: isinstance(chat.app.screen, Confirm))
        await chat.pilot.press("enter")  # "No" has the focus
        await chat.until(lambda: chat.app.screen is screen)
        assert len(sessions(path)) == 2
        await chat.pilot.press("ctrl+d")
        await chat.until(lambda: isinstance(chat.app.screen, Confirm))
        await chat.pilot.press("y")
        await chat.until(lambda: listed(screen) == ["two"])
        assert [info.title for info, _ in sessions(path)] == ["two"]


async def test_deleting_the_open_conversation_begins_a_new_one(path: Path) -> None:
    async with kept(path, FakeAgent(["1"], ["2"])) as chat:
        await chat.say("secret")
        screen = await open_list(chat)
        await chat.pilot.press("ctrl+d")
        await chat.until(lambda: isinstance(chat.app.screen, Confirm))
        await chat.pilot.press("y")
        await chat.until(lambda: listed(screen) == [])
        await chat.pilot.press("escape")
        await back(chat)
        await chat.until(lambda: chat.screen.transcript.shows_welcome)
        assert chat.app.conversation.dialogue.turns == []
        await chat.say("next")
    assert [turn[0] for turns in words(path) for turn in turns] == [("next",)]


async def test_nothing_is_opened_while_a_reply_is_made(path: Path) -> None:
    store = SessionStore.open(path)
    store.add_turn(store.create(), SavedTurn(("earlier",), ("yes",), "stop"))
    store.close()
    gate = Gate()
    async with kept(path, FakeAgent([gate, "done"])) as chat:
        await chat.type("hello")
        await chat.until(gate.reached.is_set)
        await open_list(chat)
        await chat.pilot.press("down", "enter")
        await back(chat)
        await chat.pilot.pause()
        assert "Esc stops the reply first" in chat.text
        gate.open()
        await chat.until(lambda: chat.replies == ["done"])


async def test_trouble_is_told_once_and_the_chat_goes_on(path: Path, monkeypatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(ChatScreen, "notify", lambda self, message, **_: told.append(message))
    path.write_bytes(b"no database at all, but long enough to be taken for one" * 50)
    before = path.read_bytes()
    async with kept(path, FakeAgent(["hi"], ["ho"])) as chat:
        await chat.until(lambda: told)
        await chat.say("hello")
        await chat.say("hello again")
        assert chat.replies == ["hi", "ho"]
        await chat.type("/sessions")
        assert "damaged" in chat.notes[-1]
        await chat.type("/rename x")
        assert "damaged" in chat.notes[-1]
    assert len(told) == 1 and "damaged" in told[0] and "goes on without saving" in told[0]
    assert path.read_bytes() == before


async def test_no_save_writes_nothing(path: Path) -> None:
    async with kept(path, FakeAgent(["hi"]), save=False) as chat:
        await chat.say("hello")
        await chat.type("/sessions")
        assert "aren't saved" in chat.notes[-1]
    assert not path.exists()
    async with kept(path, FakeAgent(["hi"])) as chat:
        await chat.say("kept")
    before = path.read_bytes()
    async with kept(path, FakeAgent(["ho"]), save=False, resume="last") as chat:
        await chat.until(lambda: len(chat.screen.turns) == 1)
        await chat.say("not kept")
        screen = await open_list(chat)
        await chat.pilot.press("ctrl+d", "f2")
        assert chat.app.screen is screen
    assert path.read_bytes() == before
