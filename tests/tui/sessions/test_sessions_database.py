"""The database file: versions, damage, permission, two apps at once."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from fromage_lite.chat.turns import Turn
from index.search.hits import Hit
from tests.tui.saved import say, turn
from tui.sessions.archive import Archive
from tui.sessions.recording import Recording
from tui.sessions.records import HeldWith, SavedSearch, SessionError
from tui.sessions.schema import VERSION
from tui.sessions.search import search
from tui.sessions.store import SessionStore

VERSION_1 = """
CREATE TABLE sessions (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT, created REAL NOT NULL, updated REAL NOT NULL,
    model TEXT NOT NULL DEFAULT '', "index" TEXT NOT NULL DEFAULT '');
CREATE TABLE turns (id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES sessions(id) ON DELETE CASCADE, position INTEGER NOT NULL,
    message TEXT NOT NULL, reply TEXT NOT NULL DEFAULT '[]', reason TEXT, statistics TEXT, created REAL NOT NULL,
    UNIQUE (session, position));
INSERT INTO sessions VALUES (7, 'From before', 1.0, 2.0, 'playground', '');
INSERT INTO turns VALUES (3, 7, 1, '[{"text": "an old question"}]', '[{"text": "an old answer"}]', 'stop', NULL, 1.5);
PRAGMA application_id = 1179799373;
PRAGMA user_version = 1;
"""


def test_a_database_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    by_hand = sqlite3.connect(path)
    by_hand.executescript(VERSION_1)
    by_hand.close()
    store = SessionStore.open(path)
    assert store.connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert [(s.id, s.title) for s in store.sessions()] == [(7, "From before")]
    assert [match.info.id for match in search(store, "answer")] == [7]
    store.add_turn(7, turn("a new question"))
    assert [t.message for t in store.load(7)[0].turns] == [("an old question",), ("a new question",)]
    store.delete(7)
    assert search(store, "answer") == []
    store.close()


VERSION_3 = (
    VERSION_1
    + """
CREATE VIRTUAL TABLE words USING fts5(message, reply, tokenize = "unicode61 remove_diacritics 2");
CREATE TRIGGER forget_words AFTER DELETE ON turns BEGIN DELETE FROM words WHERE rowid = old.id; END;
INSERT INTO words (rowid, message, reply) VALUES (3, 'an old question', 'an old answer');
ALTER TABLE turns ADD COLUMN more TEXT;
ALTER TABLE sessions ADD COLUMN hidden TEXT;
UPDATE turns SET more = '[[{"id": 5, "score": 0.5, "source": "/p/5.png", "caption": "five"}]]';
PRAGMA user_version = 3;
"""
)


def test_a_database_of_version_3_can_keep_searches_and_what_a_conversation_was_held_with(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    by_hand = sqlite3.connect(path)
    by_hand.executescript(VERSION_3)
    by_hand.close()
    store = SessionStore.open(path)
    before, _ = store.load(7)
    assert before.turns[0].more == ((Hit(5, 0.5, "/p/5.png", "five"),),)
    assert before.searches == () and (before.info.model_path, before.info.index_path) == ("", "")
    store.add_search(7, SavedSearch("dogs", (), created=3.0))
    store.describe(7, HeldWith("mine", "photos", "/models/mine", "/indices/photos"))
    after, _ = store.load(7)
    assert after.searches == (SavedSearch("dogs", (), False, 3.0, 1),)
    assert (after.info.model, after.info.index) == ("mine", "photos")
    assert (after.info.model_path, after.info.index_path) == ("/models/mine", "/indices/photos")
    store.delete(7)
    assert store.connection.execute("SELECT count(*) FROM items").fetchone() == (0,)
    assert search(store, "answer") == []
    store.close()


def newer(path: Path) -> None:
    SessionStore.open(path).close()
    by_hand = sqlite3.connect(path)
    by_hand.execute(f"PRAGMA user_version = {VERSION + 1}")
    by_hand.close()


def of_another_program(path: Path) -> None:
    by_hand = sqlite3.connect(path)
    by_hand.execute("CREATE TABLE bookmarks (url TEXT)")
    by_hand.close()


def torn(path: Path) -> None:
    store = SessionStore.open(path)
    say(store, *(turn(f"message {n} " + "word " * 200) for n in range(50)))
    store.close()
    data = bytearray(path.read_bytes())
    for page in range(3, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(data)


DAMAGE = {
    "newer version": newer,
    "another program": of_another_program,
    "damaged": lambda path: path.write_bytes(b"this is no database, but it is longer than a header" * 100),
    "are damaged": torn,
}


@pytest.mark.parametrize("what", DAMAGE)
def test_what_cannot_be_used_is_said_and_left_alone(what: str, tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    DAMAGE[what](path)
    before = path.read_bytes()
    told: list[SessionError] = []
    archive = Archive(path, listener=told.append)
    recording = Recording(archive)
    recording.begin(("hello",))
    recording.finish(Turn(("hello",), ("hi",), "stop"))
    archive.close()
    assert len(told) == 1 and what in told[0].message and "without saving" in told[0].hint
    assert path.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} <= {"sessions.db"}


def test_a_place_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    told: list[SessionError] = []
    archive = Archive(tmp_path / "file" / "sessions.db", listener=told.append)
    recording = Recording(archive)
    recording.begin(("hello",))
    recording.begin(("hello?",))
    archive.close()
    assert len(told) == 1 and "can't be saved" in told[0].message


def test_a_full_disk_is_told_and_what_was_saved_stays(path: Path) -> None:
    told: list[SessionError] = []
    archive = Archive(path, listener=told.append)
    archive.write(lambda store: say(store, turn("kept")))
    archive.write(lambda store: store.connection.execute("PRAGMA max_page_count = 20"))
    archive.write(lambda store: say(store, turn("too long " * 50_000)))
    archive.write(lambda store: say(store, turn("after that")))
    archive.close()
    assert [error.message for error in told] == [f"The disk is full: the conversation can't be saved in {path}."]
    store = SessionStore.open(path)
    assert [t.message for s in store.sessions() for t in store.load(s.id)[0].turns] == [("kept",)]
    store.close()


async def test_no_save_reads_and_writes_nothing(path: Path) -> None:
    reading = Archive(path, save=False)
    Recording(reading).begin(("hello",))
    with pytest.raises(SessionError, match="no saved"):
        await reading.ask(lambda store: store.sessions())
    reading.close()
    assert not path.parent.exists()
    store = SessionStore.open(path)
    say(store, turn("before"))
    store.close()
    before = path.read_bytes()
    reading = Archive(path, save=False)
    Recording(reading).begin(("hello",))
    assert [s.title for s in await reading.ask(lambda store: store.sessions())] == ["before"]
    with pytest.raises(SessionError, match="permission"):
        await reading.ask(lambda store: store.delete(1))
    reading.close()
    assert path.read_bytes() == before


def test_two_apps_write_at_once(path: Path) -> None:
    """Different conversations, and the same one: every turn is there once, in the order of its writer."""
    SessionStore.open(path).close()
    shared = say(first := SessionStore.open(path))
    errors: list[Exception] = []

    def app(name: str) -> None:
        try:
            store = SessionStore.open(path)
            own = store.create(title=name)
            for number in range(25):
                store.add_turn(own, turn(f"{name} {number}"))
                id = store.add_turn(shared, turn(f"{name} {number}", reason=None))
                assert store.update_turn(id, ("done",), "stop")
            store.close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=app, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    said = [t.message[0] for t in first.load(shared)[0].turns]
    for name in ("a", "b"):
        assert [m for m in said if m.startswith(name)] == [f"{name} {n}" for n in range(25)]
    assert sorted(s.turns for s in first.sessions()) == [25, 25, 50]
    first.close()


def test_two_apps_hide_pictures_of_one_conversation(path: Path) -> None:
    first, second = SessionStore.open(path), SessionStore.open(path)
    session = say(first, turn("hello"))
    hits = {number: Hit(number, 0.0, f"/p/{number}.png") for number in range(4)}
    first.hide(session, [hits[1], hits[2]])
    second.hide(session, [hits[3]])
    first.hide(session, [], shown=[hits[1]])
    assert first.load(session)[0].hidden == (hits[2], hits[3])
    first.close()
    second.close()
