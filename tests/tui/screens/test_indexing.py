"""`/index` on a folder of pictures: it is indexed by another process while the chat goes on."""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

import psutil
import pytest

from index.errors import FingerprintError
from index.paths import index_of
from tests.tui.driver import Driver, chatting
from tests.tui.fake_agent import FakeAgent, Gate, loader, picture_bytes

SAY = "import json, sys, os, signal\ndef say(**event): print(json.dumps(event), flush=True)\n"
DONE = "say(event='done', index='', model='', pictures=3, changed=3, bad=0)\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures in a folder, and a place for their index."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("fromage_lite.playground.world.recognition.is_scene", lambda image: True)
    pictures = tmp_path / "holiday"
    pictures.mkdir()
    for number in range(3):
        (pictures / f"{number}.png").write_bytes(picture_bytes(size=(20 + number, 20)))
    return pictures


@pytest.fixture
def out(folder: Path) -> Path:
    """Where the chat keeps the index."""
    return index_of(folder, "playground")


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch):
    """Sets the program that builds in place of the command; the arguments that the command would have had."""
    asked: list[tuple] = []

    def set_program(program: str) -> list[tuple]:
        def command(*arguments: object) -> list[str]:
            asked.append(arguments)
            return [sys.executable, "-c", SAY + program]

        monkeypatch.setattr("tui.screens.indexing.build_command", command)
        return asked

    return set_program


@pytest.fixture
def indices(monkeypatch: pytest.MonkeyPatch) -> dict[str | None, int | Exception]:
    """What every fake agent finds at a path: so many pictures, or an error."""
    known: dict[str | None, int | Exception] = {"none": 0, None: 0}
    monkeypatch.setattr(FakeAgent, "indices", known)
    return known


async def told(chat: Driver, words: str) -> None:
    await chat.until(lambda: any(words in note for note in chat.notes))


@pytest.mark.parametrize("typed", ["'{one}' {two}", "{two}", "{table}"])
async def test_several_folders_and_files_are_indexed_as_the_console_takes_them(
    typed, folder, builder, indices, tmp_path
) -> None:
    two, table, one = tmp_path / "summer", tmp_path / "table.tsv", folder.rename(tmp_path / "my holiday")
    two.mkdir()
    (two / "1.png").write_bytes(picture_bytes(size=(30, 20)))
    table.write_text(f"a picture\t{two}/1.png\n")
    named = {"{two}": two, "{table}": table}.get(typed, (one, two))
    out = index_of(named, "playground")
    indices[str(out)] = 4
    asked = builder(DONE)
    async with chatting(FakeAgent([" one"]), size=(110, 30)) as chat:
        await chat.type("/index " + typed.format(one=one, two=two, table=table))
        await told(chat, "indexed: 4 pictures to find.")
    assert asked == [(named, out, "playground", "cpu")]


async def test_the_chat_goes_on_while_a_folder_is_indexed_and_then_answers_from_it(
    folder, out, builder, indices, tmp_path
) -> None:
    indices[str(out)] = 3
    go = tmp_path / "go"
    asked = builder(
        f"os.mkfifo({str(go)!r})\n"
        "say(event='progress', what='Embedding', unit='picture', done=2, total=1234)\n"
        f"open({str(go)!r}).read()\n" + DONE
    )
    async with chatting(FakeAgent([" one"]), size=(110, 30)) as chat:
        await chat.type(f"/index {folder}")
        await chat.until(lambda: "indexing holiday 2 of 1,234" in chat.text.splitlines()[-1])
        assert asked == [(folder, out, "playground", "cpu")]
        assert f"{folder} is being indexed" in chat.notes[0]
        await chat.say("hello")
        assert chat.replies == ["one"]
        await chat.type("/index")
        await told(chat, f"{folder} is being indexed; /index stop ends that.")
        await chat.type(f"/index {folder}")
        await told(chat, "One folder at a time.")
        go.write_text("go")  # the program reads it
        await told(chat, f"{folder} is indexed: 3 pictures to find.")
        assert chat.screen.status.pictures == "3 pictures" and chat.app.conversation.agent.index_path == out
        assert "indexing" not in chat.text.splitlines()[-1]


@pytest.mark.parametrize("way", ["/index stop", "escape"])
async def test_a_build_is_stopped_and_goes_on_later(folder, out, builder, indices, way: str) -> None:
    waits = (
        "try:\n say(event='progress', what='', unit='picture', done=1, total=3)\n signal.pause()\n"
        "except KeyboardInterrupt:\n sys.exit(130)\n"
    )
    builder("signal.signal(signal.SIGINT, signal.default_int_handler)\n" + waits)
    async with chatting(FakeAgent()) as chat:
        await chat.type(f"/index {folder}")
        await chat.until(lambda: "1 of 3" in chat.screen.status.work)
        await (chat.pilot.press("escape") if way == "escape" else chat.type(way))
        await told(chat, f"{folder} is not indexed to its end. /index goes on where it stopped.")
        assert chat.screen.status.work == "" and chat.app.conversation.agent.index_path is None
        await chat.type("/index stop")
        await told(chat, "No folder is being indexed.")
        indices[str(out)] = 3
        builder(DONE)
        await chat.type(f"/index {folder}")
        await told(chat, "is indexed: 3 pictures")


async def test_escape_stops_the_reply_and_leaves_the_build_alone(folder, out, builder, indices) -> None:
    indices[str(out)] = 3
    builder("say(event='progress', what='', unit='picture', done=1, total=3)\nsignal.pause()\n")
    agent = FakeAgent([" one", gate := Gate(), " two"])
    async with chatting(agent) as chat:
        await chat.type(f"/index {folder}")
        await chat.until(lambda: "1 of 3" in chat.screen.status.work)
        await chat.type("hello")
        await chat.until(gate.reached.is_set)
        await chat.pilot.press("escape")
        await chat.until(lambda: len(chat.screen.turns) == 1)
        assert "1 of 3" in chat.screen.status.work
        await chat.pilot.press("x", "escape")
        assert "1 of 3" in chat.screen.status.work, "nor while something is being written"


async def test_the_index_is_opened_only_when_the_reply_has_ended(folder, out, builder, indices) -> None:
    indices[str(out)] = 3
    builder(DONE)
    agent = FakeAgent([" one", gate := Gate()], [" two"])
    async with chatting(agent) as chat:
        await chat.type("hello")
        await chat.until(gate.reached.is_set)
        await chat.type("and then?")  # waits its turn, which comes before the index's
        await chat.type(f"/index {folder}")
        await told(chat, "is being indexed")
        assert agent.index_path is None
        gate.open()
        await told(chat, "is indexed")
        assert chat.replies == ["one", "two"] and agent.index_path == out


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (
            "sys.stderr.write('x\\nError: Another build is at work. Wait.\\n'); sys.exit(2)",
            "Another build",
        ),
        ("os.kill(os.getpid(), signal.SIGKILL)", "ended by signal 9."),
        ("1 / 0", "ended with exit code 1"),
        ("print('no json')", "ended with exit code 0"),
    ],
)
async def test_a_build_that_fails_says_why_in_one_sentence(folder, builder, indices, program: str, words: str) -> None:
    builder(program)
    async with chatting(FakeAgent()) as chat:
        await chat.type(f"/index {folder}")
        await told(chat, words)
        assert "Traceback" not in chat.text and chat.screen.status.work == ""
        await chat.say("still there?")
        assert chat.replies == ["ok"]


async def test_a_folder_that_was_indexed_before_is_open_at_once_and_only_changes_are_told(
    folder, out, builder, indices
) -> None:
    indices[str(out)] = 3
    out.mkdir(parents=True)
    (out / "index.json").write_text("{}")
    builder("say(event='done', index='', model='', pictures=3, changed=0, bad=0)\n")
    async with chatting(FakeAgent()) as chat:
        await chat.type(f"/index {folder}")
        await told(chat, f"Pictures come from {folder} now: 3 pictures to find.")
        await chat.until(lambda: not chat.screen.status.work)
        assert len(chat.notes) == 1
        builder("say(event='done', index='', model='', pictures=4, changed=1, bad=2)\n")
        await chat.type(f"/index {folder}")
        await told(chat, f"2 files can't be read: {out}/bad_pictures.tsv.")


async def test_an_index_of_an_earlier_version_of_the_model_is_made_anew(folder, out, builder, indices) -> None:
    indices[str(out)] = FingerprintError("The index was made with another model.", "Rebuild it.")
    out.mkdir(parents=True)
    (out / "index.json").write_text("{}")
    builder("say(event='done', index='', model='', pictures=3, changed=0, bad=0)\n")
    agent = FakeAgent()
    async with chatting(agent) as chat:
        asked = agent.use_index

        def use_index(index, progress=None):
            try:
                asked(index, progress)
            finally:
                indices[str(out)] = 3

        agent.use_index = use_index
        await chat.type(f"/index {folder}")
        await told(chat, f"{folder} is indexed: 3 pictures to find.")


async def test_a_folder_without_pictures_or_a_chat_that_may_not_change_says_so(folder, builder, indices) -> None:
    asked = builder(DONE)
    (folder.parent / "empty").mkdir()
    async with chatting(FakeAgent()) as chat:
        await chat.type(f"/index {folder.parent / 'empty'}")
        await told(chat, "There are no pictures in")
        chat.app.conversation.fixed = "It is everybody's."
        await chat.type(f"/index {folder}")
        await told(chat, "It is everybody's.")
    assert asked == []


async def test_photographs_for_a_model_that_knows_pictograms_are_indexed_with_a_warning(
    folder, out, builder, indices, monkeypatch
) -> None:
    monkeypatch.setattr("fromage_lite.playground.world.recognition.is_scene", lambda image: False)
    monkeypatch.setattr("fromage_lite.choice.shipped_model", lambda name: None)
    indices[str(out)] = 3
    builder(DONE)
    async with chatting(FakeAgent()) as chat:
        await chat.type(f"/index {folder}")
        await told(chat, "is indexed: 3 pictures")
        assert "These are photographs; the model here knows its pictograms only." in chat.notes[0]


async def test_a_folder_named_before_the_model_is_loaded_is_indexed_then(folder, out, builder, indices) -> None:
    indices[str(out)] = 3
    asked = builder(DONE)
    async with chatting(load=loader(FakeAgent(), gate := Gate()), wait=False) as chat:
        await chat.type(f"/index {folder}")
        await chat.until(lambda: "as soon as the model is loaded" in chat.text)
        assert asked == []
        gate.open()
        await told(chat, "is indexed: 3 pictures to find.")


async def test_what_is_said_of_a_build_goes_with_it(folder, out, builder, indices, tmp_path) -> None:
    indices.update({str(out): 3, "/mine": 12})
    go = tmp_path / "go"
    builder(f"os.mkfifo({str(go)!r})\nopen({str(go)!r}).read()\n" + DONE)
    async with chatting(FakeAgent()) as chat:
        await chat.type(f"/index {folder}")
        await told(chat, f"{folder} is being indexed")
        await chat.type("/index stop now")
        await told(chat, "stop now")
        await chat.type("/index /mine")
        await told(chat, "Pictures come from this index now: 12.")
        assert len(chat.notes) == 2 and "is being indexed" in chat.notes[0]
        await chat.until(go.exists)
        go.write_text("go")
        await told(chat, "is indexed")
        assert chat.notes == [f"{folder} is indexed: 3 pictures to find."]
        builder("sys.stderr.write('Error: The disk is full.\\n'); sys.exit(2)")
        await chat.type(f"/index {folder}")
        await told(chat, "The disk is full.")
        await chat.say("hello")
        await told(chat, "The disk is full.")
        builder(DONE)
        await chat.type(f"/index {folder}")
        await told(chat, "is indexed")
        assert "The disk is full." not in chat.text


async def test_a_folder_of_tars_is_indexed_like_one_of_pictures(folder, builder, indices, tmp_path) -> None:
    tars = tmp_path / "tars"
    tars.mkdir()
    with tarfile.open(tars / "0.tar", "w") as tar:
        tar.add(folder / "0.png", "0.png")
    indices[str(index_of(tars, "playground"))] = 1
    asked = builder(DONE)
    async with chatting(FakeAgent()) as chat:
        await chat.type(f"/index {tars}")
        await told(chat, "is indexed: 1 picture to find.")
    assert asked == [(tars, index_of(tars, "playground"), "playground", "cpu")]


async def test_leaving_the_app_ends_the_build(folder, builder, tmp_path) -> None:
    left = tmp_path / "pid"
    builder(
        f"open({str(left)!r}, 'w').write(str(os.getpid()))\n"
        "say(event='progress', what='', unit='picture', done=1, total=3)\nsignal.pause()\n"
    )
    async with chatting(FakeAgent()) as chat:
        await chat.type(f"/index {folder}")
        await chat.until(lambda: "1 of 3" in chat.screen.status.work)
        process = psutil.Process(int(left.read_text()))
    process.wait(60)


@pytest.mark.slow
async def test_the_real_command_builds_for_the_chat(folder, out, tiny_checkpoint) -> None:
    from tui.index_build import IndexBuild, build_command

    progress = []
    build = IndexBuild(build_command(folder, out, str(tiny_checkpoint), "cpu"), progress.append)
    built = await build.run()
    assert (built.pictures, built.changed, built.bad) == (3, 3, 0)
    assert progress[-1].done == progress[-1].total == 3
    assert json.loads((out / "index.json").read_text())["model"] == str(tiny_checkpoint)
