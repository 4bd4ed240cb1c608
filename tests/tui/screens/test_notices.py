"""Notes and remarks: each goes with its matter."""

from __future__ import annotations

from pathlib import Path

import pytest

from fromage_lite.errors import FromageError, StoreError
from tests.tui.driver import chatting
from tests.tui.fake_agent import FakeAgent, Gate, loader


async def test_the_second_ctrl_c_counts_only_right_after_the_first() -> None:
    async with chatting() as chat:
        await chat.pilot.press("ctrl+c")
        await chat.until(lambda: "Ctrl+C again quits" in chat.text)
        await chat.pilot.press("h")
        await chat.until(lambda: "Ctrl+C again" not in chat.text)
        await chat.pilot.press("ctrl+c")
        await chat.until(lambda: "Ctrl+C again quits" in chat.text)
        assert chat.app.is_running and chat.typed == "h"
        await chat.pilot.press("ctrl+c")
        assert not chat.app.is_running or chat.app._exit


async def test_that_a_message_waits_is_said_as_long_as_it_waits() -> None:
    gate, second = Gate(), Gate()
    async with chatting(FakeAgent([" one", gate], [second, " two"])) as chat:
        await chat.type("first")
        await chat.until(gate.reached.is_set)
        await chat.type("second")
        await chat.until(lambda: "It waits its turn" in chat.text)
        gate.open()
        await chat.until(second.reached.is_set)
        await chat.until(lambda: "waits its turn" not in chat.text)
        second.open()
        await chat.until(lambda: chat.replies == ["one", "two"])


async def test_that_the_agent_is_busy_is_said_as_long_as_it_is() -> None:
    gate = Gate()
    async with chatting(FakeAgent([" one", gate])) as chat:
        await chat.type("first")
        await chat.until(gate.reached.is_set)
        await chat.type("/index none")
        await chat.until(lambda: "Esc stops the reply first" in chat.text)
        gate.open()
        await chat.until(lambda: "Esc stops the reply first" not in chat.text)


async def test_that_loading_failed_is_said_until_it_is_tried_again() -> None:
    gate = Gate()
    load = loader(FakeAgent(), FromageError("The model could not be loaded."), gate)
    async with chatting(load=load, wait=False) as chat:
        await chat.until(lambda: "could not be loaded" in chat.text)
        await chat.type("/retry")
        await chat.until(gate.reached.is_set)
        await chat.until(lambda: "could not be loaded" not in chat.text)
        await chat.type("/tokens")
        await chat.until(lambda: "isn't loaded yet" in chat.text)
        gate.open()
        await chat.until(lambda: "isn't loaded yet" not in chat.text)


async def test_a_note_of_the_index_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"none": 0, "/mine": 1234, "/old": StoreError("It is damaged.", "Build it again.")}
    monkeypatch.setattr(FakeAgent, "indices", known)
    async with chatting(FakeAgent(index_size=0)) as chat:
        await chat.until(lambda: "There is no index" in chat.text)
        await chat.type("/index /old")
        await chat.until(lambda: "It is damaged." in chat.text)
        await chat.type("/index /mine")
        await chat.until(lambda: "1,234" in chat.text)
        await chat.until(lambda: chat.notes == ["Pictures come from this index now: 1,234."])
        await chat.type("/index none")
        await chat.until(lambda: chat.notes == ["Answers come without pictures now."])


@pytest.mark.parametrize("typed", ["/index", "/nosuch", "/set top_p 7", "/export", "/image /no/such.png", "/why"])
async def test_what_was_wrong_with_a_command_is_over_with_the_next_thing_sent(typed: str) -> None:
    async with chatting() as chat:
        await chat.type(typed)
        await chat.until(lambda: chat.notes)
        await chat.say("hello")
        assert chat.notes == []


async def test_what_is_lasting_stays(tmp_path: Path) -> None:
    async with chatting() as chat:
        await chat.say("hello")
        await chat.type(f"/export {tmp_path / 'chat.md'}")
        await chat.until(lambda: any("Exported" in note for note in chat.notes))
        await chat.say("hello")
        assert any("Exported" in note for note in chat.notes)


async def test_the_list_of_settings_is_never_out_of_date() -> None:
    async with chatting(size=(80, 40)) as chat:
        await chat.type("/set")
        await chat.until(lambda: "temperature" in chat.text)
        await chat.type("/set temperature 0.5")
        await chat.until(lambda: "from the next reply on" in chat.text)
        assert not [note for note in chat.notes if "How replies are made" in note]
