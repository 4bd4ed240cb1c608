"""Suspended by the shell and brought back, in a process with a pseudo-terminal of its own."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

PATIENCE = 60  # seconds until the test gives up; it never waits as long as it goes well
ROOT = Path(__file__).parents[2]
CHAT = """
from tests.tui.fake_agent import FakeAgent, loader
from tui.app import ChatApp
from tui.pictures.image_mode import ImageMode
ChatApp(loader(FakeAgent()), ImageMode.NONE).run()
"""


def read_until(terminal: int, *words: str) -> str:
    """What the terminal gets, once all these words are in it."""
    shown = b""
    while not all(word.encode() in shown for word in words):
        assert select.select([terminal], [], [], PATIENCE)[0], (
            f"not drawn: {[w for w in words if w.encode() not in shown]}"
        )
        shown += os.read(terminal, 65536)
    return shown.decode(errors="replace")


@pytest.mark.skipif(os.name != "posix", reason="there is no Ctrl+Z here")
def test_the_whole_screen_is_drawn_again_when_the_chat_comes_back() -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-c", CHAT], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
    )
    os.close(slave)
    try:
        read_until(master, "2,000 pictures", "F1 help", "Enter sends")
        os.write(master, b"\x1a")  # Ctrl+Z
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        os.set_blocking(master, False)
        try:
            while os.read(master, 65536):
                pass  # what was drawn before
        except BlockingIOError:
            os.set_blocking(master, True)
        process.send_signal(signal.SIGCONT)
        read_until(master, "It sees your pictures", "Say something", "2,000 pictures", "F1 help", "Enter sends")
        os.write(master, b"\x11")  # Ctrl+Q
        try:
            while os.read(master, 65536):
                pass
        except OSError:  # the other side has ended
            pass
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
