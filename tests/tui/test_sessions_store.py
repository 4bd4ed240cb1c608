"""The database of conversations: kills, versions, damage, two apps at once, search."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fromage_lite.events import ImagesFound, TextDelta
from fromage_lite.prompt import ImageSegment
from fromage_lite.turns import Turn
from tests.tui.fake_agent import STATISTICS, hit
from tui.sessions.archive import Archive
from tui.sessions.recording import Recording
from tui.sessions.records import SavedTurn, Session, SessionError, SessionInfo, shorten, title_of
from tui.sessions.schema import VERSION
from tui.sessions.search import MARK_OFF, MARK_ON, search
from tui.sessions.store import SessionStore


class Clock:
    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sessions.db"


@pytest.fixture
def store(path: Path) -> SessionStore:
    store = SessionStore.open(path, clock=Clock())
    yield store
    store.close()


def turn(message: str, *reply, reason: str | None = "stop") -> SavedTurn:
    return SavedTurn((message,), reply, reason)


def say(store: SessionStore, *turns: SavedTurn, title: str | None = None) -> int:
    session = store.create("playground", "pictures", title)
    for one in turns:
        store.add_turn(session, one)
    return session


# What is written comes back ---------------------------------------------------------------------------------------


def test_a_conversation_comes_back_as_it_was(store: SessionStore, path: Path) -> None:
    message = ("look:", ImageSegment("/tmp/a cat.png"), "what — 猫 — is this?")
    first = SavedTurn(message, ("a cat ", (hit(3), hit(4)), " there"), "length", 12.5, STATISTICS)
    second = SavedTurn(("\ud800 broken",), (), "cancelled", 13.5)
    session = say(store, first, second)
    store.close()
    again = SessionStore.open(path)
    loaded, ids = again.load(session)
    assert loaded.turns == (first, second) and len(set(ids)) == 2
    assert (loaded.info.model, loaded.info.index, loaded.info.turns) == ("playground", "pictures", 2)
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


# Recording a dialogue ---------------------------------------------------------------------------------------------


class Said:
    """A recording whose clock the test moves, and the store behind it."""

    def __init__(self, path: Path) -> None:
        self.now = 0.0
        self.archive = Archive(path)
        self.recording = Recording(self.archive, pause=1.0, clock=lambda: self.now)

    def drain(self) -> None:
        self.archive._thread.submit(lambda: None).result()

    def turns(self) -> list[SavedTurn]:
        self.drain()
        store = SessionStore.open(self.archive.path)
        assert self.recording.session is not None
        turns = store.load(self.recording.session)[0].turns
        store.close()
        return list(turns)

    def reply(self, message: str, *words: str) -> None:
        self.recording.begin((message,))
        for word in words:
            self.recording.hear(TextDelta(word))
        self.recording.hear(STATISTICS)
        self.recording.finish(Turn((message,), ("".join(words),), "stop"))


@pytest.fixture
def said(path: Path) -> Said:
    said = Said(path)
    yield said
    said.archive.close()


def test_the_message_is_there_at_once_and_words_after_a_second(said: Said) -> None:
    said.recording.begin(("hello",))
    assert said.turns() == [SavedTurn(("hello",), (), None, said.turns()[0].created)]
    said.recording.hear(TextDelta("well"))
    assert said.turns()[0].reply == ()
    said.now = 1.1
    said.recording.hear(TextDelta(" then"))
    assert said.turns()[0].reply == ("well then",)
    said.now = 1.5
    said.recording.hear(TextDelta(" and"))
    assert said.turns()[0].reply == ("well then",)
    said.recording.hear(ImagesFound((hit(1),)))
    assert said.turns()[0].reply == ("well then and", (hit(1),)) and said.turns()[0].reason is None


def test_undo_regenerate_and_reset_are_mirrored(said: Said) -> None:
    said.reply("one", "1")
    said.reply("two", "2")
    said.drain()
    first = said.recording.session
    said.recording.replace(Turn(("two",), ("two!", (hit(5),)), "length"))
    assert [t.reply for t in said.turns()] == [("1",), ("two!", (hit(5),))]
    assert said.turns()[1].statistics == STATISTICS
    said.recording.undo()
    assert [t.reply for t in said.turns()] == [("1",)]
    said.recording.restart()
    said.reply("three", "3")
    assert [t.message for t in said.turns()] == [("three",)] and said.recording.session != first
    said.recording.undo()  # the only one: an empty conversation is none
    said.drain()
    assert said.recording.session is None
    store = SessionStore.open(said.archive.path)
    assert [s.id for s in store.sessions()] == [first]
    store.close()


def test_a_message_sent_again_takes_the_place_of_its_first_attempt(said: Said) -> None:
    said.recording.begin(("hello",))
    said.recording.hear(ImagesFound((hit(1),)))
    said.reply("hello", "hi")
    assert [(t.message, t.reply) for t in said.turns()] == [(("hello",), ("hi",))]
    said.recording.begin(("never mind",))
    said.recording.forget_unfinished()
    assert len(said.turns()) == 1


def test_a_conversation_deleted_by_another_app_is_not_brought_back(said: Said) -> None:
    said.reply("one", "1")
    said.drain()
    other = SessionStore.open(said.archive.path)
    other.delete(said.recording.session)
    said.reply("two", "2")
    assert [t.message for t in said.turns()] == [("two",)]
    other.close()


def test_relative_paths_are_kept_as_absolute_ones(said: Said, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    said.recording.begin((ImageSegment("cat.png"),))
    assert said.turns()[0].message == (ImageSegment(str(tmp_path / "cat.png")),)


def test_what_was_said_while_leaving_is_written(path: Path) -> None:
    said = Said(path)
    said.recording.begin(("hello",))
    said.recording.hear(TextDelta("half a"))
    said.recording.flush()
    said.archive.close()
    said.recording.hear(ImagesFound((hit(1),)))  # too late, and no harm done
    store = SessionStore.open(path)
    assert store.load(1)[0].turns[0].reply == ("half a",)
    store.close()


KILLED = """
import sys
from pathlib import Path
from fromage_lite.events import TextDelta
from tui.sessions.archive import Archive
from tui.sessions.recording import Recording
now = 0.0
archive = Archive(Path(sys.argv[1]))
recording = Recording(archive, pause=1.0, clock=lambda: now)
recording.begin(("what is this?",))
for now, word in ((0.2, "a "), (1.3, "cat "), (1.4, "lost")):
    recording.hear(TextDelta(word))
archive._thread.submit(lambda: print("ready", flush=True)).result()
sys.stdin.read()
"""


def test_a_kill_loses_at_most_the_last_words(path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(path)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    try:
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    finally:
        process.kill()
        process.communicate()
    store = SessionStore.open(path)
    session, _ = store.load(store.latest())
    assert [(t.message, t.reply, t.reason) for t in session.turns] == [(("what is this?",), ("a cat ",), None)]
    assert [match.info.id for match in search(store, "cat")] == [session.info.id]
    store.close()


# Versions, damage, permission -------------------------------------------------------------------------------------

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


# Search -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def searched(store: SessionStore) -> SessionStore:
    say(store, turn("show me a café at night", "Here: ", (hit(1, "two penguins in the snow"),)))
    say(store, turn('he said "NEAR the beach" OR not', "50% of C++ is_fun"), title="Odd signs")
    say(store, turn("猫は好きですか", "はい"), turn("猫と犬", "犬"))
    return store


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("cafe", ["show me a café at night"]),
        ("CAFÉ nig", ["show me a café at night"]),
        ("penguin", ["show me a café at night"]),
        ("cafe beach", []),
        ('"', ["Odd signs"]),
        ('"near the', ["Odd signs"]),
        ("NEAR(", ["Odd signs"]),
        ("message: * OR", []),
        ("beach AND NOT", []),
        ("c++ is", ["Odd signs"]),
        ("50%", ["Odd signs"]),
        ("is_f", ["Odd signs"]),
        ("odd", ["Odd signs"]),
        ("^*-+(){}", []),
        ("犬", ["猫は好きですか"]),
        ("好き", ["猫は好きですか"]),
        ("' ; DROP TABLE turns", []),
        ("", ["猫は好きですか", "Odd signs", "show me a café at night"]),
        ("\x00\ud800", []),
    ],
)
def test_search_finds_words_and_takes_no_sign_for_syntax(searched: SessionStore, query: str, titles: list[str]) -> None:
    assert [match.info.title for match in search(searched, query)] == titles


def test_snippets_mark_what_was_found(searched: SessionStore) -> None:
    (match,) = search(searched, "peng")
    assert f"{MARK_ON}penguins{MARK_OFF}" in match.snippet and match.count == 1
    (match,) = search(searched, "猫")
    assert f"{MARK_ON}猫" in match.snippet and match.count == 2


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
    with pytest.raises(SessionError, match="damaged"):
        store.load(broken)
