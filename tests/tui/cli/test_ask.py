"""`ask` for scripts: events, dialogues in files, pictures from the standard input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fromage_lite.chat.events import ImagesFound, Notice, RetTrace
from tests.fromage_lite.fakes import assert_reads
from tests.tui.command_line import assert_refused, call
from tests.tui.fake_agent import FakeAgent, hit
from tui.cli.ask import _Events, _Words, hold
from tui.sessions.dialogue_file import DialogueFile
from tui.sessions.importing import read_session
from tui.sessions.records import SessionError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


# --- events ---


def test_events_are_printed_as_they_happen_one_a_line(script):
    script.say("here you are.[RET] anything else?", "fine.")
    result = call("ask", "show me a cat.", "thanks.", "--events")
    assert result.exit_code == 0 and result.stderr == ""
    events = [json.loads(line) for line in result.stdout.splitlines()]
    names = [event["event"] for event in events]
    assert names.count("done") == 2 and names[-1] == "done"
    first = names.index("done")
    assert "".join(e["text"] for e in events[:first] if e["event"] == "text_delta") == "here you are. anything else?"
    (found,) = [event for event in events if event["event"] == "images_found"]
    assert found["images"] == [{"id": 0, "path": "/pictures/0.png", "score": 0.9, "caption": "picture number 0"}]
    assert [image["id"] for image in found["more"]] == [1, 2, 3, 4]
    assert {"ret_trace", "statistics"} <= set(names[:first])
    assert events[first]["reason"] == "stop"


def test_an_event_is_out_before_the_next_one_comes(capsys):
    """Whoever follows the stream must not wait for its end."""
    printer, agent = _Events(), FakeAgent([" a", ImagesFound((hit(1),)), Notice("\x1b[31mmind"), " b"])
    seen = []

    class Watched:
        def reply(self, message, attachments=()):
            for event in agent.dialogue(None).reply((message,)):
                yield event
                seen.append(capsys.readouterr().out)

    hold(Watched(), ["hello"], (), printer)
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in seen)
    assert [json.loads(line)["event"] for line in seen] == [
        "text_delta",
        "images_found",
        "notice",
        "text_delta",
        "statistics",
        "done",
    ]
    assert "\x1b" not in "".join(seen)


def test_a_reply_that_fails_is_an_event_too_and_exit_code_2(script):
    script.say(RuntimeError("the device is gone"))
    result = call("ask", "hello", "--events")
    assert result.exit_code == 2 and len(result.stderr.splitlines()) == 1
    last = json.loads(result.stdout.splitlines()[-1])
    assert last["event"] == "failed" and "the device is gone" in last["message"]


def test_json_and_events_exclude_each_other(agent):
    assert_refused(call("ask", "hello", "--json", "--events"), "--json", "--events")
    assert not agent.loads


def test_people_see_words_pictures_and_notices_but_no_traces(capsys):
    trace = RetTrace((0.5,), ("a",), ())
    agent = FakeAgent([" first", ImagesFound((hit(3, "a \x1b[31mcat"),)), " then", Notice("one\ntwo"), trace])
    hold(agent.dialogue(None), ["hello"], (), _Words())
    out, err = capsys.readouterr()
    assert out == "first\n  0.830  /pictures/00003.png  a cat\nthen\n"
    assert err == "fromage-lite: one two\n"


# --- pictures ---


def test_several_pictures_are_read_in_their_order(agent, script, picture, tmp_path, pictures):
    other = tmp_path / "other.png"
    pictures[1].save(other)
    for arguments in (["-i", picture, "-i", str(other)], ["-i", str(other), "-i", picture]):
        script.say("two.")
        assert call("ask", "what are these?", *arguments).exit_code == 0
    script.say("two.")
    assert call("ask", f"<image:{picture}> <image:{other}> what are these?").exit_code == 0
    np.testing.assert_array_equal(script.logits[0], script.logits[2])
    assert not np.allclose(script.logits[0], script.logits[1])


def test_a_picture_from_the_standard_input(script, picture, cache):
    script.say("red.", "red.")
    data = Path(picture).read_bytes()
    assert call("ask", "what is it?", "-i", picture).exit_code == 0
    result = call("ask", "what is it?", "-i", "-", stdin=data)
    assert result.exit_code == 0 and result.stdout == "red.\n"
    np.testing.assert_array_equal(script.logits[0], script.logits[1])
    script.say("red.")
    assert call("ask", "-i", "-", stdin=data).exit_code == 0, "a picture alone is a message"


@pytest.mark.parametrize("arguments", [["ask", "-", "-i", "-"], ["ask", "a", "-i", "-", "-i", "-"]])
def test_the_standard_input_is_one_thing(agent, picture, cache, arguments):
    assert_refused(call(*arguments, stdin=Path(picture).read_bytes()), "once")
    assert not agent.loads


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_a_standard_input_that_is_no_picture_is_refused(agent, cache, data):
    assert_refused(call("ask", "what is it?", "-i", "-", stdin=data))
    assert not agent.loads and not list(cache.rglob("pasted*"))


# --- dialogues in files ---


def test_a_dialogue_goes_on_from_its_file(agent, script, tmp_path):
    file = tmp_path / "dialogue.json"
    script.say("a cat.[RET]", "a dog.[RET]")
    assert call("ask", "show me a cat.", "--dialogue", str(file)).exit_code == 0
    result = call("ask", "and a dog?", "--dialogue", str(file), "--json")
    assert json.loads(result.stdout)["images"][0]["id"] == 1, "the picture shown before is not shown again"
    assert_reads(script, 1, "Q: show me a cat.\nA: a cat.[RET]\nQ: and a dog?\nA:")
    session = read_session(file)
    assert [turn.as_turn.text for turn in session.turns] == ["a cat.", "a dog."]
    assert session.info.title == "show me a cat." and session.turns[0].statistics is not None


def test_the_file_is_written_after_every_reply(script, tmp_path):
    file = tmp_path / "dialogue.json"
    script.say("one.", RuntimeError("the device is gone"))
    assert call("ask", "first", "second", "--dialogue", str(file)).exit_code == 2
    assert [turn.message for turn in read_session(file).turns] == [("first",)]
    assert [path.name for path in tmp_path.iterdir()] == ["dialogue.json"], "no half file is left"


def test_a_failing_reply_leaves_the_file_as_it_was(script, tmp_path):
    file = tmp_path / "dialogue.json"
    script.say("one.", RuntimeError("the device is gone"))
    call("ask", "first", "--dialogue", str(file))
    before = file.read_bytes()
    assert call("ask", "second", "--dialogue", str(file)).exit_code == 2
    assert file.read_bytes() == before


def test_pictures_of_a_dialogue_are_found_from_any_folder(script, tmp_path, picture, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script.say("red.", "yes.")
    call("ask", "what is it?", "-i", Path(picture).name, "--dialogue", "dialogue.json")
    monkeypatch.chdir("/")
    file = str(tmp_path / "dialogue.json")
    result = call("ask", "sure?", "--dialogue", file)
    assert result.exit_code == 0 and result.stderr == "", "no notice of a picture that is gone"
    assert read_session(Path(file)).turns[0].message[0].path == picture


def test_a_private_file_stays_private_and_a_link_a_link(script, tmp_path):
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    link.symlink_to(real)
    script.say("one.", "two.")
    call("ask", "first", "--dialogue", str(link))
    assert link.is_symlink() and real.stat().st_mode & 0o777 == 0o600
    real.chmod(0o640)
    call("ask", "second", "--dialogue", str(link))
    assert real.stat().st_mode & 0o777 == 0o640 and len(read_session(real).turns) == 2


def test_an_empty_file_is_a_new_dialogue(script, tmp_path):
    file = tmp_path / "made by mktemp"
    file.touch()
    script.say("one.")
    assert call("ask", "first", "--dialogue", str(file)).exit_code == 0
    assert len(read_session(file).turns) == 1


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"format": "fromage-lite session"}', b"\xff\xfe", b"[" * 100_000])
def test_another_file_is_refused_before_anything_loads_and_left_alone(agent, tmp_path, content):
    file = tmp_path / "letter \x1b[31m.txt"
    file.write_bytes(content)
    result = call("ask", "hello", "--dialogue", str(file))
    assert_refused(result, "letter")
    assert "\x1b" not in result.stderr and not agent.loads
    assert file.read_bytes() == content


def test_a_dialogue_in_use_is_refused_and_says_by_whom(agent, script, tmp_path, monkeypatch):
    monkeypatch.setattr("tui.sessions.dialogue_file.WAIT_SECONDS", 0.05)
    file, link = tmp_path / "dialogue.json", tmp_path / "link.json"
    link.symlink_to(file)
    with DialogueFile.open(file):
        for name in (file, link, tmp_path / "." / "dialogue.json"):
            result = call("ask", "first", "--dialogue", str(name))
            assert_refused(result, "is in use by process", str(os.getpid()))
        assert not agent.loads
    script.say("one.")
    assert call("ask", "first", "--dialogue", str(file)).exit_code == 0
    assert len(read_session(file).turns) == 1


def test_a_command_that_fails_lets_go_of_the_file(script, tmp_path):
    file = tmp_path / "dialogue.json"
    script.say(RuntimeError("the device is gone"), "one.")
    failed = call("ask", "first", "--dialogue", str(file))
    file.write_text("no dialogue")
    refused = call("ask", "first", "--dialogue", str(file))
    assert (failed.exit_code, refused.exit_code) == (2, 2)
    file.unlink()
    assert call("ask", "first", "--dialogue", str(file)).exit_code == 0


KILLED = """
import sys, time
from pathlib import Path
from tui.sessions.dialogue_file import DialogueFile
with DialogueFile.open(Path(sys.argv[1])):
    print("open", flush=True)
    time.sleep(60)
"""


def test_a_killed_command_holds_no_file(script, tmp_path, monkeypatch):
    monkeypatch.setattr("tui.sessions.dialogue_file.WAIT_SECONDS", 0.05)
    file = tmp_path / "dialogue.json"
    command = [sys.executable, "-c", KILLED, str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
    try:
        assert process.stdout.readline() == "open\n"
        assert_refused(call("ask", "first", "--dialogue", str(file)), f"in use by process {process.pid}.")
    finally:
        process.kill()
        process.communicate()
    script.say("one.")
    assert call("ask", "first", "--dialogue", str(file)).exit_code == 0


@pytest.mark.parametrize("change", [lambda file: file.write_text("another"), lambda file: file.unlink()])
def test_a_file_that_another_program_changes_meanwhile_is_not_overwritten(script, tmp_path, change):
    file = tmp_path / "dialogue.json"
    script.say("one.")
    call("ask", "first", "--dialogue", str(file))

    with DialogueFile.open(file) as opened, pytest.raises(SessionError, match="Another program has changed"):
        dialogue = FakeAgent([" two"]).dialogue(None)
        list(dialogue.reply(("second",)))
        change(file)
        opened.add(dialogue)
    assert not file.exists() or file.read_text() == "another"


def test_a_dialogue_with_a_damaged_turn_is_left_alone(agent, script, tmp_path):
    file = tmp_path / "dialogue.json"
    script.say("one.", "two.")
    call("ask", "first", "second", "--dialogue", str(file))
    data = json.loads(file.read_text())
    data["turns"][0]["reply"] = 5
    file.write_text(json.dumps(data))
    before = file.read_bytes()
    agent.loads.clear()
    assert_refused(call("ask", "third", "--dialogue", str(file)), "the reply of turn 1 is no list", "left as it is")
    assert file.read_bytes() == before and not agent.loads


def test_without_a_place_for_the_lock_a_dialogue_still_goes_on(script, tmp_path, cache):
    cache.rmdir()
    cache.write_text("a file where the cache would be")
    file = tmp_path / "dialogue.json"
    script.say("one.")
    assert call("ask", "first", "--dialogue", str(file)).exit_code == 0
    assert len(read_session(file).turns) == 1


def test_places_where_no_file_can_be_are_refused(agent, tmp_path):
    assert_refused(call("ask", "hello", "--dialogue", str(tmp_path / "no folder" / "d.json")), "no folder")
    assert_refused(call("ask", "hello", "--dialogue", str(tmp_path)), "no regular file")
    assert_refused(call("ask", "hello", "--dialogue", "x" * 5000))
    os.mkfifo(tmp_path / "pipe")
    assert_refused(call("ask", "hello", "--dialogue", str(tmp_path / "pipe")), "no regular file")
    assert not agent.loads


# --- the model follows the pictures ---


@pytest.fixture
def both_shipped(tmp_path, monkeypatch):
    """Two shipped models; upright pictures count as photographs. (photograph, scene)"""
    for name in ("photos", "playground"):
        (tmp_path / "shipped" / name).mkdir(parents=True)
    monkeypatch.setattr("fromage_lite.config.shipped_dir", lambda name: tmp_path / "shipped" / name)
    monkeypatch.setattr("fromage_lite.playground.world.recognition.is_scene", lambda image: image.height <= image.width)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    paths = [tmp_path / "photograph.png", tmp_path / "scene.png"]
    for path, size in zip(paths, [(20, 40), (40, 20)], strict=True):
        Image.new("RGB", size).save(path)
    return paths


def test_the_pictures_of_a_question_choose_the_model(agent, both_shipped):
    photograph, scene = map(str, both_shipped)
    result = call("ask", "what is this?", "--image", scene)
    assert agent.loads[-1].model == "playground"
    assert result.stderr == "fromage-lite: The picture is a scene of the playground: the model playground answers.\n"
    for arguments in (("what is this?", "--image", photograph), (f"<image:{photograph}> what is this?",), ("hello",)):
        result = call("ask", *arguments)
        assert agent.loads[-1].model is None and result.stderr == "", "photos is the default"
    call("ask", f"<image:{photograph}> or <image:{scene}>?")
    assert agent.loads[-1].model is None


def test_a_named_model_or_index_stays_and_so_it_does_if_the_config_file_says_so(agent, both_shipped, tmp_path):
    photograph, scene = map(str, both_shipped)
    would = "fromage-lite: The picture is a photograph: the model photos would fit better than playground.\n"
    assert call("ask", "what is this?", "-i", photograph, "--model", "playground").stderr == would
    assert agent.loads[-1].model == "playground"
    assert call("ask", "what is this?", "-i", photograph, "--model", "facebook/opt-125m").stderr == ""
    assert "would fit better than photos" in call("ask", "what?", "-i", scene, "--index", str(tmp_path)).stderr
    assert agent.loads[-1].model is None
    config = tmp_path / "config" / "fromage-lite" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("follow_pictures = false\n")
    assert "would fit better than photos" in call("ask", "what is this?", "-i", scene).stderr
    assert agent.loads[-1].model is None
