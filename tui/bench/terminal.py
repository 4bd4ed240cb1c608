"""The real app in a pseudo-terminal: how long until it is drawn, and until a key shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

DRAWN = "Say something"  # in the composer: all is there
READY = "Enter sends"
REPLYING = "Esc stops"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
KEYS = "abcdefghijklmnopqrstuvwxyz"
BETWEEN_KEYS = 0.15  # seconds, as a fast typist
MOST_KEYS = 400
REPLIES = 5
PATIENCE = 300.0
DEVICE_ATTRIBUTES = (b"\x1b[c", b"\x1b[?62;22c")  # the question that every terminal answers; others it leaves open


@dataclass(frozen=True)
class Latencies:
    """Seconds from a key to its letter on the screen."""

    first: float
    median: float
    longest: float
    keys: int


class Terminal:
    """A program in a pseudo-terminal of its own. What it writes is read, and forgotten but for the last of it."""

    def __init__(self, command: list[str], environment: dict[str, str], size: tuple[int, int] = (100, 40)) -> None:
        self._master, slave = pty.openpty()
        columns, rows = size
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, columns * 10, rows * 20))
        self.started = time.perf_counter()
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        self._text = ""

    def read(self, seconds: float) -> bool:
        """Takes what comes within this time; whether anything came."""
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the program has ended
            return False
        if DEVICE_ATTRIBUTES[0] in data:
            os.write(self._master, DEVICE_ATTRIBUTES[1])
        self._text = COLOURS.sub("", self._text + data.decode("utf-8", "replace"))[-200_000:]
        return True

    def until(self, words: str) -> float:
        """Waits for these words; the time at which they had come, in `perf_counter`'s seconds."""
        deadline = time.perf_counter() + PATIENCE
        while words not in self._text:
            self.read(0.05)
            if time.perf_counter() > deadline or self._process.poll() is not None:
                raise TimeoutError(f"'{words}' never came on the screen.")
        return time.perf_counter()

    def forget(self) -> None:
        """What was written until now doesn't count any more."""
        while self.read(0):
            pass
        self._text = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def press(self, key: str) -> float:
        """Seconds until this letter is on the screen."""
        self.forget()
        sent = time.perf_counter()
        self.type(key)
        return self.until(key) - sent

    def has(self, words: str) -> bool:
        return words in self._text

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._master)


def environment(folder: Path) -> dict[str, str]:
    """That of a user who has nothing yet; pictures and index of the playground stay where they are."""
    own = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "STATE")}
    return {**os.environ, **own, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}


def measure_start(repeats: int) -> list[float]:
    """Seconds from the command to the drawn screen, each in a new process."""
    seconds = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            terminal = Terminal([sys.executable, "-m", "tui"], environment(Path(folder)))
            try:
                seconds.append(terminal.until(DRAWN) - terminal.started)
            finally:
                terminal.close()
    return seconds


def measure_keys() -> tuple[Latencies, Latencies, float]:
    """Keys typed while the model loads, and while it replies; and the seconds from the command to the model."""
    with tempfile.TemporaryDirectory() as folder:
        # Replies that go on and on: at such a temperature their end is one unlikely word among many.
        command = [
            sys.executable,
            "-m",
            "tui",
            "chat",
            "--ret",
            "off",
            "--temperature",
            "20",
            "--max-new-tokens",
            "400",
        ]
        terminal = Terminal(command, environment(Path(folder)))
        try:
            terminal.until(DRAWN)
            loading = _type_until(terminal, READY)
            loaded = time.perf_counter() - terminal.started
            replying: list[float] = []
            for _ in range(REPLIES):
                terminal.type("\x15")  # empties the line
                terminal.forget()
                terminal.type("tell me a story\r")
                terminal.until(REPLYING)
                replying += _type_until(terminal, READY)
            return _latencies(loading), _latencies(replying), loaded
        finally:
            terminal.close()


def _type_until(terminal: Terminal, end: str) -> list[float]:
    """Types letter after letter until the screen shows how it ended."""
    latencies: list[float] = []
    seen = False
    while not seen and len(latencies) < MOST_KEYS:
        letter = KEYS[len(latencies) % len(KEYS)].upper()  # no capital letter is drawn by anything else there
        terminal.forget()
        sent = time.perf_counter()
        terminal.type(letter)
        deadline = sent + PATIENCE
        while not terminal.has(letter) and time.perf_counter() < deadline:
            terminal.read(0.05)
        latencies.append(time.perf_counter() - sent)
        pause = time.perf_counter() + BETWEEN_KEYS
        while time.perf_counter() < pause:
            terminal.read(max(0.0, pause - time.perf_counter()))
        seen = terminal.has(end)
    return latencies


def _latencies(seconds: list[float]) -> Latencies:
    ordered = sorted(seconds)
    return Latencies(seconds[0], ordered[len(ordered) // 2], ordered[-1], len(ordered))
