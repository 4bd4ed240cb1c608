"""The chat in a real browser, as a user has it: one server, two visitors, a picture, Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 200  # seconds until a test gives up; no test waits as long as it goes well
MAGENTA = (255, 0, 255)


@pytest.fixture
def browser():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"there is no browser: none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as driver:
        # The sandbox needs rights that a container, or root, doesn't have; the page is our own.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def server(tmp_path):
    """`fromage-lite serve` with the playground's model and no index, in a process group of its own."""
    homes = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CONFIG", "DATA", "STATE")}
    command = [sys.executable, "-m", "tui", "serve", "--port", "0", "--index", "none", "--device", "cpu"]
    with (
        tempfile.TemporaryDirectory(prefix="fl-") as folder,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **homes, "HF_HUB_OFFLINE": "1", "TMPDIR": folder},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


class Visitor:
    """A page, and all that its terminal was sent."""

    def __init__(self, browser, address: str) -> None:
        self.page = browser.new_page(viewport={"width": 900, "height": 600})
        self.page.set_default_timeout(1000 * PATIENCE)
        self.received: list[bytes] = []
        self.trouble: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._receive))
        self.page.on("pageerror", lambda error: self.trouble.append(str(error)))
        self.page.on("console", lambda m: self.trouble.append(m.text) if m.type == "error" else None)
        self.page.on("request", lambda r: self.elsewhere.append(r.url) if not r.url.startswith(address) else None)
        self.page.goto(address)
        self.until(lambda: "ready" in self.text)

    def _receive(self, frame: bytes | str) -> None:
        if isinstance(frame, bytes):
            self.received.append(frame)

    @property
    def text(self) -> str:
        """What was written on the screen so far, one after the other."""
        stream = b"".join(self.received).decode("utf-8", "replace")
        return re.sub(r"\x1b\[[0-9;?<>=$]*[A-Za-z]|\x1b.", "", stream)

    def until(self, condition) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.text[-2000:]
            self.page.wait_for_timeout(20)  # lets the page work

    def say(self, text: str) -> None:
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def screenshot(self, path: Path) -> Image.Image:
        self.page.screenshot(path=path)
        return Image.open(path).convert("RGB")


def count(image: Image.Image, colour: tuple[int, int, int]) -> int:
    return sum(n for n, found in image.getcolors(image.width * image.height) if found == colour)


def test_two_visitors_chat_with_one_model_and_ctrl_c_leaves_nothing_behind(browser, server, tmp_path):
    address = re.search(r"http://localhost:\d+", server.stdout.readline())[0]
    picture = tmp_path / "magenta.png"
    Image.new("RGB", (64, 48), MAGENTA).save(picture)

    first, second = Visitor(browser, address), Visitor(browser, address)
    first.say("what is a lion?")  # typed without a click: the terminal has the keyboard
    first.until(lambda: "a lion is an animal." in first.text)
    second.say("what is a banana?")
    second.until(lambda: "a banana is a fruit." in second.text)
    assert "lion" not in second.text and "banana" not in first.text
    assert count(first.screenshot(tmp_path / "words.png"), MAGENTA) == 0
    first.say(f"/image {picture}")
    first.until(lambda: "[Image #1] magenta.png" in first.text)
    first.say("what is this?")
    first.until(lambda: count(first.screenshot(tmp_path / "picture.png"), MAGENTA) > 5_000)
    assert not first.trouble and not second.trouble
    assert not first.elsewhere, "the page asks nobody else for anything"

    second.page.close()
    os.killpg(server.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    first.page.wait_for_selector("body.-closed", state="attached")
    output, errors = server.communicate(timeout=PATIENCE)
    assert (server.returncode, output, errors) == (0, "", "")
    with pytest.raises(ProcessLookupError):
        os.killpg(server.pid, 0)
    assert not (tmp_path / "STATE" / "fromage-lite" / "serve.log").read_text()


def test_a_server_that_is_killed_takes_its_visitors_along(browser, server):
    visitor = Visitor(browser, re.search(r"http://localhost:\d+", server.stdout.readline())[0])
    server.kill()
    server.wait()
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            os.killpg(server.pid, 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < deadline, "a visitor's process lives on"
        visitor.page.wait_for_timeout(20)
    visitor.page.wait_for_selector("body.-closed", state="attached")
