"""What the tests of saved conversations share."""

from __future__ import annotations

from tui.sessions.records import SavedTurn
from tui.sessions.store import SessionStore


class Clock:
    """A second later whenever one looks."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        self.now += 1
        return self.now


def turn(message: str, *reply, reason: str | None = "stop") -> SavedTurn:
    return SavedTurn((message,), reply, reason)


def say(store: SessionStore, *turns: SavedTurn, title: str | None = None) -> int:
    session = store.create("playground", "pictures", title)
    for one in turns:
        store.add_turn(session, one)
    return session
