"""Talking: streaming, pictures, stopping, taking back, failing. With a scripted agent."""

from __future__ import annotations

import os
import signal

import pytest

from fromage_lite.chat.events import ImagesFound, Notice
from fromage_lite.errors import StoreError
from fromage_lite.text.message import ImageSegment
from tests.tui.driver import chatting
from tests.tui.fake_agent import FakeAgent, Gate, hit
from tui.pictures.image_mode import ImageMode
from tui.screens.earlier import ChooseMessage
from tui.widgets.turn import TurnView
from tui.widgets.welcome import Welcome


async def test_a_reply_appears_while_it_is_made() -> None:
    agent = FakeAgent([" It is", gate := Gate(), " a cat."])
    async with chatting(agent) as chat:
        assert "show me a cat on the beach" in chat.text  # the welcome's example
        await chat.type("what is it?")
        await chat.until(lambda: "It is" in chat.text)
        assert "what is it?" in chat.text
        assert chat.screen.busy == "replying" and "replying" in chat.text
        assert not chat.screen.query(Welcome)
        gate.open()
        await chat.ready()
        assert "It is a cat." in chat.text
        assert agent.messages == [("what is it?",)]
        for words in ("ready", "playground", "cpu", "34 tok/s", "first 0.21 s", "search 2.5 ms"):
            assert words in chat.text


async def test_retrieved_pictures_stand_between_the_words_with_caption_and_score() -> None:
    agent = FakeAgent([" Here it is.", ImagesFound((hit(7, "a cat and a tree", 0.83),)), " Nice, isn't it?"])
    async with chatting(agent, size=(80, 40)) as chat:
        await chat.say("show me a cat")
        lines = chat.text.splitlines()

        def row(words: str) -> int:
            return next(number for number, line in enumerate(lines) if words in line)

        assert row("Here it is.") < row("▀▀▀▀") < row("Nice, isn't it?")
        assert row("Here it is.") < row("a cat and a tree") < row("Nice, isn't it?")
        assert "match 0.83" in chat.text and "00007.png" in chat.text


async def test_several_pictures_of_one_reply_are_ranked() -> None:
    agent = FakeAgent([" Three:", ImagesFound(tuple(hit(i, f"cat {i}", 0.9 - i / 10) for i in range(3)))])
    async with chatting(agent, size=(80, 40)) as chat:
        await chat.say("three cats")
        assert [card.picture.caption for card in chat.cards] == ["cat 0", "cat 1", "cat 2"]
        for words in ("1. cat 0", "2. cat 1", "3. cat 2", "match 0.70"):
            assert words in chat.text


async def test_without_pictures_the_caption_stands_for_them() -> None:
    async with chatting(FakeAgent([ImagesFound((hit(1),))]), mode=ImageMode.NONE) as chat:
        await chat.say("show me")
        assert "▣ a big cat on the beach" in chat.text and "▀" not in chat.text


async def test_a_picture_that_cannot_be_read_leaves_a_tile_and_the_reply_goes_on() -> None:
    agent = FakeAgent([ImagesFound((hit(1),)), " There."])
    agent.thumbnails[1] = b"broken"
    async with chatting(agent) as chat:
        await chat.say("show me")
        assert "╱╱╱" in chat.text and "There." in chat.text


async def test_the_end_of_the_pictures_is_said() -> None:
    async with chatting(FakeAgent([ImagesFound(()), " Sorry."])) as chat:
        await chat.say("one more")
        assert "No picture is left to show." in chat.text


async def test_texts_are_neither_markup_nor_control_characters() -> None:
    evil = "[red]no[/red] \x1b[31mred\x1b[0m \x07[/b] $(x) [@click=app.quit]"
    agent = FakeAgent([" " + evil, Notice(evil), ImagesFound((hit(1, evil),))])
    async with chatting(agent, size=(80, 50)) as chat:
        await chat.say(evil)
        assert chat.text.count("[red]no[/red] red [/b] $(x) [@click=app.quit]") >= 3
        assert "\x1b" not in chat.text and "\x07" not in chat.text


async def test_the_view_follows_the_reply_until_the_user_scrolls() -> None:
    gates = [Gate(), Gate(), Gate()]
    page = " \n".join(f"line {number}" for number in range(40))
    agent = FakeAgent([" " + page, gates[0], "\n" + page, gates[1], "\n" + page, gates[2], "\nlast line"])
    async with chatting(agent) as chat:
        view = chat.screen.transcript
        await chat.type("go on")
        await chat.until(lambda: gates[0].reached.is_set() and view.max_scroll_y > 10)
        assert view.scroll_y == view.max_scroll_y
        await chat.pilot.press("pageup")
        await chat.until(lambda: view.scroll_y < view.max_scroll_y - 5)
        await chat.until(lambda: view.scroll_y == view.scroll_target_y)
        place, end = view.scroll_y, view.max_scroll_y
        gates[0].open()
        await chat.until(lambda: gates[1].reached.is_set() and view.max_scroll_y > end)
        assert view.scroll_y == place
        await chat.pilot.press("ctrl+end")
        for gate in gates[1:]:
            gate.open()
        await chat.ready()
        await chat.until(lambda: view.scroll_y == view.max_scroll_y)
        assert "last line" in chat.text


async def test_escape_stops_the_reply_and_what_was_said_stays() -> None:
    agent = FakeAgent([" one", gate := Gate(), " two", " three", " four"])
    async with chatting(agent) as chat:
        await chat.type("count")
        await chat.until(gate.reached.is_set)
        await chat.pilot.press("escape")
        await chat.ready()
        assert "one" in chat.text and "three" not in chat.text and "· stopped" in chat.text
        assert agent.last is not None and agent.last.turns[0].reason == "cancelled"
        await chat.say("again")
        assert chat.replies[-1] == "ok"


async def test_a_message_during_a_reply_waits_its_turn(cat) -> None:
    agent = FakeAgent([" one", gate := Gate()], [" two"])
    async with chatting(agent) as chat:
        await chat.type("first")
        await chat.until(gate.reached.is_set)
        await chat.type(f"{cat} second")
        await chat.until(lambda: "waiting its turn" in chat.text and "Esc takes it back" in chat.text)
        assert chat.typed == "" and agent.messages == [("first",)]
        await chat.type("third")  # one waits, no more
        assert chat.typed == "third"
        gate.open()
        await chat.until(lambda: chat.replies == ["one", "two"])
        assert agent.messages == [("first",), (ImageSegment(str(cat)), "second")]


async def test_escape_takes_a_message_back_that_waits_its_turn_and_then_stops_the_reply() -> None:
    agent = FakeAgent([" one", gate := Gate(), " two"])
    async with chatting(agent) as chat:
        await chat.type("first")
        await chat.until(gate.reached.is_set)
        await chat.type("second")
        await chat.until(lambda: "waiting its turn" in chat.text)
        await chat.pilot.press("escape")
        await chat.until(lambda: len(chat.screen.query(TurnView)) == 1)
        assert chat.typed == "second" and chat.screen.busy == "replying"
        await chat.pilot.press("escape")
        await chat.ready()
        assert agent.messages == [("first",)] and "stopped" in chat.text


async def test_a_message_that_waits_for_a_reply_that_fails_is_handed_back() -> None:
    agent = FakeAgent([" one", gate := Gate(), StoreError("no")])
    async with chatting(agent) as chat:
        await chat.type("first")
        await chat.until(gate.reached.is_set)
        await chat.type("second")
        await chat.until(lambda: "waiting its turn" in chat.text)
        gate.open()
        await chat.until(lambda: chat.screen.failed)
        await chat.ready()
        assert chat.typed == "second" and agent.messages == [("first",)] and "✗ no" in chat.text
        await chat.type("/undo")  # the one whose reply failed: it is still there
        assert chat.typed == "first" and not chat.screen.query(TurnView)


async def test_what_cannot_be_done_during_a_reply_says_so_and_comes_back() -> None:
    agent = FakeAgent([" one", gate := Gate()])
    async with chatting(agent) as chat:
        await chat.type("first")
        await chat.until(gate.reached.is_set)
        await chat.type("/undo")
        assert "Esc stops the reply first" in chat.text and len(chat.screen.query(TurnView)) == 1
        await chat.type("/find cats")
        assert chat.typed == "/find cats"
        gate.open()
        await chat.ready()


async def test_undo_takes_the_last_turn_back_on_screen_and_in_the_dialogue() -> None:
    agent = FakeAgent([" one"], [" two"])
    async with chatting(agent) as chat:
        await chat.say("first")
        await chat.say("second")
        await chat.type("/undo")
        assert "two" not in chat.text and "one" in chat.text
        assert agent.last is not None and [turn.text for turn in agent.last.turns] == ["one"]
        await chat.pilot.press("ctrl+t")
        await chat.until(lambda: chat.screen.transcript.shows_welcome)
        assert agent.last.turns == []
        await chat.pilot.press("ctrl+t")
        await chat.until(lambda: "nothing to take back" in chat.text)


async def test_an_undone_message_comes_back_with_its_pictures(cat, dog) -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        await chat.say("first")
        await chat.type(f"/image {cat}")
        await chat.until(lambda: chat.screen.composer.pictures)
        await chat.say(f"compare it with <image:{dog}> please")
        await chat.pilot.press("ctrl+t")
        await chat.until(lambda: chat.typed)
        assert [picture.path for picture in chat.screen.composer.pictures] == [str(cat)]
        await chat.pilot.press("enter")
        await chat.until(lambda: len(agent.messages) == 3)
        assert agent.messages[2] == agent.messages[1] != agent.messages[0]
        await chat.ready()
        await chat.pilot.press("ctrl+t", "ctrl+t")  # what was handed back and not touched makes room for the next
        await chat.until(lambda: chat.typed == "first")
        assert not chat.screen.composer.pictures
        chat.screen.composer.prompt.fill("")


async def test_undo_takes_what_stands_last_and_leaves_no_failed_message_behind() -> None:
    agent = FakeAgent([" one"], [StoreError("no")], [" three"])
    async with chatting(agent) as chat:
        await chat.say("first")
        await chat.say("bad")
        assert chat.typed == "bad"
        await chat.say("third")  # the failed one's words were in the composer; its turn goes
        assert [str(view.message.parts[0]) for view in chat.screen.query(TurnView)] == ["first", "third"]
        await chat.type("/undo")
        assert [str(view.message.parts[0]) for view in chat.screen.query(TurnView)] == ["first"]
        assert chat.typed == "third" and [turn.text for turn in agent.last.turns] == ["one"]


async def test_a_failed_message_whose_words_did_not_come_back_is_undone_in_its_turn() -> None:
    agent = FakeAgent([" one"], [" half", gate := Gate(), StoreError("no")], [" three"])
    async with chatting(agent) as chat:
        await chat.say("first")
        await chat.type("bad")
        await chat.until(gate.reached.is_set)
        await chat.pilot.press(*"new")
        gate.open()
        await chat.until(lambda: chat.screen.failed)
        await chat.ready()
        assert chat.typed == "new"
        await chat.pilot.press("enter")
        await chat.until(lambda: len(chat.screen.turns) == 2)
        await chat.ready()
        for left in (["first", "bad"], ["first"], []):
            await chat.pilot.press("ctrl+t")
            await chat.until(lambda left=left: [view.message.parts[0] for view in chat.screen.query(TurnView)] == left)
        assert agent.last.turns == [] and chat.typed == "first"


async def test_the_last_reply_can_be_copied() -> None:
    async with chatting(FakeAgent([" one"], [" **two**\n", "lines "])) as chat:
        await chat.pilot.press("ctrl+y")
        await chat.until(lambda: "There is no reply yet" in chat.text)
        await chat.say("first")
        await chat.pilot.press("ctrl+y")  # with the focus in the composer, where it would redo
        await chat.until(lambda: chat.app.clipboard == "one")
        await chat.say("second")
        await chat.type("/copy")
        assert chat.app.clipboard == "**two**\nlines"


async def test_an_earlier_message_is_changed_and_the_talk_goes_on_from_there(cat) -> None:
    agent = FakeAgent([" one"], [" two"], [" three"], [" other"])
    async with chatting(agent) as chat:
        await chat.say("first")
        await chat.say(f"{cat} second")
        await chat.say("third")
        chat.screen.composer.prompt.fill("a draft")
        await chat.pilot.press("f3")
        await chat.until(lambda: isinstance(chat.app.screen, ChooseMessage))
        await chat.until(lambda: "second" in chat.text)
        await chat.pilot.press("up", "enter")
        await chat.until(lambda: chat.typed == "second")
        assert [picture.path for picture in chat.screen.composer.pictures] == [str(cat)]
        assert chat.replies == ["one"] and [turn.text for turn in agent.last.turns] == ["one"]
        await chat.pilot.press("end", "!", "enter")
        await chat.until(lambda: chat.replies == ["one", "other"])
        assert agent.messages[-1] == (ImageSegment(str(cat)), "second!")


async def test_ctrl_u_clears_the_whole_draft_and_up_brings_its_words_back(cat) -> None:
    async with chatting() as chat:
        await chat.type(f"/image {cat}")
        await chat.until(lambda: chat.screen.composer.pictures)
        chat.screen.composer.prompt.fill("two\nlines")
        await chat.pilot.press("ctrl+u")
        await chat.until(lambda: not chat.screen.composer.pictures)
        assert chat.typed == ""
        await chat.pilot.press("up")
        assert chat.typed == "two\nlines"


async def test_ctrl_z_suspends_where_there_is_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    monkeypatch.setattr("os.kill", lambda pid, number: sent.append((pid, number)))
    async with chatting() as chat:
        await chat.pilot.press("ctrl+z")
        await chat.until(lambda: "There is no shell here" in chat.text)
        assert not sent
        monkeypatch.setattr(type(chat.app._driver), "can_suspend", True)
        await chat.pilot.press("ctrl+z")
        await chat.until(lambda: sent == [(os.getpid(), signal.SIGTSTP)])


async def test_regenerate_replaces_the_last_reply() -> None:
    agent = FakeAgent([" one"], [" two"])
    async with chatting(agent) as chat:
        await chat.say("hello")
        await chat.type("/retry")
        await chat.until(lambda: chat.replies == ["two"])
        await chat.ready()
        assert "one" not in chat.text and "two" in chat.text and agent.regenerated == 1
        assert agent.messages == [("hello",)]


async def test_a_regeneration_that_fails_leaves_the_reply_as_it_was() -> None:
    agent = FakeAgent([" one"], [" half", StoreError("The index is gone.", "Build it again.")], [" three"])
    async with chatting(agent) as chat:
        await chat.say("hello")
        await chat.pilot.press("ctrl+r")
        await chat.until(lambda: "The index is gone." in chat.text)
        await chat.ready()
        assert chat.replies == ["one"] and "one" in chat.text and "half" not in chat.text
        await chat.pilot.press("ctrl+r")
        await chat.until(lambda: chat.replies == ["three"])


async def test_reset_begins_a_new_conversation() -> None:
    agent = FakeAgent([" one"])
    async with chatting(agent) as chat:
        await chat.say("hello")
        await chat.type("/reset")
        await chat.until(lambda: chat.screen.transcript.shows_welcome)
        assert agent.last is not None and agent.last.turns == []
        assert "tok/s" not in chat.text
        await chat.say("hello again")
        assert chat.replies == ["ok"]


async def test_a_failure_is_told_and_the_words_and_pictures_are_handed_back(cat) -> None:
    agent = FakeAgent([StoreError("The index was made by another bridge.", "Rebuild it.")], [" fine"])
    async with chatting(agent) as chat:
        await chat.type(f"{cat} what is this?")
        await chat.until(lambda: chat.screen.failed)
        await chat.ready()
        for words in ("✗ The index was made by another bridge.", "Rebuild it.", "/retry"):
            assert words in chat.text
        assert "what is this?" in chat.typed
        await chat.pilot.press("enter")  # the same once more
        await chat.until(lambda: chat.replies == ["fine"])
        assert len(chat.screen.query(TurnView)) == 1
        assert agent.messages[0] == agent.messages[1] == (ImageSegment(str(cat)), "what is this?")


async def test_retry_after_a_failure_sends_the_message_again() -> None:
    agent = FakeAgent([" half", RuntimeError("out of memory")], [" whole"])
    async with chatting(agent) as chat:
        await chat.say("hello")
        assert any("RuntimeError: out of memory" in note for note in chat.notes)
        await chat.pilot.press("ctrl+r")
        await chat.until(lambda: chat.replies == ["whole"])
        assert chat.typed == "" and agent.regenerated == 0 and not chat.notes
        await chat.type("/undo")
        assert chat.screen.transcript.shows_welcome


async def test_a_failed_message_can_be_dropped() -> None:
    async with chatting(FakeAgent([" one"], [StoreError("no")])) as chat:
        await chat.say("hello")
        await chat.say("bad")
        await chat.type("/undo")
        assert len(chat.screen.query(TurnView)) == 1 and chat.replies == ["one"]


async def test_quitting_during_a_reply_ends_it() -> None:
    agent = FakeAgent([" one", gate := Gate(), " two"])
    async with chatting(agent) as chat:
        await chat.type("hello")
        await chat.until(gate.reached.is_set)
        await chat.pilot.press("ctrl+q")
    assert chat.app.return_code == 0
    assert chat.app.conversation._cancel.is_set()


async def test_ctrl_c_stops_first_and_quits_only_when_repeated() -> None:
    agent = FakeAgent([" one", gate := Gate(), " two"])
    async with chatting(agent) as chat:
        await chat.type("hello")
        await chat.until(gate.reached.is_set)
        await chat.pilot.press("ctrl+c")
        await chat.ready()
        assert "stopped" in chat.text
        await chat.pilot.press("ctrl+c")
        await chat.until(lambda: "Ctrl+C again quits" in chat.text)
        await chat.pilot.press("ctrl+c")
    assert chat.app.return_code == 0


async def test_find_says_how_misspelt_words_are_read() -> None:
    agent = FakeAgent(hits=[hit(1, "a cat", 0.9)])
    agent.slips = {"a cta": "a cat"}
    async with chatting(agent, size=(80, 40)) as chat:
        await chat.type("/find a cta")
        await chat.until(lambda: len(chat.cards) == 1)
        assert agent.searches == [("a cat",)] and "Read as: a cat" in chat.text
        await chat.type("/set spelling off")
        await chat.type("/find a cta")
        await chat.until(lambda: len(chat.cards) == 2)
        assert agent.searches[1:] == [("a cta",)]


async def test_find_shows_ranked_pictures_and_leaves_the_dialogue_alone(cat) -> None:
    agent = FakeAgent(hits=[hit(1, "a red cat", 0.9), hit(2, "a blue cat", 0.7)])
    async with chatting(agent, size=(80, 40)) as chat:
        await chat.type(f"/image {cat}")
        await chat.until(lambda: chat.screen.composer.pictures)
        await chat.type("/find on the beach")
        await chat.until(lambda: len(chat.cards) == 2)
        assert agent.searches == [("on the beach", ImageSegment(str(cat)))]
        assert "1. a red cat" in chat.text and "match 0.70" in chat.text
        assert chat.screen.turns == [] and not chat.screen.composer.pictures


async def test_find_asks_in_the_way_that_is_named() -> None:
    agent = FakeAgent(hits=[hit(1, "a red cat", 0.9)])
    async with chatting(agent, size=(80, 40)) as chat:
        for number, way in enumerate(("ret", "dialogue", "text-tower"), start=1):
            await chat.type(f"/find by:{way} a cat")
            await chat.until(lambda number=number: len(chat.cards) == number)
        assert agent.ways == ["ret", "dialogue", "text-tower"] and agent.searches == [("a cat",)] * 3
        await chat.type("/find by:nose a cat")
        await chat.until(lambda: "can't be searched by 'nose'" in chat.text)
        assert "There are ret, dialogue, text-tower." in chat.text
        assert len(agent.searches) == 3
