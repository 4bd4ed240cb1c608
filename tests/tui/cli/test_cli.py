"""The commands as a user types them: what they print, where, and how they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import tui.app
from fromage_lite.config import GenerationSettings, LoadOptions, default_model
from fromage_lite.errors import CheckpointError
from index.search.hits import Hit
from tests.fromage_lite.fakes import next_logits
from tests.tui.command_line import assert_refused, call

ROOT = Path(__file__).parents[3]


def test_ask_prints_the_reply_and_the_pictures_at_their_place(script):
    script.say("here you are.[RET] anything else?")
    result = call("ask", "show me a cat.")
    assert result.exit_code == 0
    assert result.stdout == "here you are.\n  0.900  /pictures/0.png  picture number 0\nanything else?\n"
    assert result.stderr == ""


def test_several_messages_are_one_dialogue(agent, script):
    script.say("a cat.[RET]", "a dog.[RET]")
    result = call("ask", "show me a cat.", "and a dog?", "--json")
    first, second = map(json.loads, result.stdout.splitlines())
    assert set(first) == {"text", "images", "notices", "stats"}
    assert first["text"] == "a cat." and second["text"] == "a dog."
    assert first["images"] == [{"id": 0, "path": "/pictures/0.png", "score": 0.9, "caption": "picture number 0"}]
    assert [image["id"] for image in second["images"]] == [1]
    assert second["stats"]["cached_tokens"] > 0 and second["stats"]["new_tokens"] > 0
    seen = np.isfinite(script.logits[1])
    expected = next_logits(agent.model, "Q: show me a cat.\nA: a cat.[RET]\nQ: and a dog?\nA:")
    np.testing.assert_allclose(script.logits[1][seen], expected[seen], rtol=1e-3, atol=1e-3)


def test_pictures_come_with_the_first_message(script, picture):
    script.say("red.", "yes.", "red.", "yes.")
    assert call("ask", "what is it?", "sure?", "--image", picture).exit_code == 0
    assert call("ask", f"<image:{picture}> what is it?", "sure?").exit_code == 0
    np.testing.assert_array_equal(script.logits[0], script.logits[2])
    np.testing.assert_array_equal(script.logits[1], script.logits[3])
    script.say("red.")
    assert call("ask", "-i", picture).exit_code == 0, "a picture alone is a message"


@pytest.mark.parametrize("arguments", [["ask"], ["ask", "-"]])
def test_a_message_from_the_standard_input(agent, script, arguments):
    script.say("fine.")
    assert call(*arguments, stdin="how are\nyou?\n").stdout == "fine.\n"
    seen = np.isfinite(script.logits[0])
    expected = next_logits(agent.model, "Q: how are you?\nA:")
    np.testing.assert_allclose(script.logits[0][seen], expected[seen], rtol=1e-3, atol=1e-3)


def test_the_standard_input_may_hold_any_bytes(script):
    script.say("fine.")
    assert call("ask", "-", stdin=b"\xff\xfe\x00 hello \x1b[2J").stdout == "fine.\n"


@pytest.mark.parametrize("arguments", [["ask", ""], ["ask", "hello", " "], ["ask"], ["ask", "-", "-"], ["search"]])
def test_an_empty_message_is_refused_before_anything_loads(agent, arguments):
    assert_refused(call(*arguments, stdin=""))
    assert not agent.loads


def test_a_message_of_100000_characters_is_refused(agent):
    assert_refused(call("ask", "-", stdin="a" * 100_000), "100,000", "too long")
    assert_refused(call("search", "-", stdin="a" * 100_000), "100,000", "too long")


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
@pytest.mark.parametrize("command", ["ask", "search"])
def test_bad_pictures_are_refused_before_anything_loads(agent, tmp_path, content, command):
    path = tmp_path / "picture.png"
    if content is not None:
        path.write_bytes(content)
    assert_refused(call(command, "hello", "--image", str(path)), "picture.png")
    assert not agent.loads


@pytest.mark.parametrize(
    "option",
    [["--temperature", "-1"], ["--top-p", "2"], ["--max-new-tokens", "0"], ["--ret-bias", "nan"], ["--seed", "-1"]],
)
def test_settings_that_cannot_work_are_refused_before_anything_loads(agent, option):
    assert_refused(call("ask", "hello", *option), option[0].strip("-").replace("-", "_").split("_")[0])
    assert not agent.loads


EVERY_SETTING = (
    "--max-new-tokens 9 --temperature 0.5 --top-p 0.9 --ret-mode always --ret-bias -1 --ret-scale-factor 1.3 "
    "--min-word-tokens 2 --images-per-ret 3 --max-images 4 --score-threshold 0.1 --spelling off --seed 7"
)
AS_GIVEN = GenerationSettings(9, 0.5, 0.9, "always", -1.0, 1.3, 2, 3, 4, 0.1, "off", 7)


def test_every_setting_is_an_option_of_every_command_that_replies(chats, agent, monkeypatch):
    held = []
    monkeypatch.setattr("tui.cli.ask.hold", lambda dialogue, *_: held.append(dialogue.settings))
    assert call("chat", *EVERY_SETTING.split()).exit_code == 0
    assert call("ask", "hello", *EVERY_SETTING.split()).exit_code == 0
    (_, chat) = chats[0]
    assert chat["settings"] == held[0] == AS_GIVEN
    assert chat["given"] == {field.name for field in fields(GenerationSettings)}
    served = []
    monkeypatch.setattr("tui.serving.serve.bind", lambda host, port: [])
    monkeypatch.setattr("tui.serving.serve.Service.run", lambda service: served.append(service.options))
    assert call("serve", *EVERY_SETTING.split()).exit_code == 0
    assert call("serve", "--seed", "3", "--no-save", "--model", "/models/other").exit_code == 0
    assert served == [
        {"settings": AS_GIVEN.to_dict(), "save": True, "model": default_model()},
        {"settings": {"seed": 3}, "save": False, "model": "/models/other"},
    ]


def test_help_says_what_the_fields_say():
    lines = call("ask", "--help").stdout
    words = " ".join(lines.replace("│", " ").split())
    assert "Sample only from the likeliest tokens" in words and "[default: 64]" in words
    assert "Quantise the language model as it loads" in words


def test_a_model_that_is_missing_is_one_sentence(monkeypatch, tmp_path):
    assert_refused(call("ask", "hello", "--model", str(tmp_path / "nothing")), "nothing")

    def load(*_, **__):
        raise CheckpointError("First line.\nSecond line.", "A hint.")

    monkeypatch.setattr("fromage_lite.start.load_agent", load)
    assert_refused(call("ask", "hello"), "First line. Second line. A hint.")


def test_an_error_that_nobody_foresaw_is_one_sentence_too(monkeypatch):
    def load(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("fromage_lite.start.load_agent", load)
    assert_refused(call("ask", "hello"), "ZeroDivisionError", "division by zero")


def test_what_was_answered_before_an_error_stays_printed(script):
    script.say("fine.", RuntimeError("the device is gone"))
    result = call("ask", "hello", "and now?")
    assert result.exit_code == 2
    assert result.stdout.startswith("fine.\n")
    assert "the device is gone" in result.stderr and len(result.stderr.splitlines()) == 1


def test_ctrl_c_ends_with_130_and_one_line(script):
    script.say(KeyboardInterrupt())
    result = call("ask", "hello")
    assert result.exit_code == 130
    assert result.stderr == "Interrupted.\n"


def test_notices_go_to_stderr(agent, script):
    agent.engine.index = None
    script.say("fine.")
    result = call("ask", "hello", "--ret", "always")
    assert result.stdout == "fine.\n" and "no index" in result.stderr


def test_ask_hands_its_options_on(agent, script):
    script.say("a a a a a[RET]")
    options = "--model m --index i --device cpu --dtype fp32 --quantize int8".split()
    result = call("ask", "count", "--max-new-tokens", "3", "--ret", "off", *options)
    assert result.stdout == "a a a\n"
    assert agent.loads == [LoadOptions("m", "i", "cpu", "fp32", "int8")]


def test_search_prints_ranked_hits_with_scores(agent):
    result = call("search", "a cat on the beach", "--top", "2")
    assert result.stdout.splitlines() == [
        "  1  0.900  /pictures/0.png  picture number 0",
        "  2  0.800  /pictures/1.png  picture number 1",
    ]
    images = json.loads(call("search", "a cat", "--json").stdout)["images"]
    assert [image["id"] for image in images] == [0, 1, 2, 3, 4]
    assert images[1] == {"id": 1, "path": "/pictures/1.png", "score": 0.8, "caption": "picture number 1"}


def test_search_takes_pictures(agent, picture):
    assert call("search", "--image", picture, "--top", "1").exit_code == 0
    assert call("search", "at night", "--image", picture, "--top", "1").exit_code == 0
    first, second = agent.index.queries
    assert not np.allclose(first, second)


def test_what_comes_from_data_cannot_steer_the_terminal(agent, script):
    agent.index.hits = [Hit(0, 0.5, "/pictures/\x1b]0;owned\x07 x.png", "a \x1b[31mred\u202e cat\nfake line")]
    for output in (call("search", "a cat").stdout, call("search", "a cat", "--json").stdout):
        assert len(output.splitlines()) == 1
        assert not any(mark in output for mark in "\x1b\x07\u202e")
    script.say("here.[RET]")
    output = call("ask", "a cat").stdout
    assert len(output.splitlines()) == 2 and "\x1b" not in output
    path = json.loads(call("search", "a cat", "--json").stdout)["images"][0]["path"]
    assert path == agent.index.hits[0].source, "programs get the exact path"


@pytest.fixture
def chats(monkeypatch):
    """The chats that were started."""
    started = []
    monkeypatch.setattr(tui.app, "run", lambda *args, **kwargs: started.append((args, kwargs)) or 0)
    return started


@pytest.mark.parametrize("arguments", [[], ["chat"]])
def test_the_chat_is_the_default(chats, arguments):
    assert call(*arguments).exit_code == 0
    (((loaded,), options),) = chats
    assert loaded == LoadOptions()
    assert options["settings"] == GenerationSettings()


def test_options_without_a_command_are_the_chats(chats):
    assert call("--model", "m", "--ret", "off", "--images", "none").exit_code == 0
    (((loaded,), options),) = chats
    assert loaded == LoadOptions("m") and options["images"] == "none" and options["settings"].ret_mode == "off"


def test_only_options_that_were_given_go_before_the_config_file(chats):
    assert call("chat", "--temperature", "0", "--ret", "auto").exit_code == 0
    assert call().exit_code == 0
    assert [options["given"] for _, options in chats] == [{"temperature", "ret_mode"}, set()]


def test_config_tells_the_file_and_what_is_wrong_with_it(tmp_path, monkeypatch):
    file = tmp_path / "config.toml"
    monkeypatch.setattr("tui.settings.paths.config_file", lambda: file)
    done = call("config")
    assert done.exit_code == 0 and str(file) in done.stdout and "temperature = 0.0" in done.stdout
    file.write_text("[settings]\ntemperature = 0.5\ntop_p = 9\n")
    done = call("config")
    assert done.exit_code == 1 and "temperature = 0.5" in done.stdout and "top_p must be" in done.stderr


def test_the_chat_needs_a_terminal():
    assert_refused(call("chat"), "terminal")


def test_version_and_help():
    assert call("--version").stdout.startswith("fromage-lite ")
    for arguments in (["--help"], ["-h"], ["ask", "-h"], ["search", "--help"], ["doctor", "--help"]):
        assert "Usage" in call(*arguments).stdout
    assert call("frobnicate").exit_code == 2


def test_doctor_finds_nothing_wrong_with_a_sound_model(tiny_checkpoint):
    result = call("doctor", "--model", str(tiny_checkpoint), "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "BAD" not in result.stdout
    for word in ("torch", "transformers", "faiss", "pictures are drawn as", "cpu, float32", "128 positions"):
        assert word in result.stdout


def test_doctor_names_what_is_wrong(tiny_checkpoint, tmp_path, monkeypatch):
    result = call("doctor", "--model", str(tiny_checkpoint), "--index", str(tmp_path / "no index"), "--device", "cpu")
    assert result.exit_code == 1
    assert "no index" in result.stdout and "1 problem found" in result.stdout
    result = call("doctor", "--model", str(tmp_path / "no model"))
    assert result.exit_code == 1 and "no model" in result.stdout


def test_doctor_finds_a_missing_playground_index_all_right(tiny_checkpoint, monkeypatch, tmp_path):
    monkeypatch.setattr("fromage_lite.doctor.shipped_name", lambda _: "playground")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    result = call("doctor", "--model", str(tiny_checkpoint), "--device", "cpu")
    assert result.exit_code == 0 and "first start" in result.stdout


@pytest.mark.slow
def test_the_real_command_prints_its_answer_and_nothing_else(tiny_checkpoint, picture):
    command = [sys.executable, "-m", "tui", "ask", "--model", str(tiny_checkpoint), "--device", "cpu", "--json"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [*command, "what is it?", "--image", picture], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0 and result.stderr == ""
    assert set(json.loads(result.stdout)) == {"text", "images", "notices", "stats"}
