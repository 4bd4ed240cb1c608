"""An agent on the tiny model, whose replies a script decides."""

from __future__ import annotations

import pytest

from tests.fromage_lite.fakes import ListedPictures, Script


@pytest.fixture
def agent(tiny_model):
    from fromage_lite.chat.agent import Agent

    return Agent(tiny_model, ListedPictures())


@pytest.fixture
def script(agent):
    return Script(agent)


@pytest.fixture
def picture(tmp_path, pictures):
    path = tmp_path / "red picture.png"
    pictures[0].save(path)
    return str(path)
