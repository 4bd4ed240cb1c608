"""Full-text search over conversations."""

from __future__ import annotations

import pytest

from tests.tui.fake_agent import hit
from tests.tui.saved import say, turn
from tui.sessions.search import MARK_OFF, MARK_ON, search
from tui.sessions.store import SessionStore


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
