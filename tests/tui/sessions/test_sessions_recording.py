"""A dialogue written as it goes: growing replies, undo, kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fromage_lite.chat.events import ImagesFound, TextDelta
from fromage_lite.chat.turns import Turn
from fromage_lite.text.message import ImageSegment
from tests.tui.fake_agent import STATISTICS, hit
from tui.sessions.archive import Archive
from tui.sessions.recording import Kept, Recording
from tui.sessions.records import SavedSearch, SavedTurn
from tui.sessions.search import search
from tui.sessions.store import SessionStore


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
    said.recording.replace(Turn(("two",), ("two!", (hit(5),)), "length"), STATISTICS, [(hit(6),)])
    assert [t.reply for t in said.turns()] == [("1",), ("two!", (hit(5),))]
    assert said.turns()[1].statistics == STATISTICS and said.turns()[1].more == ((hit(6),),)
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


def test_a_message_handed_back_goes_when_something_else_is_said(said: Said) -> None:
    said.reply("one", "1")
    said.recording.begin(("two",))
    said.recording.hand_back()
    assert [t.message for t in said.turns()] == [("one",), ("two",)], "leaving now doesn't lose it"
    said.recording.begin(("three",))
    assert [(t.message, t.reason) for t in said.turns()] == [(("one",), "stop"), (("three",), None)]
    said.recording.finish(Turn(("three",), ("3",), "stop"))
    said.recording.begin(("four",))
    said.recording.begin(("five",))  # a failed one that still stands in the transcript
    assert [t.message for t in said.turns()] == [("one",), ("three",), ("four",), ("five",)]


def test_a_message_handed_back_and_sent_again_is_one_turn(said: Said) -> None:
    said.recording.begin(("hello",))
    said.recording.hand_back()
    said.reply("hello", "hi")
    assert [(t.message, t.reply) for t in said.turns()] == [(("hello",), ("hi",))]


def test_a_turn_that_the_dialogue_does_not_have_can_be_taken_out(said: Said, path: Path) -> None:
    said.reply("one", "1")
    said.recording.begin(("two",))
    said.reply("three", "3")
    said.drain()
    store = SessionStore.open(path)
    _, ids = store.load(said.recording.session)
    store.close()
    said.recording.forget(Kept(ids[1]))
    assert [t.message for t in said.turns()] == [("one",), ("three",)]
    said.recording.undo()
    assert [t.message for t in said.turns()] == [("one",)]


def searches(said: Said) -> list[tuple[str, int]]:
    said.drain()
    store = SessionStore.open(said.archive.path)
    found = store.load(said.recording.session)[0].searches if said.recording.session is not None else ()
    store.close()
    return [(search.words, search.after) for search in found]


def test_searches_stand_where_they_were_made(said: Said) -> None:
    said.recording.note_search(SavedSearch("before", (hit(1),)))
    assert searches(said) == [] and said.recording.session is None, "a search alone makes no conversation"
    said.reply("one", "1")
    said.recording.note_search(SavedSearch("between", (hit(2),), like=True))
    said.reply("two", "2")
    said.recording.note_search(SavedSearch("after", ()))
    assert searches(said) == [("before", 0), ("between", 1), ("after", 2)]
    said.recording.undo()
    said.reply("three", "3")
    assert searches(said) == [("before", 0), ("between", 1), ("after", 1)]
    said.recording.undo()
    said.recording.undo()  # the conversation went with its last turn; what was found is on the screen yet
    said.reply("four", "4")
    assert searches(said) == [("before", 0), ("between", 0), ("after", 0)]
    said.recording.restart()
    said.reply("another", "5")
    assert searches(said) == []


KILLED = """
import sys
from pathlib import Path
from fromage_lite.chat.events import TextDelta
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
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
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
