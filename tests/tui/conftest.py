from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.fake_agent import picture_bytes

FAULT = ("Something went wrong", "A fault while the app ended")


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    """A picture file of 64 x 48."""
    path = tmp_path / "cat.png"
    path.write_bytes(picture_bytes())
    return path


@pytest.fixture
def dog(tmp_path: Path) -> Path:
    """A picture file with a space in its name."""
    path = tmp_path / "my dog.png"
    path.write_bytes(picture_bytes("brown", (40, 80)))
    return path


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's terminal and settings have no say."""
    for name in ("FROMAGE_IMAGES", "COLORFGBG", "NO_COLOR", "TEXTUAL_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("platformdirs.user_pictures_dir", lambda: "/nowhere/pictures")


@pytest.fixture(autouse=True)
def no_hidden_fault(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The app survives faults that nobody foresaw; a test must not overlook one."""
    yield
    if request.node.get_closest_marker("faulty") is None:
        faults = [record for record in caplog.get_records("call") if record.name in ("tui.conversation", "tui.faults")]
        assert not [record.exc_text or record.message for record in faults if record.message.startswith(FAULT)]


@pytest.fixture
def agent(tiny_model, monkeypatch):
    """The agent that the commands load; `loads` has the options that they loaded it with."""
    from fromage_lite.chat.agent import Agent
    from tests.fromage_lite.fakes import ListedPictures

    agent = Agent(tiny_model, ListedPictures())
    agent.loads = []

    def load(options, progress=None, notice=None):
        agent.loads.append(options)
        return agent

    monkeypatch.setattr("fromage_lite.start.load_agent", load)
    return agent
