"""The agent's thread and the conversation on it, without a screen."""

from __future__ import annotations

import asyncio
import threading

import pytest

from fromage_lite.chat.events import Done, Failed, ImagesFound, TextDelta
from fromage_lite.errors import CheckpointError, FromageError, StoreError
from tests.tui.fake_agent import FakeAgent, Gate, hit, loader
from tui.agent_thread import AgentThread
from tui.conversation import Conversation, PicturesFound


async def conversation(agent: FakeAgent, *steps) -> Conversation:
    talk = Conversation(loader(agent, *steps))
    assert [text async for text in talk.load()] == [step for step in steps if isinstance(step, str)]
    return talk


async def test_all_work_runs_on_one_thread_in_order() -> None:
    thread = AgentThread()
    names = [await thread.run(lambda: threading.current_thread().name) for _ in range(3)]
    assert names == ["agent"] * 3

    def count(emit) -> None:
        for number in range(100):
            emit(number)

    assert [item async for item in thread.stream(count)] == list(range(100))
    thread.stop()


async def test_what_a_job_raises_is_raised_to_its_caller_after_its_items() -> None:
    thread = AgentThread()
    seen = []

    def job(emit) -> None:
        emit(1)
        raise StoreError("full")

    with pytest.raises(StoreError):
        async for item in thread.stream(job):
            seen.append(item)
    assert seen == [1]
    assert await thread.run(lambda: 5) == 5


async def test_a_reply_is_the_agents_events_with_pictures_ready_to_draw() -> None:
    talk = await conversation(FakeAgent([" Look:", ImagesFound((hit(3),)), " nice"]), "reading")
    items = [item async for item in talk.reply(["hi"])]
    assert items[0] == TextDelta(" Look:")
    assert isinstance(items[1], PicturesFound) and items[1].pictures[0].caption == "a big cat on the beach"
    assert items[1].pictures[0].image is not None
    assert items[-1] == Done("Look: nice", "stop")


async def test_any_exception_of_a_reply_becomes_a_failure_event() -> None:
    talk = await conversation(FakeAgent([" one", ValueError("tensor of shape ...")], [StoreError("full", "Free it.")]))
    items = [item async for item in talk.reply(["hi"])]
    assert isinstance(items[-1], Failed) and "ValueError" in items[-1].error.message
    items = [item async for item in talk.reply(["hi"])]
    assert items == [Failed(items[0].error)] and items[0].error.hint == "Free it."


async def test_loading_reports_foreseen_and_unforeseen_errors_as_ours() -> None:
    for error, words in ((CheckpointError("No model."), "No model."), (ImportError("libcuda"), "ImportError: libcuda")):
        talk = Conversation(loader(FakeAgent(), error))
        with pytest.raises(FromageError) as caught:
            async for _ in talk.load():
                pass
        assert words in caught.value.message
        assert [text async for text in talk.load()] == []  # the second attempt succeeds
        assert talk.agent is not None


async def test_stop_ends_a_waiting_reply() -> None:
    talk = await conversation(FakeAgent([" one", gate := Gate(), " two"]))
    items = []
    async for item in talk.reply(["hi"]):
        items.append(item)
        if isinstance(item, TextDelta) and len(items) == 1:
            await asyncio.to_thread(gate.reached.wait)
            talk.stop()
    assert items[-1] == Done("one two", "cancelled") or items[-1] == Done("one", "cancelled")
    # The next reply isn't cancelled.
    assert [item async for item in talk.reply(["hi"])][-1] == Done("ok", "stop")


async def test_settings_reach_the_dialogue() -> None:
    import dataclasses

    agent = FakeAgent()
    talk = await conversation(agent)
    talk.settings = dataclasses.replace(talk.settings, temperature=0.5)
    assert agent.last is not None and agent.last.settings.temperature == 0.5


async def test_nothing_can_be_asked_before_the_model_is_there() -> None:
    talk = Conversation(loader(FakeAgent()))
    with pytest.raises(FromageError, match="loaded"):
        await talk.undo()
