"""The store of conversations: what is written comes back, what is damaged spoils nothing else."""

from __future__ import annotations

import json
import sqlite3
import stat
from pathlib import Path

import pytest

from fromage_lite.text.message import ImageSegment
from index.search.hits import Hit
from tests.tui.fake_agent import STATISTICS, hit
from tests.tui.saved import say, turn
from tui.sessions.records import SavedTurn, Session, SessionError, SessionInfo, shorten, title_of
from tui.sessions.search import search
from tui.sessions.store import SessionStore


def test_a_conversation_comes_back_as_it_was(store: SessionStore, path: Path) -> None:
    message = ("look:", ImageSegment("/tmp/a cat.png"), "what — 猫 — is this?")
    first = SavedTurn(message, ("a cat ", (hit(3), hit(4)), " there"), "length", 12.5, STATISTICS, ((hit(5),),))
    second = SavedTurn(("\ud800 broken",), (), "cancelled", 13.5)
    session = say(store, first, second)
    store.hide(session, [hit(5), hit(7)])
    store.close()
    again = SessionStore.open(path)
    loaded, ids = again.load(session)
    assert loaded.turns == (first, second) and len(set(ids)) == 2 and loaded.hidden == (hit(5), hit(7))
    assert (loaded.info.model, loaded.info.index, loaded.info.turns) == ("playground", "pictures", 2)
    again.close()


def test_pictures_that_an_earlier_version_saved_come_back(store: SessionStore, path: Path) -> None:
    session = say(store, turn("a cat", "here"))
    store.close()
    with sqlite3.connect(path) as db:
        db.execute(
            """UPDATE turns SET reply = '[{"text": "here "}, {"hits": [{"id": 3, "score": 0.83, """
            """"source": "/pictures/00003.png", "caption": "a big cat on the beach"}]}]', """
            """more = '[[{"id": 5, "score": 0.5, "source": "/pictures/00005.png", "caption": ""}]]'"""
        )
        db.execute(
            """UPDATE sessions SET hidden = '[[{"id": 9, "score": 0.0, "source": "/pictures/9.png", "caption": ""}]]'"""
        )
    db.close()
    again = SessionStore.open(path)
    (loaded, _) = again.load(session)
    assert loaded.turns[0].reply == ("here ", (Hit(3, 0.83, "/pictures/00003.png", "a big cat on the beach"),))
    assert loaded.turns[0].more == ((Hit(5, 0.5, "/pictures/00005.png"),),)
    assert loaded.hidden == (Hit(9, 0.0, "/pictures/9.png"),)
    again.close()


def test_only_the_user_may_read_the_file(store: SessionStore, path: Path) -> None:
    say(store, turn("a secret"))
    for file in (path, path.with_name("sessions.db-wal")):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_newest_conversation_is_first_and_has_its_first_words_as_title(store: SessionStore) -> None:
    old = say(store, turn("what is  a\ncat?", "an animal"), turn("sure?", "yes"))
    named = say(store, turn("hello", "hi"), title="Small talk")
    store.add_turn(old, turn("really?"))
    listed = store.sessions()
    assert [(s.id, s.title, s.turns) for s in listed] == [(old, "what is a cat?", 3), (named, "Small talk", 1)]
    assert [s.preview for s in listed] == ["an animal", "hello"]
    store.rename(named, "  ")
    assert store.sessions()[1].title == "hello"
    assert store.latest() == old


def test_titles_are_cut_between_words() -> None:
    assert title_of(("one two " * 20,)) == "one two one two one two one two one two one two one two…"
    assert title_of((ImageSegment("/a/b/cat.png"), ImageSegment("dog.png"))) == "cat.png, dog.png"
    assert title_of(()) == "Untitled"
    assert title_of(("\x1b[31mred\x1b[0m\u202e",)) == "red"
    assert shorten("x" * 50, 10) == "xxxxxxxxx…"


def test_deleting_takes_everything_along_and_numbers_are_not_used_again(store: SessionStore) -> None:
    session = say(store, turn("find me", "here"))
    store.delete(session)
    assert store.sessions() == [] and search(store, "find") == []
    assert store.connection.execute("SELECT (SELECT count(*) FROM turns), (SELECT count(*) FROM words)").fetchone() == (
        0,
        0,
    )
    assert say(store, turn("another")) > session
    with pytest.raises(SessionError, match="no conversation"):
        store.load(session)


def test_an_import_is_whole_or_not_at_all(store: SessionStore) -> None:
    turns = (turn("one"), SavedTurn(("two",), (), object()))  # SQLite can't take the second
    with pytest.raises(Exception, match="type"):
        store.add(Session(SessionInfo(0, "x", 0.0, 0.0), turns))
    assert store.sessions() == []


def test_statistics_of_another_version_are_left_out(store: SessionStore) -> None:
    session = say(store, turn("hello", "hi"))
    for text in (json.dumps({"new_tokens": 1}), json.dumps([1]), json.dumps({**vars(STATISTICS), "new_tokens": 1e300})):
        store.connection.execute("UPDATE turns SET statistics = ?", (text,))
        assert store.load(session)[0].turns[0].statistics is None
    extra = {**vars(STATISTICS), "from_the_future": 1}
    store.connection.execute("UPDATE turns SET statistics = ?", (json.dumps(extra),))
    assert store.load(session)[0].turns[0].statistics == STATISTICS


@pytest.mark.parametrize("column", ["message", "reply"])
def test_a_damaged_row_spoils_only_its_own_conversation(store: SessionStore, column: str) -> None:
    broken, whole = say(store, turn("a", "b")), say(store, turn("c", "d"))
    store.connection.execute(f"UPDATE turns SET {column} = '[{{\"text\": 5}}]' WHERE session = ?", (broken,))
    assert {s.id: s.preview for s in store.sessions()} == {broken: "damaged", whole: "d"}
    (damaged,) = store.load(broken)[0].turns
    assert damaged.problem == f"its {column} is damaged" and damaged.reason is None
