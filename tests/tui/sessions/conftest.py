"""A file of conversations in a folder that does not exist yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.saved import Clock
from tui.sessions.store import SessionStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sessions.db"


@pytest.fixture
def store(path: Path) -> Iterator[SessionStore]:
    """The file, open; its clock gains a second with each look."""
    store = SessionStore.open(path, clock=Clock())
    yield store
    store.close()
