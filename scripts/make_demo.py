"""Record a session of the real app in tmux: an animated GIF, an asciinema cast and a still, for the README.

python scripts/make_demo.py --out docs/images

It types what SESSION says, waits for what it says, and keeps every change of the screen with its own time; only pauses
longer than a second and a half are cut. Needs tmux and the font DejaVu Sans Mono.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.style import Style
from rich.text import Text

from fromage_lite.files import write_bytes

COLUMNS, ROWS = 92, 30
CELL = (8, 16)
FONT = "DejaVuSansMono.ttf"
Colour = tuple[int, ...]
INK: Colour = (237, 228, 211)
GROUND: Colour = (22, 19, 15)
LONGEST_PAUSE, LAST_PAUSE = 1.5, 4.0  # seconds
PATIENCE = 300.0

# (what to type, what to wait for, seconds to look at it)
SESSION: list[tuple[str, str, float]] = [
    ("", "2,400 pictures", 1.0),
    ("show me a cat on the beach\n", "match 0.", 2.5),
    ("and in the snow?\n", "in the snow.", 3.0),
    ("\t", "Enter view", 0.8),
    ("→", "1 of 8", 0.6),
    ("→", "2 of 8", 0.6),
    ("\n", "←→ next", 1.5),
    ("\x1b", "Enter view", 0.3),
    ("a", "[Image #1]", 0.8),
    ("what is in this picture?\n", "in this picture?", 3.5),
    ("/why\n", "Probability of [RET]", 2.5),
]
STILL = 5  # the step whose screen is kept as a picture of its own
KEYS = {"\n": "Enter", "\t": "Tab", "\x1b": "Escape", "→": "Right"}


@dataclass(frozen=True)
class Frame:
    """A screen, with colours as escape sequences, and how long it stood."""

    screen: str
    seconds: float


class Recorder:
    """A tmux server of its own whose one window is watched."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "tmux"
        self._seen: list[tuple[float, str]] = []
        own = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "STATE")}
        self._environment = {**os.environ, **own, "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
        self._tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS),
                   f"COLORTERM=truecolor {shlex.quote(sys.executable)} -m tui --images halfblock")  # fmt: skip

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        return done.stdout

    def look(self) -> str:
        """The screen now; kept if it has changed."""
        screen = self._tmux("capture-pane", "-p", "-e")
        if screen and (not self._seen or self._seen[-1][1] != screen):
            self._seen.append((time.monotonic(), screen))
        return screen

    def type(self, text: str) -> None:
        """Key by key, as a person does."""
        for character in text:
            if character in KEYS:
                self._tmux("send-keys", KEYS[character])
            else:
                self._tmux("send-keys", "-l", character)
            self.look()

    def until(self, words: str, seconds: float) -> None:
        """Watches until the screen has these words, then for so long (it never stands still: the cursor blinks)."""
        deadline, seen = time.monotonic() + PATIENCE, 0.0
        while not seen or time.monotonic() - seen < seconds:
            screen = Text.from_ansi(self.look()).plain
            seen = seen or (time.monotonic() if words in screen else 0.0)
            if not seen and time.monotonic() > deadline:
                raise TimeoutError(f"'{words}' never came:\n{screen}")

    def frames(self) -> list[Frame]:
        """Every screen with its time."""
        ends = [*(moment for moment, _ in self._seen[1:]), self._seen[-1][0] + LAST_PAUSE]
        return [
            Frame(screen, min(end - begin, LAST_PAUSE if place == len(ends) - 1 else LONGEST_PAUSE))
            for place, ((begin, screen), end) in enumerate(zip(self._seen, ends, strict=True))
        ]

    def close(self) -> None:
        self._tmux("kill-server")


def _colours(style: Style | None) -> tuple[Colour, Colour]:
    """Ink and ground."""
    ink, ground = INK, GROUND
    if style is not None and style.color is not None and not style.color.is_default:
        ink = tuple(style.color.get_truecolor())
    if style is not None and style.bgcolor is not None and not style.bgcolor.is_default:
        ground = tuple(style.bgcolor.get_truecolor())
    return (ground, ink) if style is not None and style.reverse else (ink, ground)


def draw(screen: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """A screen as a picture; half blocks as rectangles, so that no font can leave gaps."""
    image = Image.new("RGB", (COLUMNS * CELL[0], ROWS * CELL[1]), GROUND)
    pen = ImageDraw.Draw(image)
    console = Console(width=COLUMNS, color_system="truecolor", force_terminal=True, file=io.StringIO())
    for row, line in enumerate(screen.split("\n")[:ROWS]):
        column = 0
        for segment in Text.from_ansi(line).render(console):
            ink, ground = _colours(segment.style)
            width = segment.cell_length
            if not width:
                continue
            left, top = column * CELL[0], row * CELL[1]
            right, bottom, middle = left + width * CELL[0] - 1, top + CELL[1] - 1, top + CELL[1] // 2
            pen.rectangle((left, top, right, bottom), fill=ground)
            if set(segment.text) == {"▀"}:
                pen.rectangle((left, top, right, middle - 1), fill=ink)
            elif set(segment.text) == {"▄"}:
                pen.rectangle((left, middle, right, bottom), fill=ink)
            elif segment.text.strip():
                pen.text((left, top + 1), segment.text, font=font, fill=ink)
            column += width
    return image


def cast(frames: list[Frame]) -> bytes:
    """The frames in asciinema's format, version 2."""
    header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "fromage_lite",
              "env": {"TERM": "xterm-256color", "SHELL": "/bin/sh"}}  # fmt: skip
    lines, moment = [json.dumps(header)], 0.0
    for frame in frames:
        screen = frame.screen.rstrip("\n").replace("\n", "\r\n")
        lines.append(json.dumps([round(moment, 3), "o", f"\x1b[H\x1b[0m{screen}\x1b[0m\x1b[J"]))
        moment += frame.seconds
    return ("\n".join(lines) + "\n").encode()


def gif(frames: list[Frame], font: ImageFont.FreeTypeFont) -> bytes:
    """The frames as an animation; all share the colours of the fullest one."""
    images = [draw(frame.screen, font) for frame in frames]
    palette = max(images, key=lambda image: len(image.getcolors(1 << 24) or ())).quantize(256)
    small = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    data = io.BytesIO()
    small[0].save(data, "GIF", save_all=True, append_images=small[1:], loop=0, optimize=True,
                  duration=[max(20, round(frame.seconds * 1000)) for frame in frames])  # fmt: skip
    return data.getvalue()


def main(
    out: Annotated[Path, typer.Option(help="Folder for demo.gif, demo.cast and chat.png.")] = Path("docs/images"),
) -> None:
    """Record the session."""
    font = ImageFont.truetype(FONT, CELL[0] / 0.60205)  # as wide as a cell
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder))
        still = ""
        try:
            for step, (text, words, seconds) in enumerate(SESSION):
                recorder.type(text)
                recorder.until(words, seconds)
                if step == STILL:
                    still = recorder.look()
        finally:
            recorder.close()
        frames = recorder.frames()
    picture = io.BytesIO()
    draw(still, font).save(picture, "PNG", optimize=True)
    for name, data in (("demo.cast", cast(frames)), ("chat.png", picture.getvalue()), ("demo.gif", gif(frames, font))):
        write_bytes(out / name, data)
        typer.echo(f"{out / name}: {len(data) / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
