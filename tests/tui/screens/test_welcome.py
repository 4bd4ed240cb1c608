"""What the welcome says and offers, by what answers and what the user has."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from index.paths import index_of
from tests.tui.driver import Driver, chatting
from tests.tui.fake_agent import FakeAgent, picture_bytes
from tui.pictures.own_folder import find_own_folder
from tui.widgets.welcome import Offer


@pytest.fixture(autouse=True)
def both_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("photos", "playground"):
        (tmp_path / "shipped" / name).mkdir(parents=True)
    monkeypatch.setattr("fromage_lite.config.shipped_dir", lambda name: tmp_path / "shipped" / name)
    monkeypatch.setattr("fromage_lite.playground.world.recognition.is_scene", lambda image: False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of pictures: 1,204 of them in two folders."""
    folder = tmp_path / "Pictures"
    (folder / "holiday").mkdir(parents=True)
    for number in range(1204):
        (folder / ("holiday" if number % 2 else "") / f"{number}.jpg").touch()
    (folder / "notes.txt").touch()
    monkeypatch.setattr("platformdirs.user_pictures_dir", lambda: str(folder))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    return folder


def photos(index_size: int = 0) -> FakeAgent:
    agent = FakeAgent(index_size=index_size)
    agent.model_name = "photos"
    return agent


def words(chat: Driver) -> str:
    return " ".join(chat.text.translate(dict.fromkeys(map(ord, "▀▄"))).split())


async def test_photos_says_what_it_sees_and_has_a_photograph_to_ask_about() -> None:
    agent = photos()
    async with chatting(agent, model="photos") as chat:
        await chat.until(lambda: "❯ /index FOLDER" in chat.text)
        said = words(chat)
        assert "a thousand kinds of things in photographs, and says so when it can't tell" in said and "F5" in said
        assert "pictograms" not in said and "❯ /image PATH" in said and not chat.screen.query(Offer)
        await chat.pilot.press("f5")
        await chat.until(lambda: chat.screen.composer.pictures)
        assert chat.typed == "what is in this picture?"
        with Image.open(chat.screen.composer.pictures[0].path) as sample:
            assert sample.format == "JPEG" and sample.size == (480, 320)
        await chat.pilot.press("ctrl+u", "tab", "tab")
        assert chat.typed == "/image "


async def test_with_pictures_of_the_users_it_is_asked_for_one() -> None:
    async with chatting(photos(index_size=40), model="photos") as chat:
        assert "❯ show me a dog" in chat.text and "pictures of yours" in chat.text and "/index" not in chat.text


async def test_the_sample_of_each_model_has_a_licence_beside_it_or_is_ours() -> None:
    from tui.screens.attaching import PHOTOGRAPH, SCENE

    assert SCENE.is_file() and PHOTOGRAPH.is_file()
    licence = PHOTOGRAPH.with_name("LICENSE.sample-photograph").read_text()
    assert PHOTOGRAPH.name in licence and "CC0" in licence


async def test_the_welcome_follows_the_model() -> None:
    async with chatting(FakeAgent()) as chat:
        assert "small world of pictograms" in words(chat)
        chat.app.conversation.load_other = lambda name, progress: photos()
        await chat.type("/model photos")
        await chat.until(lambda: "a thousand kinds of things" in words(chat))
        assert "pictograms" not in words(chat)


async def test_the_users_folder_is_offered_and_one_key_indexes_it(own, monkeypatch) -> None:
    opened = []
    monkeypatch.setattr("index.pictures.images.read_header", lambda *_: opened.append(1))
    asked = []

    def command(pictures, out, model, device):
        asked.append((pictures, out, model))
        done = {"event": "done", "pictures": 1204, "changed": 1204, "bad": 0}
        return [sys.executable, "-c", f"print({json.dumps(done)!r})"]

    monkeypatch.setattr("tui.screens.indexing.build_command", command)
    monkeypatch.setattr(FakeAgent, "indices", {"none": 0, str(index_of(own, "photos")): 1204})
    async with chatting(photos(), model="photos", size=(90, 30)) as chat:
        await chat.until(lambda: chat.screen.query(Offer))
        assert "F8 indexes your 1,204 pictures in ~/Pictures (about 3 minutes), so that they are found" in words(chat)
        assert opened == [] and asked == [], "nothing is read before the key"
        (own / "0.jpg").write_bytes(picture_bytes())
        await chat.pilot.press("f8")
        await chat.until(lambda: any("is indexed: 1,204 pictures" in note for note in chat.notes))
        assert asked == [(own, index_of(own, "photos"), "photos")]
        await chat.until(lambda: "❯ show me a dog" in chat.text)


async def test_a_click_takes_the_offer_too_and_it_is_gone_while_the_folder_is_indexed(own, monkeypatch) -> None:
    program = "import time, signal\nsignal.pause()"
    monkeypatch.setattr("tui.screens.indexing.build_command", lambda *_: [sys.executable, "-c", program])
    async with chatting(photos(), model="photos", size=(90, 30)) as chat:
        await chat.until(lambda: chat.screen.query(Offer))
        await chat.pilot.click(Offer)
        await chat.until(lambda: "indexing Pictures" in chat.screen.status.work and not chat.screen.query(Offer))


async def test_nothing_is_offered_where_nothing_is_to_be_had(own, monkeypatch) -> None:
    async with chatting(FakeAgent()) as chat:
        await chat.pilot.pause()
        assert not chat.screen.query(Offer), "to the playground photographs mean nothing"
    index = index_of(own, "photos")
    index.mkdir(parents=True)
    (index / "index.json").touch()
    assert find_own_folder("photos") is None, "it is indexed already"
    monkeypatch.setattr("platformdirs.user_pictures_dir", lambda: str(own.parent))
    assert find_own_folder("photos") is None, "the home folder is no folder of pictures"
    monkeypatch.setattr("platformdirs.user_pictures_dir", lambda: str(own / "missing"))
    assert find_own_folder("photos") is None
    async with chatting(photos(), model="photos") as chat:
        await chat.pilot.press("f8")
        await chat.until(lambda: any("There is no folder of pictures" in note for note in chat.notes))


@pytest.mark.parametrize(
    ("count", "is_all", "said"),
    [
        (1, True, "your 1 picture in /p (less than a minute)"),
        (300, True, "your 300 pictures in /p (about a minute)"),
        (5000, False, "your more than 5,000 pictures in /p (at least about 12 minutes)"),
    ],
)
def test_how_many_and_how_long_is_told(count: int, is_all: bool, said: str) -> None:
    from tui.pictures.own_folder import OwnFolder

    assert OwnFolder(Path("/p"), count, is_all).words == said


async def test_it_fits_forty_columns(own) -> None:
    async with chatting(photos(), model="photos", size=(40, 40)) as chat:
        await chat.until(lambda: chat.screen.query(Offer))
        assert all(len(line) <= 40 for line in chat.text.splitlines()) and "F8 indexes your 1,204" in words(chat)
