"""One damaged record never makes the rest unreachable: the store, its lists, search, export, import, resuming."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from pathlib import Path

import pytest

from fromage_lite.text.message import ImageSegment
from index.search.hits import Hit
from tests.tui.fake_agent import STATISTICS, FakeAgent
from tests.tui.saved import Clock, say, turn
from tests.tui.sessions.test_sessions import kept
from tui.sessions.export import export
from tui.sessions.importing import read_session
from tui.sessions.records import SavedSearch, SavedTurn
from tui.sessions.restore import draw
from tui.sessions.screen import date_words
from tui.sessions.search import search
from tui.sessions.store import SessionStore

NESTED = "[" * 100_000
HIT = '{"id": 1, "score": 0.5, "path": "/p/1.png", "caption": ""}'

UNREADABLE_TURNS = {
    "cut off": ("message", '[{"text": "cut off'),
    "empty": ("message", ""),
    "a number": ("message", 7),
    "a blob": ("message", b"\xff\xfe\x00"),
    "no list": ("message", '{"text": "x"}'),
    "a list in a text": ("message", '[{"text": ["x"]}]'),
    "null": ("message", "null"),
    "deep": ("message", NESTED),
    "no path": ("message", '[{"image": "a\\u0000b"}]'),
    "a path that is none": ("message", '[{"image": ""}]'),
    "reply cut off": ("reply", '[{"text": "cut off'),
    "reply of another form": ("reply", '[{"words": "x"}]'),
    "a hit without a path": ("reply", '[{"hits": [{"id": 1, "score": 0.5}]}]'),
    "a hit with a huge number": ("reply", '[{"hits": [' + HIT.replace("1,", "1" + "0" * 400 + ",", 1) + "]}]"),
    "a score that is none": ("reply", '[{"hits": [' + HIT.replace("0.5", "NaN") + "]}]"),
    "a score beyond all bounds": ("reply", '[{"hits": [' + HIT.replace("0.5", "1e300") + "]}]"),
    "reply a blob": ("reply", b"\x00" * 9),
    "an unknown reason": ("reason", "because"),
    "a reason of another type": ("reason", b"stop"),
}
HARMLESS = {
    "statistics": ("statistics", "[1, 2"),
    "more": ("more", '[[{"id": "x"}]]'),
    "more no list": ("more", "7"),
    "created": ("created", "yesterday"),
    "created too late": ("created", 1e300),
    "created infinite": ("created", float("inf")),
    "created negative": ("created", -5.0),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def store(path: Path) -> SessionStore:
    store = SessionStore.open(path, clock=Clock())
    yield store
    store.close()


def three_turns(store: SessionStore) -> tuple[int, int]:
    """The ids of a conversation and of its second turn."""
    session = say(store, turn("first", "one"), turn("second", "two"), turn("third", "three"))
    return session, store.load(session)[1][1]


def damage(store: SessionStore, turn: int, column: str, value: object) -> tuple:
    store.connection.execute(f"UPDATE turns SET {column} = ? WHERE id = ?", (value, turn))
    return row_of(store, turn)


def row_of(store: SessionStore, turn: int) -> tuple:
    return store.connection.execute(
        "SELECT CAST(message AS BLOB), CAST(reply AS BLOB), reason, typeof(created) FROM turns WHERE id = ?", (turn,)
    ).fetchone()


@pytest.mark.parametrize("what", UNREADABLE_TURNS)
def test_a_turn_that_cannot_be_read_stands_between_the_others(store: SessionStore, what: str, tmp_path: Path) -> None:
    column, value = UNREADABLE_TURNS[what]
    session, broken = three_turns(store)
    other = say(store, turn("elsewhere", "fine"))
    row = damage(store, broken, column, value)

    assert [info.id for info in store.sessions()] == [other, session]
    loaded, ids = store.load(session)
    first, second, third = loaded.turns
    assert (first.message, first.reply, third.message, third.reply) == (("first",), ("one",), ("third",), ("three",))
    assert (second.problem, second.reason) == (f"its {column} is damaged", None) and ids[1] == broken
    assert [turn.message for turn in loaded.finished().turns] == [("first",), ("third",)]
    assert {match.info.id for match in search(store, "third")} == {session}

    for name in ("talk.md", "talk.html", "talk.json"):
        export(loaded, draw(None, loaded.items), tmp_path / name)
    for name in ("talk.md", "talk.html"):
        text = (tmp_path / name).read_text().replace("\\", "")
        assert text.count("This turn can") == 1 and "first" in text and "three" in text
    again = read_session(tmp_path / "talk.json")
    assert [turn.message for turn in again.turns if turn.reason == "stop"] == [("first",), ("third",)]

    store.add_turn(session, turn("fourth", "four"))
    assert [turn.message for turn in store.load(session)[0].turns[2:]] == [("third",), ("fourth",)]
    assert row_of(store, broken) == row, "it is kept as it is"
    assert store.damaged_records() == [f"turn {broken} of conversation {session} ({column})"]
    store.delete(session)
    assert [info.id for info in store.sessions()] == [other] and store.damaged_records() == []


@pytest.mark.parametrize("what", HARMLESS)
def test_a_damaged_detail_costs_only_itself(store: SessionStore, what: str) -> None:
    column, value = HARMLESS[what]
    session, broken = three_turns(store)
    damage(store, broken, column, value)
    assert [(turn.message, turn.reply, turn.reason) for turn in store.load(session)[0].turns] == [
        (("first",), ("one",), "stop"),
        (("second",), ("two",), "stop"),
        (("third",), ("three",), "stop"),
    ]
    assert store.damaged_records() == [f"turn {broken} of conversation {session} ({column})"]


def test_a_byte_that_is_no_text_is_replaced_and_counted(store: SessionStore) -> None:
    session, broken = three_turns(store)
    store.connection.execute(
        "UPDATE turns SET message = CAST(? AS TEXT) WHERE id = ?", (b'[{"text": "se\xffcond"}]', broken)
    )
    assert [turn.message for turn in store.load(session)[0].turns] == [("first",), ("se\ufffdcond",), ("third",)]
    assert store.damaged_records() == [f"turn {broken} of conversation {session} (message)"]


BAD_SESSIONS = {
    "text": ("updated", "yesterday"),
    "too late": ("updated", 1e300),
    "infinite": ("updated", float("inf")),
    "negative": ("updated", -1e18),
    "a blob": ("updated", b"\xff"),
    "created": ("created", "long ago"),
    "created too late": ("created", 9e99),
    "title": ("title", b"\xff\xfe"),
    "model": ("model", b"\xff"),
    "index": ("index", b"\xff"),
    "hidden": ("hidden", '[[{"id":'),
    "hidden of another form": ("hidden", "7"),
}


@pytest.mark.parametrize("what", BAD_SESSIONS)
def test_a_damaged_conversation_is_listed_opened_and_renamed(store: SessionStore, what: str, tmp_path: Path) -> None:
    column, value = BAD_SESSIONS[what]
    broken, other = say(store, turn("broken", "yes")), say(store, turn("whole", "no"))
    store.connection.execute(f'UPDATE sessions SET "{column}" = ? WHERE id = ?', (value, broken))
    assert store.latest() == other, "a time that is none is not the newest"
    listed = store.sessions()
    assert [info.id for info in listed] == [other, broken]
    assert all(date_words(info.updated, datetime(2023, 12, 1)) for info in listed)
    loaded, _ = store.load(broken)
    assert [turn.message for turn in loaded.turns] == [("broken",)] and loaded.hidden == ()
    for name in ("talk.md", "talk.html", "talk.json"):
        export(loaded, draw(None, loaded.items), tmp_path / name)
    assert [turn.message for turn in read_session(tmp_path / "talk.json").turns] == [("broken",)]
    assert store.damaged_records() == [f"conversation {broken} ({column})"]
    store.rename(broken, "Mended")
    store.add_turn(broken, turn("more"))
    assert (store.latest(), store.sessions()[0].title) == (broken, "Mended")


@pytest.mark.parametrize("position", ["x", 2**63 - 1, -(2**63), 9e18, b"\xff"])
def test_a_damaged_position_keeps_nobody_from_going_on(store: SessionStore, position: object) -> None:
    session, broken = three_turns(store)
    store.connection.execute("UPDATE turns SET position = ? WHERE id = ?", (position, broken))
    store.add_turn(session, turn("fourth"))
    store.add_turn(session, turn("fifth"))
    said = [turn.message[0] for turn in store.load(session)[0].turns]
    assert said == ["first", "second", "third", "fourth", "fifth"]


def test_a_value_that_may_not_be_missing_is_missing(store: SessionStore, path: Path) -> None:
    session, broken = three_turns(store)
    other = say(store, turn("elsewhere", "fine"))
    store.close()
    db = sqlite3.connect(path, isolation_level=None)
    schema = db.execute("SELECT name, sql FROM sqlite_master WHERE name IN ('turns', 'sessions')").fetchall()
    for lenient in (True, False):  # as a damaged page, or another program, would leave it
        db.execute("PRAGMA writable_schema = ON")
        for name, sql in schema:
            sql = sql.replace("NOT NULL", "") if lenient else sql
            db.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql, name))
        db.execute("PRAGMA writable_schema = RESET")
        if lenient:
            db.execute("UPDATE turns SET message = NULL, reply = NULL WHERE id = ?", (broken,))
            db.execute("UPDATE sessions SET updated = NULL, model = NULL WHERE id = ?", (session,))
    assert db.execute("PRAGMA quick_check").fetchone() != ("ok",)
    db.close()
    again = SessionStore.open(path)
    assert [info.id for info in again.sessions()] == [other, session]
    assert [turn.problem for turn in again.load(session)[0].turns] == ["", "its message and reply are damaged", ""]
    assert len(again.damaged_records()) == 2
    again.close()


def test_an_old_database_with_a_damaged_turn_is_brought_up_to_date(tmp_path: Path) -> None:
    from tests.tui.sessions.test_sessions_database import VERSION_1

    path = tmp_path / "old.db"
    by_hand = sqlite3.connect(path)
    by_hand.executescript(VERSION_1)
    for position, message in enumerate(('[{"text": "cut off', "null", "5", NESTED), start=2):
        by_hand.execute(
            "INSERT INTO turns (session, position, message, created) VALUES (7, ?, ?, 1)", (position, message)
        )
    by_hand.execute('INSERT INTO turns (session, position, message, created) VALUES (7, 9, \'[{"text": "last"}]\', 1)')
    by_hand.commit()
    by_hand.close()
    store = SessionStore.open(path)
    assert [(info.title, info.turns) for info in store.sessions()] == [("From before", 6)]
    turns = store.load(7)[0].turns
    assert (turns[0].message, turns[5].message) == (("an old question",), ("last",))
    assert [turn.problem for turn in turns[1:5]] == ["its message is damaged"] * 4
    assert [match.info.id for match in search(store, "last")] == [7]
    store.close()


def test_a_damaged_search_index_is_made_anew(store: SessionStore, path: Path) -> None:
    session, _ = three_turns(store)
    other = say(store, turn("elsewhere", "fine"))
    store.connection.execute("UPDATE words_data SET block = x'0102'")
    store.close()
    reading = SessionStore.open(path, read_only=True)
    assert [match.info.id for match in search(reading, "elsewhere")] == [other], "found without it"
    reading.close()
    again = SessionStore.open(path)
    again.add_turn(session, turn("fourth", "a new word"))
    assert [match.info.id for match in search(again, "second")] == [session]
    assert [match.info.id for match in search(again, "new")] == [session]
    again.connection.execute("DROP TABLE words")
    again.close()
    again = SessionStore.open(path)
    again.delete(other)
    assert [info.id for info in again.sessions()] == [session] and search(again, "elsewhere") == []
    again.close()


def test_a_damaged_search_and_one_of_a_later_version_are_passed_over(store: SessionStore) -> None:
    session, _ = three_turns(store)
    store.add_search(session, SavedSearch("beach", (Hit(1, 0.5, "/p/1.png"),), created=5.0))
    for kind, data in (("search", "{"), ("search", '{"words": 3, "hits": []}'), ("drawing", "anything")):
        store.connection.execute(
            "INSERT INTO items (session, after, kind, data, created) VALUES (?, 0, ?, ?, 0)", (session, kind, data)
        )
    assert store.load(session)[0].searches == (SavedSearch("beach", (Hit(1, 0.5, "/p/1.png"),), False, 5.0, 3),)
    assert store.damaged_records() == [
        f"search 2 of conversation {session} (data)",
        f"search 3 of conversation {session} (data)",
    ]


def test_pictures_that_are_none_are_cards_that_say_so(store: SessionStore, tmp_path: Path) -> None:
    no_picture = tmp_path / "cat.png"
    no_picture.write_bytes(b"no picture")
    sources = ("/gone.png", str(no_picture), "http://[::", "http://[", str(tmp_path), "\ud800")
    hits = tuple(Hit(number, 0.5, source) for number, source in enumerate(sources))
    session = say(store, SavedTurn(("look", ImageSegment(str(no_picture))), ("here", hits), "stop", 1.0, STATISTICS))
    agent = FakeAgent()
    agent.thumbnails = {number: b"no picture either" for number in range(len(hits))}
    for one in (None, agent):
        (drawn,) = draw(one, store.load(session)[0].items, more=True)
        assert drawn.parts[1].image is None and drawn.parts[1].problem
        (found,) = [item for item in drawn.items if hasattr(item, "pictures")]
        assert [picture.image for picture in found.pictures] == [None] * 6
        assert all(picture.problem for picture in found.pictures)


def test_one_damaged_turn_of_a_file_does_not_keep_the_others_out(tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    good = {"message": [{"text": "hello"}], "reply": [{"text": "hi"}], "reason": "stop"}
    search = {"kind": "search", "after": 2, "created": 3.0, "words": "dogs", "hits": []}
    path.write_text(
        json.dumps(
            {
                "format": "fromage-lite session",
                "version": 1,
                "turns": [good, {**good, "reply": "hi"}, {**good, "more": 5}, None],
                "hidden": [{"id": "x"}],
                "items": [search, {**search, "after": 9}, {"kind": "of tomorrow"}, 7],
            }
        )
    )
    session = read_session(path)
    assert [turn.message for turn in session.turns] == [("hello",), ("hello",)]
    assert session.searches == (SavedSearch("dogs", (), False, 3.0, 1),)
    assert session.problems == (
        "the reply of turn 2 is no list",
        "the further pictures of turn 3 is no list",
        "turn 4 is no object",
        "item 2 stands at no place between the turns",
        "item 4 is no object",
        "a hit of the file is damaged (KeyError: 'score')",
    )


async def test_a_damaged_turn_is_named_in_the_chat_and_the_conversation_goes_on(path: Path) -> None:
    store = SessionStore.open(path)
    session = say(store, turn("one", "1"), turn("two", "2"), turn("three", "3"), turn("four", "4"))
    _, ids = store.load(session)
    before = [
        damage(store, ids[1], "message", "{"),
        damage(store, ids[2], "reply", "["),
        damage(store, ids[3], "reply", "{"),
    ]
    store.close()
    agent = FakeAgent(["5"])
    async with kept(path, agent, size=(90, 50), resume=session) as chat:
        await chat.until(lambda: chat.text.count("This turn can't be read") == 3)
        assert "three" in chat.text and "(its reply is damaged)" in chat.text and not chat.screen.failed
        assert [turn.message for turn in chat.app.conversation.dialogue.turns] == [("one",)]
        await chat.say("five")
        assert [turn.message for turn in chat.app.conversation.dialogue.turns] == [("one",), ("five",)]
    store = SessionStore.open(path)
    assert [row_of(store, id) for id in ids[1:]] == before
    assert store.load(session)[0].turns[-1].reply == ("5",)
    store.close()


async def test_a_list_with_damaged_conversations_is_shown(path: Path) -> None:
    store = SessionStore.open(path, clock=Clock())
    broken = say(store, turn("broken"))
    say(store, turn("whole"))
    store.connection.execute("UPDATE sessions SET created = 'x', updated = 1e300 WHERE id = ?", (broken,))
    store.connection.execute("UPDATE turns SET message = '{' WHERE session = ?", (broken,))
    store.close()
    async with kept(path) as chat:
        await chat.pilot.press("ctrl+l")
        await chat.until(lambda: "whole" in chat.text and "damaged" in chat.text)
        await chat.pilot.press("down", "enter")
        await chat.until(lambda: "This turn can't be read" in chat.text)
