"""`doctor`: what it tells of the user's own files and of the terminal. The model and the index: see test_cli."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fromage_lite.chat.turns import Turn
from fromage_lite.doctor import Check
from tests.tui.command_line import call
from tui.sessions.records import SavedTurn
from tui.sessions.store import SessionStore


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """Folders of the user, and a model that is looked at elsewhere."""
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setattr("tui.cli.doctor.examine", lambda *_: iter([Check("model", "fine \x1b[31m")]))
    return tmp_path


def lines_of(result) -> dict[str, str]:
    """The lines by what they are about, with the fault that follows."""
    found: dict[str, str] = {}
    for line in result.stdout.splitlines()[:-1]:
        if line.startswith(("ok ", "BAD")):
            name = line[5:].split("  ")[0]
            found[name] = line
        else:
            found[name] += line
    return found


def test_every_path_is_told_and_a_new_user_has_nothing_wrong(home):
    result = call("doctor")
    lines = lines_of(result)
    assert result.exit_code == 0 and result.stdout.endswith("No problems found.\n")
    for name, path in {
        "config file": home / "config" / "fromage-lite" / "config.toml",
        "conversations": home / "data" / "fromage-lite" / "sessions.db",
        "state folder": home / "state" / "fromage-lite",
        "cache folder": home / "cache" / "fromage-lite",
    }.items():
        assert str(path) in lines[name]
    assert not list(home.iterdir()), "looking makes nothing"
    assert "\x1b" not in result.stdout


def test_conversations_are_counted(home):
    store = SessionStore.open(home / "data" / "fromage-lite" / "sessions.db")
    for text in ("one", "two"):
        store.add_turn(store.create(), SavedTurn.from_turn(Turn((text,), ("yes",), "stop")))
    store.close()
    assert "2 of them" in lines_of(call("doctor"))["conversations"]


def test_damaged_records_are_counted_and_named(home):
    store = SessionStore.open(home / "data" / "fromage-lite" / "sessions.db")
    for text in ("one", "two", "three"):
        store.add_turn(store.create(), SavedTurn.from_turn(Turn((text,), ("yes",), "stop")))
    store.connection.execute("UPDATE turns SET message = '{' WHERE id = 2")
    store.connection.execute("UPDATE sessions SET updated = 'x' WHERE id = 3")
    store.close()
    result = call("doctor")
    line = lines_of(result)["conversations"]
    assert result.exit_code == 1 and line.startswith("BAD") and "3 of them" in line
    assert "can't be read" in line and "2, first conversation 3 (updated)" in line


def test_what_is_wrong_with_the_users_files_is_named(home):
    config, sessions = home / "config" / "fromage-lite" / "config.toml", home / "data" / "fromage-lite" / "sessions.db"
    for path, content in ((config, "[settings]\ntop_p = 9\n"), (sessions, "no database\n" * 100)):
        path.parent.mkdir(parents=True)
        path.write_text(content)
    (home / "state").write_text("a file where a folder should be")
    result = call("doctor")
    lines = lines_of(result)
    assert result.exit_code == 1 and result.stdout.endswith("3 problems found.\n")
    assert {name for name, line in lines.items() if line.startswith("BAD")} == {
        "config file",
        "conversations",
        "state folder",
    }
    assert "top_p must be" in lines["config file"] and "a folder should be" in lines["state folder"]


def test_a_way_to_draw_that_there_is_not(monkeypatch):
    monkeypatch.setenv("FROMAGE_IMAGES", "ascii")
    result = call("doctor")
    assert result.exit_code == 1 and "'ascii' is no way to draw" in lines_of(result)["pictures are drawn as"]


def test_the_findings_as_json():
    result = call("doctor", "--json")
    checks = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 0 and all(set(check) == {"name", "value", "ok", "fault"} for check in checks)
    assert {"terminal", "config file", "model"} <= {check["name"] for check in checks}
