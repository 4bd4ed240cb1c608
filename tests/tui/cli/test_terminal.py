"""One whole session with the shipped models in a real terminal: tmux types the keys and shows the screen."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fromage_lite.config import playground_dir
from tests.tui.fake_agent import picture_bytes

ROOT = Path(__file__).parents[3]
PATIENCE = 240  # seconds until the test gives up; it never waits as long as it goes well

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
    pytest.mark.skipif(not (playground_dir() / "lm").is_dir(), reason="the shipped models are not there"),
]


class Tmux:
    """A tmux server of its own with one window."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._starts = folder, 0
        self._environment = {
            **{name: value for name, value in os.environ.items() if name not in ("TMUX", "COLORTERM", "COLORFGBG")},
            **{f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA", "STATE")},
            "PYTHONPATH": str(ROOT),
            "LC_ALL": "C.UTF-8",
            "FROMAGE_IMAGES": "auto",
        }

    def _run(self, *arguments: str) -> str:
        # A socket for each start: a server that was told to end may still take the next one's first command.
        command = ["tmux", "-S", str(self._folder / f"tmux{self._starts}"), "-f", "/dev/null", *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=PATIENCE)
        return done.stdout

    def start(self, command: str, columns: int, rows: int, folder: Path) -> None:
        self._starts += 1
        self._run("new-session", "-d", "-x", str(columns), "-y", str(rows), "-c", str(folder), command)
        self._run("set-option", "-g", "remain-on-exit", "on")

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def type(self, text: str) -> None:
        self._run("send-keys", "-l", text)

    def paste(self, text: str) -> None:
        """As a terminal does when a file is dropped onto it."""
        self._run("set-buffer", text)
        self._run("paste-buffer", "-p")

    def resize(self, columns: int, rows: int) -> None:
        self._run("resize-window", "-x", str(columns), "-y", str(rows))

    @property
    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def until(self, *words: str, without: str = "") -> str:
        """The screen once it shows all of these."""
        deadline, pause = time.monotonic() + PATIENCE, threading.Event()
        while not all(word in (screen := self.screen) for word in words) or (without and without in screen):
            assert time.monotonic() < deadline, f"{words} not on the screen:\n{screen}"
            pause.wait(0.05)
        return screen

    def close(self) -> None:
        self._run("kill-server")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Tmux]:
    terminal = Tmux(tmp_path)
    yield terminal
    terminal.close()


def test_a_whole_session_in_tmux(terminal: Tmux, tmp_path: Path) -> None:
    (tmp_path / "my cat.png").write_bytes(picture_bytes("goldenrod", (64, 48)))
    chat = f"{shlex.quote(sys.executable)} -m tui --model playground"

    terminal.start(f"{chat}; echo left with $?; exec cat", 100, 40, tmp_path)
    terminal.until("Say something", "you can type already")
    terminal.type("show me a cat on the beach")  # while the model loads
    terminal.until("│ show me a cat on the beach")
    terminal.press("Enter")
    screen = terminal.until("here you are", "cat on the beach.", "match 0.", "next best", "● ready")
    assert "▀▀▀▀▀▀" in screen and "tok/s" in screen and "Traceback" not in screen

    terminal.type("and in the snow?")
    terminal.press("Enter")
    terminal.until("and in the snow?", "in the snow.", "● ready")
    terminal.press("Tab")
    terminal.until("Enter view · a attach")
    terminal.press("Enter")
    terminal.until("1 of 9", "←→ next")
    terminal.press("Right")
    terminal.until("2 of 9")
    terminal.press("Escape")
    terminal.until("Enter view · a attach", without="2 of 9")
    terminal.press("Escape")
    terminal.until("F1 help")

    terminal.type("/why")
    terminal.press("Enter")
    terminal.until("Probability of [RET]", "peak", "turn 1:")
    terminal.paste(str(tmp_path / "my cat.png"))
    terminal.until("[Image #1] my cat.png")
    terminal.type("what is in the picture?")
    terminal.press("Enter")
    terminal.until("what is in the picture?", "● ready", without="[Image #1]")

    for columns, rows in ((40, 20), (80, 24)):
        terminal.resize(columns, rows)
        terminal.until("● ready", "─" * (columns - 24))
    terminal.press("C-c")
    terminal.until("Ctrl+C again quits")
    terminal.press("C-c")
    screen = terminal.until("left with 0")
    assert "Traceback" not in screen and "Warning" not in screen

    terminal.close()
    terminal.start(f"{chat} --continue; echo left with $?; exec cat", 80, 24, tmp_path)
    terminal.until("what is in the picture?", "● ready")
    terminal.press("C-Home")
    terminal.until("show me a cat on the beach", "here you are")
    terminal.press("C-l")
    terminal.until("Conversations", "3 turns")
    terminal.press("Escape")
    terminal.until("● ready", without="Conversations")
    terminal.press("C-q")
    terminal.until("left with 0")
