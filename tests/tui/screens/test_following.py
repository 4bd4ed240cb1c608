"""The model follows the pictures that are attached, and those of a folder that is indexed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from textual.widgets import Select

from fromage_lite.errors import CheckpointError
from index.paths import index_of
from tests.tui.driver import Driver, chatting
from tests.tui.fake_agent import FakeAgent, Gate, picture_bytes
from tui.screens.settings import SettingsPanel
from tui.settings.preferences import Preferences
from tui.widgets.turn import Note


@pytest.fixture(autouse=True)
def both_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two shipped models; upright pictures count as photographs."""
    for name in ("photos", "playground"):
        (tmp_path / "shipped" / name).mkdir(parents=True)
    monkeypatch.setattr("fromage_lite.config.shipped_dir", lambda name: tmp_path / "shipped" / name)
    monkeypatch.setattr("fromage_lite.playground.world.recognition.is_scene", lambda image: image.height <= image.width)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "photograph.png"
    path.write_bytes(picture_bytes("green", (20, 40)))
    return path


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    path.write_bytes(picture_bytes("blue", (40, 20)))
    return path


class Shelf:
    """The models that the conversation can load, by name; `loaded` is what it asked for."""

    def __init__(self, chat: Driver, **agents: FakeAgent | Exception | Gate) -> None:
        self.agents, self.loaded = agents, []
        chat.app.conversation.load_other = self.load

    def load(self, name: str, progress) -> FakeAgent:
        self.loaded.append(name)
        progress(f"Loading the model {name} …")
        agent = self.agents[name]
        if isinstance(agent, Exception):
            raise agent
        agent.model_name = name
        return agent


def told(chat: Driver) -> list[str]:
    """Notices inside replies, and notes."""
    return [note.text for note in chat.screen.transcript.query(Note)]


async def test_a_photograph_is_answered_by_the_model_for_photographs_with_one_notice(photograph, scene) -> None:
    first, photos = FakeAgent([" pictograms"], [" again"]), FakeAgent([" a cat"], [" still a cat"], index_size=0)
    async with chatting(first) as chat:
        shelf = Shelf(chat, photos=photos, playground=first)
        await chat.say(f"{scene} what is this?")
        assert chat.replies == ["pictograms"] and shelf.loaded == [] and told(chat) == []
        await chat.say(f"{photograph} and this?")
        assert chat.replies[1:] == ["a cat"] and shelf.loaded == ["photos"]
        notice = "The picture is a photograph: the model photos answers from here on."
        assert told(chat) == [f"{notice} It has no pictures to answer with yet: /index FOLDER."]
        assert chat.screen.status.model == "photos" and [turn.text for turn in photos.last.turns][0] == "pictograms"
        await chat.say("is it big?")
        await chat.say(f"{photograph} and here?")
        assert shelf.loaded == ["photos"] and len(told(chat)) == 1, "nothing more to say about it"
        await chat.say(f"{scene} and that?")
        assert shelf.loaded == ["photos", "playground"] and chat.screen.status.model == "playground"
        assert told(chat)[1].startswith("The picture is a scene of the playground: the model playground answers")


async def test_words_and_pictures_of_both_kinds_change_nothing(photograph, scene) -> None:
    async with chatting(FakeAgent()) as chat:
        shelf = Shelf(chat)
        await chat.say("hello")
        await chat.say(f"<image:{photograph}> or <image:{scene}>?")
        assert shelf.loaded == [] and told(chat) == [] and len(chat.replies) == 2


async def test_going_back_brings_the_index_back(photograph, scene, monkeypatch) -> None:
    monkeypatch.setattr(FakeAgent, "indices", {"none": 0, None: 5, "/pictures/mine": 40})
    first, photos = FakeAgent(), FakeAgent()
    first.index_path = Path("/pictures/mine")
    async with chatting(first) as chat:
        Shelf(chat, photos=photos, playground=(again := FakeAgent()))
        await chat.say(f"{photograph} what is this?")
        monkeypatch.setitem(FakeAgent.indices, "/pictures/mine", 40)
        await chat.say(f"{scene} and this?")
        assert again.index_path == Path("/pictures/mine") and chat.screen.status.pictures == "40 pictures"


async def test_a_named_model_stays_and_is_told_once_that_another_would_fit(photograph) -> None:
    async with chatting(FakeAgent([" a"], [" b"])) as chat:
        shelf = Shelf(chat, photos=FakeAgent())
        chat.app.conversation.is_model_named = True
        await chat.say(f"{photograph} what is this?")
        await chat.say(f"{photograph} and this?")
        assert chat.replies == ["a", "b"] and shelf.loaded == []
        would = "the model photos would fit better than playground. /model photos loads it."
        assert told(chat) == [f"The picture is a photograph: {would}"]


async def test_a_model_chosen_with_a_command_stays_too_and_default_follows_again(photograph, scene) -> None:
    async with chatting(FakeAgent()) as chat:
        shelf = Shelf(chat, photos=FakeAgent(), playground=FakeAgent())
        shelf.agents["default"] = shelf.agents["playground"]
        await chat.type("/model photos")
        await chat.until(lambda: "photos answers now" in " ".join(told(chat)))
        await chat.ready()
        await chat.say(f"{scene} what is this?")
        assert shelf.loaded == ["photos"] and "would fit better than photos" in told(chat)[-1]
        await chat.type("/model default")
        await chat.until(lambda: shelf.loaded == ["photos", "default"])
        await chat.ready()
        await chat.say(f"{photograph} and this?")
        assert shelf.loaded == ["photos", "default", "photos"]


async def test_models_that_are_not_shipped_see_what_they_were_trained_on(photograph, scene) -> None:
    async with chatting(FakeAgent(), model="facebook/opt-125m") as chat:
        shelf = Shelf(chat)
        await chat.say(f"{photograph} a?")
        await chat.say(f"{scene} b?")
        assert shelf.loaded == [] and told(chat) == []


async def test_a_chat_whose_model_everybody_shares_only_says_what_would_fit(photograph) -> None:
    async with chatting(FakeAgent()) as chat:
        chat.app.conversation.fixed = "It is everybody's."
        await chat.say(f"{photograph} what is this?")
        assert told(chat) == ["The picture is a photograph: the model photos would fit better than playground."]


async def test_a_model_that_cannot_be_loaded_leaves_the_answer_to_the_one_before(photograph) -> None:
    async with chatting(FakeAgent([" pictograms"])) as chat:
        Shelf(chat, photos=CheckpointError("The model is damaged.", "Copy it again."))
        await chat.say(f"{photograph} what is this?")
        assert chat.replies == ["pictograms"] and chat.screen.status.model == "playground"
        assert "The model is damaged." in told(chat)[0] and "The model before goes on." in told(chat)[0]


async def test_escape_while_the_other_model_loads_stops_the_reply(photograph) -> None:
    gate = Gate()

    class Slow(Shelf):
        def load(self, name: str, progress) -> FakeAgent:
            agent = super().load(name, progress)
            gate.wait()
            return agent

    async with chatting(FakeAgent()) as chat:
        Slow(chat, photos=FakeAgent([" a", " cat"]))
        await chat.type(f"{photograph} what is this?")
        await chat.until(gate.reached.is_set)
        assert "loading the model photos" in chat.text
        await chat.pilot.press("escape")
        gate.open()
        await chat.until(lambda: chat.screen.turns)
        await chat.ready()
        assert chat.app.conversation.dialogue.turns[0].reason == "cancelled" and "cat" not in chat.replies[0]
        await chat.say("hello")
        assert chat.replies[1] == "ok", "what was stopped was that reply only"


async def test_a_message_that_waits_for_the_first_model_is_followed_too(photograph) -> None:
    from tests.tui.fake_agent import loader

    agent, gate = FakeAgent(), Gate()
    async with chatting(load=loader(agent, gate), wait=False) as chat:
        shelf = Shelf(chat, photos=FakeAgent([" a cat"]))
        await chat.type(f"{photograph} what is this?")
        await chat.until(lambda: "waiting for the model" in chat.text)
        gate.open()
        await chat.until(lambda: chat.replies == ["a cat"])
        assert shelf.loaded == ["photos"]


# The setting -------------------------------------------------------------------------------------------------------


async def test_following_is_turned_off_in_the_panel_and_that_is_kept(photograph, tmp_path) -> None:
    file = tmp_path / "config.toml"
    async with chatting(FakeAgent(), preferences=Preferences.read(file), size=(80, 40)) as chat:
        shelf = Shelf(chat, photos=FakeAgent())
        await chat.pilot.press("f2")
        await chat.until(lambda: isinstance(chat.app.screen, SettingsPanel) and chat.app.screen.query(Select))
        choice = chat.app.screen.query_one("#follow_pictures", Select)
        assert choice.value == "yes"
        choice.value = "no"
        await chat.until(lambda: not chat.app.follow_pictures)
        await chat.pilot.press("escape")
        await chat.say(f"{photograph} what is this?")
        assert shelf.loaded == [] and "would fit better" in told(chat)[0]
        chat.app.writer.flush()
        assert "follow_pictures = false" in file.read_text()
        assert Preferences.read(file).follow_pictures is False
        await chat.type("/set follow_pictures true")
        await chat.until(lambda: chat.app.follow_pictures)
        chat.app.writer.flush()
        assert Preferences.read(file).follow_pictures is True
        await chat.type("/set follow_pictures maybe")
        await chat.until(lambda: "must be true or false" in told(chat)[-1])
        await chat.say(f"{photograph} and this?")
        assert shelf.loaded == ["photos"]


def test_the_config_file_may_say_so(tmp_path) -> None:
    file = tmp_path / "config.toml"
    assert Preferences.read(file).follow_pictures is True
    file.write_text("follow_pictures = false\n[settings]\ntemperature = 0.5\n")
    assert Preferences.read(file).follow_pictures is False
    file.write_text('follow_pictures = "no"\n')
    read = Preferences.read(file)
    assert read.follow_pictures is True and "'follow_pictures' must be true or false" in read.problems[0]
    file.write_text('theme = "nord"\n\n[settings]\ntemperature = 0.5\n')
    Preferences.read(file).keep({"follow_pictures": False})
    kept = Preferences.read(file)
    assert (kept.follow_pictures, kept.theme, kept.settings.temperature, kept.problems) == (False, "nord", 0.5, ())


# Folders -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(photograph, monkeypatch) -> Path:
    """A folder of photographs, and a build that is done at once; `asked` has the models."""
    home = photograph.parent / "holiday"
    home.mkdir()
    for number in range(3):
        (home / f"{number}.png").write_bytes(photograph.read_bytes())
    program = 'print(\'{"event": "done", "pictures": 3, "changed": 3, "bad": 0}\')'

    def command(pictures, out, model, device):
        asked.append(model)
        return [sys.executable, "-c", program]

    monkeypatch.setattr("tui.screens.indexing.build_command", command)
    monkeypatch.setattr(
        FakeAgent, "indices", {"none": 0, None: 0, **{str(index_of(home, m)): 3 for m in ("photos", "playground")}}
    )
    asked.clear()
    return home


asked: list[str] = []


async def test_a_folder_of_photographs_is_indexed_for_the_model_that_sees_them(folder) -> None:
    photos = FakeAgent(index_size=0)
    async with chatting(FakeAgent()) as chat:
        shelf = Shelf(chat, photos=photos)
        await chat.type(f"/index {folder}")
        await chat.until(lambda: any("is indexed: 3 pictures" in text for text in told(chat)))
        assert asked == ["photos"] == shelf.loaded and photos.index_path == index_of(folder, "photos")
        assert "The model photos answers from here on: it sees such pictures." in told(chat)[-1]
        assert chat.screen.status.model == "photos" and chat.screen.status.pictures == "3 pictures"
        assert chat.screen.status.state == "ready"


async def test_a_named_model_indexes_them_itself_and_says_what_would_fit(folder) -> None:
    agent = FakeAgent()
    async with chatting(agent) as chat:
        shelf = Shelf(chat, photos=FakeAgent())
        chat.app.conversation.is_model_named = True
        await chat.type(f"/index {folder}")
        await chat.until(lambda: any("is indexed: 3 pictures" in text for text in told(chat)))
        assert asked == ["playground"] and shelf.loaded == [] and agent.index_path == index_of(folder, "playground")
        assert "The pictures are photographs: the model photos would fit better than playground." in told(chat)
