"""`/find` reads what `search` reads: sums, filters, pictures by their names."""

from __future__ import annotations

import pytest

from fromage_lite.chat.request import parse_request
from index.search.hits import Hit
from tests.tui.driver import chatting
from tests.tui.fake_agent import FakeAgent, hit


async def test_what_is_typed_is_the_search_of_the_command_line(cat) -> None:
    agent = FakeAgent(hits=[hit(1)])
    typed = f'{cat} + 2:"at night" - people folder:"my holiday" after:2024-05 top:20 sort:date'
    async with chatting(agent, size=(80, 40)) as chat:
        await chat.type(f"/find {typed}")
        await chat.until(lambda: len(chat.cards) == 1)
        (request,) = agent.requests
        assert request == parse_request([typed])
        assert [term.weight for term in request.terms] == [1, 2, -1]
        assert request.terms[0].picture == str(cat) and request.top == 20
        assert request.filters.folder == "my holiday"


async def test_a_picture_that_stands_for_others_says_so() -> None:
    stands = Hit(1, 0.9, "/pictures/a.png", "a cat", alike=("/pictures/b.png", "/pictures/c.png"))
    async with chatting(FakeAgent(hits=[stands, hit(2)]), size=(80, 40)) as chat:
        await chat.type("/find a cat")
        await chat.until(lambda: len(chat.cards) == 2)
        assert "+2 alike" in chat.text and chat.text.count("alike") == 1


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("a cat after:soon", "2024-05-17"),
        ("a cat folder:", "folder:holiday"),
        ("folder:holiday", "nothing to search for"),
        ("a cat +", "follows"),
        ("nosuch.png - people", "nosuch.png"),
    ],
)
async def test_what_can_t_be_meant_is_said_and_nothing_is_searched(typed, said) -> None:
    agent = FakeAgent(hits=[hit(1)])
    async with chatting(agent, size=(100, 40)) as chat:
        await chat.type(f"/find {typed}")
        await chat.until(lambda: said in chat.text)
        assert not agent.requests and not chat.cards
