"""An index that is built in another process, so that neither the screen nor typing waits for it. No widget here."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

import tui
from fromage_lite.errors import FromageError
from index.pictures.images import one_line

STOPPED = 130  # the command's exit code after Ctrl-C; what was embedded is kept
BATCH = 16  # pictures between two words of progress, and what a stop costs at most
POLITE = 10  # the process's nice value
LONGEST_LINE = 1 << 20
ERROR = "Error: "  # begins the command's last line where it fails
SINCE = 5  # pictures from which on a rate says something


@dataclass(frozen=True)
class Built:
    """What a build did: pictures in the index, how many of them are new or gone, files that couldn't be read."""

    pictures: int
    changed: int
    bad: int


@dataclass
class Progress:
    """How far a build is.

    Attributes:
        done, total: pictures; both 0 before the first is looked at.
        seconds_left: about how long it will take; None while that can't be said.
    """

    done: int = 0
    total: int = 0
    seconds_left: float | None = None


def build_command(pictures: Path | Sequence[Path], out: Path, model: str, device: str) -> list[str]:
    """The command that builds an index, or goes on with it."""
    sources = [pictures] if isinstance(pictures, Path) else pictures
    words = [*map(str, sources), "--out", str(out), "--model", model, "--device", device]
    words += ["--batch-size", str(BATCH), "--json"]
    # -P: a folder `tui` in the working directory must not be taken for the program.
    return [sys.executable, "-P", "-m", "tui", "index", *words]


class IndexBuild:
    """A build that is going on.

    Args:
        command: what builds it; it prints JSON objects, as `fromage-lite index --json` does.
        tell: called with the progress when it changes.
    """

    def __init__(self, command: Sequence[str], tell: Callable[[Progress], None]) -> None:
        self._command, self._tell = list(command), tell
        self._process: asyncio.subprocess.Process | None = None
        self._stopped = False
        self._built: Built | None = None
        self._first: tuple[int, float] | None = None  # pictures done, and when

    async def run(self) -> Built | None:
        """Builds; None if it was stopped before its end.

        Raises:
            FromageError: the build failed, in one sentence.
        """
        process = self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
            limit=LONGEST_LINE,
            start_new_session=True,  # the terminal's Ctrl-C and Ctrl-Z are the chat's
        )
        if self._stopped:  # before there was anything to stop
            self.stop()
        with suppress(psutil.Error):
            psutil.Process(process.pid).nice(POLITE)
        assert process.stdout is not None and process.stderr is not None
        try:
            errors, _ = await asyncio.gather(process.stderr.read(), self._read(process.stdout))
            code = await process.wait()
        except asyncio.CancelledError:  # the app ends
            self.end()
            await process.wait()
            raise
        if code == 0 and self._built is not None:
            return self._built
        if self._stopped or code == STOPPED:
            return None
        raise _failure(code, errors.decode(errors="replace"))

    def stop(self) -> None:
        """Stops it, at the cost of the batch at hand at most; the same build goes on there later."""
        number = signal.SIGTERM if self._stopped else signal.SIGINT  # one that doesn't listen is asked again
        self._stopped = True
        self._send(number)

    def end(self) -> None:
        """Ends it at once, as the app ends; it can be gone on with all the same."""
        self._stopped = True
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _read(self, output: asyncio.StreamReader) -> None:
        async for line in output:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if event.get("event") == "progress" and event.get("unit") == "picture":
                self._tell(self._progress(int(event["done"]), int(event["total"])))
            elif event.get("event") == "done":
                self._built = Built(int(event["pictures"]), int(event["changed"]), int(event["bad"]))

    def _progress(self, done: int, total: int) -> Progress:
        now = time.monotonic()
        if self._first is None:
            self._first = done, now
        before, since = self._first
        rate = (done - before) / (now - since) if now > since else 0.0
        return Progress(done, total, (total - done) / rate if rate > 0 and done - before >= SINCE else None)


def _environment() -> dict[str, str]:
    """Half of the processors at most, and none of them kept busy by waiting: somebody is typing."""
    places = [str(Path(tui.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = str(max(1, (os.cpu_count() or 1) // 2))
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(places),
        "OMP_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "passive",
    }


def _failure(code: int, errors: str) -> FromageError:
    lines = [line for line in errors.splitlines() if line.startswith(ERROR)]
    if lines:
        return FromageError(one_line(lines[-1].removeprefix(ERROR), 1000))
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return FromageError(f"The build of the index ended {how}.", "The same /index goes on where it stopped.")
