"""Record sessions of the real app in tmux: an animated GIF, an asciinema cast and two stills, for the README.

python scripts/fetch_photographs.py PICTURES
python scripts/make_demo.py PICTURES/scikit-image/skimage/data --out docs/images

It types and waits as a session says, and keeps every change of the screen with its real duration; only pauses longer
than a second and a half are shortened. Needs tmux and the font DejaVu Sans Mono.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageDraw, ImageFont
from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.text import Text

from fromage_lite.playground.world.render import render
from fromage_lite.playground.world.scene import Group, Scene
from index.files import write_bytes

CELL = (10, 20)
BASELINE = 15  # of a letter, in pixels below the top of its cell
FONT, BOLD = "DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf"
Colour = tuple[int, ...]
INK: Colour = (237, 228, 211)
GROUND: Colour = (22, 19, 15)
LONGEST_PAUSE, LAST_PAUSE = 1.5, 4.0  # seconds
PATIENCE = 300.0

HOLIDAY = Scene((Group("cat", 2), Group("car", colour="red")), "beach")
CAT = Path("tests/photos/pictures/chelsea.webp")

Step = tuple[str, str, float]  # what to type, what to wait for, seconds to look at it
SESSION: list[Step] = [
    ("", "pictures", 1.0),
    ("/image cat.webp\n", "[Image #1]", 1.0),
    ("what is in this picture?\n", "kind of cat.", 2.5),
    ("is it a dog?\n", "no, ", 1.5),
    ("show me something to drink\n", "match 0.", 3.0),
    ("what is it?\n", "espresso.", 1.5),
    ("and a rocket?\n", "a rocket.", 2.5),
    ("\t", "Enter view", 0.8),
    ("\n", "←→ next", 2.0),
    ("\x1b", "Enter view", 0.3),
]
DIALOGUE: list[Step] = SESSION[:5]
PLAYGROUND: list[Step] = [
    ("", "2,400 pictures", 1.0),
    ("show me a cat on the beach\n", "match 0.", 2.5),
    ("and in the snow?\n", "in the snow.", 3.0),
    ("\t", "Enter view", 0.8),
    ("→", "1 of 8", 0.6),
    ("→", "2 of 8", 0.6),
]
KEYS = {"\n": "Enter", "\t": "Tab", "\x1b": "Escape", "→": "Right"}


@dataclass(frozen=True)
class Frame:
    """A screen, with colours as escape sequences, and how long it was visible."""

    screen: str
    seconds: float


class Recorder:
    """Runs the app in a tmux server of its own, and records the screen."""

    def __init__(self, folder: Path, columns: int, rows: int, *arguments: str) -> None:
        self._socket = folder / "tmux"
        self._seen: list[tuple[float, str]] = []
        own = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "STATE")}
        self._environment = {**os.environ, **own, "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
        self._tmux(
            "new-session",
            "-d",
            "-x",
            str(columns),
            "-y",
            str(rows),
            "-c",
            str(folder),
            f"COLORTERM=truecolor {shlex.quote(sys.executable)} -m tui --images halfblock {shlex.join(arguments)}",
        )

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        return done.stdout

    def look(self) -> str:
        """The current screen; recorded if it has changed."""
        screen = self._tmux("capture-pane", "-p", "-e")
        if screen and (not self._seen or self._seen[-1][1] != screen):
            self._seen.append((time.monotonic(), screen))
        return screen

    def type(self, text: str) -> None:
        """Types key by key, as a person does."""
        for character in text:
            if character in KEYS:
                self._tmux("send-keys", KEYS[character])
            else:
                self._tmux("send-keys", "-l", character)
            self.look()

    def until(self, words: str, seconds: float) -> None:
        """Records until the screen has these words, then for that long (it never stands still: the cursor blinks)."""
        deadline, seen = time.monotonic() + PATIENCE, 0.0
        while not seen or time.monotonic() - seen < seconds:
            screen = Text.from_ansi(self.look()).plain
            seen = seen or (time.monotonic() if words in screen else 0.0)
            if not seen and time.monotonic() > deadline:
                raise TimeoutError(f"'{words}' never came:\n{screen}")

    def frames(self) -> list[Frame]:
        """All screens with their durations."""
        ends = [*(moment for moment, _ in self._seen[1:]), self._seen[-1][0] + LAST_PAUSE]
        return [
            Frame(screen, min(end - begin, LAST_PAUSE if place == len(ends) - 1 else LONGEST_PAUSE))
            for place, ((begin, screen), end) in enumerate(zip(self._seen, ends, strict=True))
        ]

    def close(self) -> None:
        self._tmux("kill-server")


def _colours(style: Style | None) -> tuple[Colour, Colour]:
    """The colours of text and background."""
    ink, ground = INK, GROUND
    if style is not None and style.color is not None and not style.color.is_default:
        ink = tuple(style.color.get_truecolor())
    if style is not None and style.bgcolor is not None and not style.bgcolor.is_default:
        ground = tuple(style.bgcolor.get_truecolor())
    return (ground, ink) if style is not None and style.reverse else (ink, ground)


# Where block elements have ink, in fractions of a cell: left, top, right, bottom. Drawn so, they leave no gaps.
BLOCKS = {
    "▀": (0, 0, 1, 0.5),
    "▌": (0, 0, 0.5, 1),
    "▐": (0.5, 0, 1, 1),
    **{block: (0, 1 - eighths / 8, 1, 1) for eighths, block in enumerate("▁▂▃▄▅▆▇█", 1)},
}


def draw(screen: str, columns: int, rows: int) -> Image.Image:
    """A screen as a picture."""
    width, height = CELL
    plain, bold = (ImageFont.truetype(name, width / 0.60205) for name in (FONT, BOLD))  # as wide as a cell
    image = Image.new("RGB", (columns * width, rows * height), GROUND)
    pen = ImageDraw.Draw(image)
    console = Console(width=columns, color_system="truecolor", force_terminal=True, file=io.StringIO())
    # As one text: tmux omits colours that are the same as on the line before.
    for row, line in enumerate(Text.from_ansi(screen).split("\n")[:rows]):
        column = 0
        for segment in line.render(console):
            ink, ground = _colours(segment.style)
            font = bold if segment.style is not None and segment.style.bold else plain
            for character in segment.text:
                cells = cell_len(character)
                left, top = column * width, row * height
                pen.rectangle((left, top, left + cells * width - 1, top + height - 1), fill=ground)
                if block := BLOCKS.get(character):
                    x0, y0, x1, y1 = (round(part * size) for part, size in zip(block, CELL * 2, strict=True))
                    pen.rectangle((left + x0, top + y0, left + x1 - 1, top + y1 - 1), fill=ink)
                elif cells and character.strip():
                    pen.text((left, top + BASELINE), character, font=font, fill=ink, anchor="ls")
                column += cells
    return image


def cast(frames: list[Frame], columns: int, rows: int) -> bytes:
    """The frames in asciinema's format, version 2."""
    header = {
        "version": 2,
        "width": columns,
        "height": rows,
        "title": "fromage_lite",
        "env": {"TERM": "xterm-256color", "SHELL": "/bin/sh"},
    }
    lines, moment = [json.dumps(header)], 0.0
    for frame in frames:
        screen = frame.screen.rstrip("\n").replace("\n", "\r\n")
        lines.append(json.dumps([round(moment, 3), "o", f"\x1b[H\x1b[0m{screen}\x1b[0m\x1b[J"]))
        moment += frame.seconds
    return ("\n".join(lines) + "\n").encode()


def gif(images: list[Image.Image], frames: list[Frame]) -> bytes:
    """The frames as an animation; all share the palette of the most colourful one."""
    palette = max(images, key=lambda image: len(image.getcolors(1 << 24) or ())).quantize(256)
    small = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    data = io.BytesIO()
    small[0].save(
        data,
        "GIF",
        save_all=True,
        append_images=small[1:],
        loop=0,
        optimize=True,
        duration=[max(20, round(frame.seconds * 1000)) for frame in frames],
    )
    return data.getvalue()


def png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG", optimize=True)
    return data.getvalue()


def record(session: list[Step], columns: int, rows: int, *arguments: str) -> tuple[list[Frame], list[str]]:
    """All frames of a session of the app with these arguments, and the screen at the end of each step."""
    with tempfile.TemporaryDirectory() as folder:
        render(HOLIDAY, 7).save(Path(folder) / "holiday.png")
        shutil.copy(CAT, Path(folder) / "cat.webp")
        recorder = Recorder(Path(folder), columns, rows, *arguments)
        screens = []
        try:
            for text, words, seconds in session:
                recorder.type(text)
                recorder.until(words, seconds)
                screens.append(recorder.look())
        finally:
            recorder.close()
    return recorder.frames(), screens


def main(
    photographs: Annotated[Path, typer.Argument(help="A folder of photographs that are free to be shown.")],
    out: Annotated[Path, typer.Option(help="Folder for demo.gif, demo.cast, chat.png and dialogue.png.")] = Path(
        "docs/images"
    ),
) -> None:
    """Record the sessions."""
    size, tall = (92, 30), (92, 58)
    with tempfile.TemporaryDirectory() as folder:
        index = str(Path(folder) / "photographs")
        subprocess.run([sys.executable, "-m", "tui", "index", str(photographs), "--out", index], check=True)
        frames = record(SESSION, *size, "--index", index)[0]
        dialogue = record(DIALOGUE, *tall, "--index", index)[1][-1]
    chat = record(PLAYGROUND, *size, "--model", "playground")[1][-1]
    images = [draw(frame.screen, *size) for frame in frames]
    for name, data in (
        ("demo.cast", cast(frames, *size)),
        ("demo.gif", gif(images, frames)),
        ("chat.png", png(draw(chat, *size))),
        ("dialogue.png", png(draw(dialogue, *tall))),
    ):
        write_bytes(out / name, data)
        typer.echo(f"{out / name}: {len(data) / 1e6:.2f} MB")


if __name__ == "__main__":
    typer.run(main)
