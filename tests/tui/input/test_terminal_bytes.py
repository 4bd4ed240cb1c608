"""Bytes that are no UTF-8, through each of Textual's drivers, in a process with a pseudo-terminal of its own."""

from __future__ import annotations

import json
import os
import pty
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# An app that writes down what is typed, and ends at "q"; it says by a line that it can be typed to.
APP = """
import sys
from textual import events
from tui.faults import LastingApp

class Typed(LastingApp):
    typed = ""
    def on_ready(self):
        sys.stdout.write("READY"); sys.stdout.flush()
        sys.__stderr__.write("READY"); sys.__stderr__.flush()
    def on_key(self, event: events.Key):
        if event.character == "q":
            open(sys.argv[1], "w", encoding="utf-8").write(self.typed)
            self.exit()
        self.typed += event.character or ""

app = Typed()
app.run(inline=sys.argv[2] == "inline")
sys.exit(app.return_code or 0)
"""
CRASHING = APP.replace("app.run", "app.call_later(app.panic, 'the thread has failed'); app.run")


def command(program: str, out: Path, how: str) -> list[str]:
    return [sys.executable, "-c", program, str(out), how]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **more}


def in_terminal(program: str, out: Path, how: str, typed: bytes) -> int:
    """The exit code of a program in a pseudo-terminal in which these bytes are typed."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command(program, out, how), stdin=slave, stdout=slave, stderr=slave, env=environment(), start_new_session=True
    )
    os.close(slave)
    shown = b""
    try:
        while b"READY" not in shown:
            shown += os.read(master, 65536)
        os.write(master, typed)
        while True:
            os.read(master, 65536)
    except OSError:  # the other side has ended
        return process.wait(60)
    finally:
        os.close(master)


@pytest.mark.parametrize("how", ["full", "inline"])
@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (b"Gr\xe4 x", "Gr\ufffd x"),  # Latin-1
        (b"a\xff\xfeb", "a\ufffd\ufffdb"),  # in no UTF-8 at all
        (b"a\xc3(", "a\ufffd("),  # begun, and not gone on with
        ("aä〽b".encode(), "aä〽b"),
    ],
)
def test_a_terminal(tmp_path: Path, how: str, typed: bytes, meant: str) -> None:
    out = tmp_path / "typed"
    assert in_terminal(APP, out, how, typed + b"q") == 0
    assert out.read_text("utf-8") == meant


@pytest.mark.parametrize("how", ["full", "inline"])
def test_an_app_whose_terminal_is_gone_ends_though_no_signal_says_so(tmp_path: Path, how: str) -> None:
    master, slave = pty.openpty()
    ignoring = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command(APP, tmp_path / "typed", how)]
    process = subprocess.Popen(
        ignoring, stdin=slave, stdout=slave, stderr=slave, env=environment(), start_new_session=True
    )
    os.close(slave)
    shown = b""
    while b"READY" not in shown:
        shown += os.read(master, 65536)
    os.close(master)
    try:
        assert process.wait(60) == 129
    finally:
        process.kill()


def test_a_browser(tmp_path: Path) -> None:
    out = tmp_path / "typed"
    process = subprocess.Popen(
        command(APP, out, "full"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(TEXTUAL_DRIVER="textual.drivers.web_driver:WebDriver"),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    size = json.dumps({"type": "resize", "width": 80, "height": 24}).encode()
    for kind, data in ((b"M", size), (b"D", b"Gr\xe4 x"), (b"D", b"q")):
        process.stdin.write(kind + struct.pack(">I", len(data)) + data)
        process.stdin.flush()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.read_text("utf-8") == "Gr\ufffd x"


def test_a_crash_is_no_success(tmp_path: Path) -> None:
    """A driver's thread that fails calls `panic`, and nothing else."""
    assert in_terminal(CRASHING, tmp_path / "typed", "full", b"") == 1
