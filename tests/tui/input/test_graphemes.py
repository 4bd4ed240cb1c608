"""Editing by what people take for one character. The examples are of Unicode's emoji and normalization data."""

from __future__ import annotations

import time

import pytest

from tests.tui.driver import chatting
from tui.input.graphemes import WINDOW, grapheme_at, snap

ONES = {
    "selector": "〽\ufe0f",
    "heart": "❤\ufe0f",
    "family": "👨\u200d👩\u200d👧\u200d👦",
    "flag": "🇩🇪",
    "skin tone": "👍🏽",
    "accent": "e\u0301",
    "two accents": "o\u0302\u0323",
    "keycap": "1\ufe0f\u20e3",
    "rainbow flag": "🏳\ufe0f\u200d🌈",
    "subdivision flag": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "hangul": "\u1112\u1161\u11ab",
    "devanagari": "नि",
    "plain": "x",
    "wide": "猫",
}


@pytest.mark.parametrize("one", ONES.values(), ids=ONES)
async def test_backspace_delete_and_arrows_take_it_whole(one: str) -> None:
    async with chatting() as chat:
        prompt = chat.screen.composer.prompt
        prompt.fill(f"a{one}b")
        await chat.pilot.press("left")
        assert prompt.cursor_location == (0, 1 + len(one))
        await chat.pilot.press("left")
        assert prompt.cursor_location == (0, 1)
        await chat.pilot.press("right")
        assert prompt.cursor_location == (0, 1 + len(one))
        await chat.pilot.press("backspace")
        assert chat.typed == "ab" and prompt.cursor_location == (0, 1)
        prompt.fill(f"a{one}b")
        await chat.pilot.press("home", "right", "delete")
        assert chat.typed == "ab" and prompt.cursor_location == (0, 1)
        prompt.fill(f"a{one}b")
        await chat.pilot.press("left", "shift+left", "delete")
        assert chat.typed == "ab"
        prompt.move_cursor((0, 0))
        prompt.fill(one + one)
        await chat.pilot.press("backspace")
        assert chat.typed == one
        await chat.pilot.press("backspace", "backspace")
        assert chat.typed == ""


async def test_no_way_leads_into_the_middle() -> None:
    family = ONES["family"]
    async with chatting() as chat:
        prompt = chat.screen.composer.prompt
        prompt.fill(f"{family}\n123456789")
        for column in range(10):
            prompt.move_cursor((1, column))
            await chat.pilot.press("up")
            assert prompt.cursor_location[1] in (0, len(family))
        for column in range(len(family) + 1):
            prompt.move_cursor((0, column))
            assert prompt.cursor_location[1] in (0, len(family))
        prompt.fill("\u0301bc")
        prompt.move_cursor((0, 0))
        await chat.pilot.press("e")  # becomes one with what stands behind it
        assert prompt.cursor_location == (0, 2)


def test_places() -> None:
    text = f"ab{ONES['family']}cd"
    assert grapheme_at(text, 0) == (0, 1) and grapheme_at(text, 4) == (2, 9) and grapheme_at(text, 9) == (9, 10)
    assert [snap(text, place) for place in (0, 1, 2, 3, 8, 9, 11)] == [0, 1, 2, 9, 9, 9, 11]
    flags = "🇩🇪" * 3
    assert [grapheme_at(flags, place) for place in range(6)] == [(0, 2), (0, 2), (2, 4), (2, 4), (4, 6), (4, 6)]
    assert grapheme_at("é" * 5000, 4000) == (4000, 4001)


def test_a_long_line_costs_no_more_than_a_short_one() -> None:
    line = "猫" * 1_000_000
    before = time.process_time()
    for place in range(0, 1_000_000, 10_000):
        snap(line, place)
    assert time.process_time() - before < 1  # 100 windows of 1,024; the whole line would be 100 millions
    assert WINDOW < 10_000
