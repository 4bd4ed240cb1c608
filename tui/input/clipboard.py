"""Pictures from the system's clipboard, where there is a way to ask for them. Blocking: call it on a thread."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

from fromage_lite.errors import ImageError
from index.errors import reason
from index.files import write_bytes
from index.pictures.images import open_image
from tui.input.attachments import dropped_paths

SECONDS = 5  # the clipboard's owner may never answer
MOST_BYTES = 200_000_000
MOST_KEPT = 200  # pasted pictures
TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/tiff")
HINT = "Copy a picture (not a web page), or give its file: /image PATH."


def clipboard_pictures(folder: Path) -> list[Path]:
    """The picture, or the picture files, that the clipboard holds.

    Args:
        folder: where a picture that is no file yet is kept.

    Raises:
        ImageError: there is none, or no way to ask.
    """
    if sys.platform.startswith("linux") or "bsd" in sys.platform:
        return _from_tools(folder)
    from PIL import ImageGrab

    try:
        content = ImageGrab.grabclipboard()
    except (OSError, NotImplementedError, ChildProcessError) as error:
        raise ImageError(f"The clipboard could not be asked: {reason(error)}.", HINT) from error
    if isinstance(content, Image.Image):
        data = io.BytesIO()
        content.save(data, "PNG")
        return [keep_picture(data.getvalue(), folder)]
    paths = [path for name in content or () for path in dropped_paths(str(name))]
    if not paths:
        raise ImageError("There is no picture in the clipboard.", HINT)
    return paths


def _from_tools(folder: Path) -> list[Path]:
    """Through wl-paste on Wayland, xclip on X11. Pillow uses them too, but without a time limit."""
    if os.environ.get("WAYLAND_DISPLAY") and shutil.which("wl-paste"):
        ask, list_types = ["wl-paste", "--no-newline", "--type"], ["wl-paste", "--list-types"]
    elif os.environ.get("DISPLAY") and shutil.which("xclip"):
        ask = ["xclip", "-selection", "clipboard", "-o", "-t"]
        list_types = [*ask, "TARGETS"]
    elif os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY"):
        raise ImageError(
            "Pictures can't be taken from the clipboard: neither wl-paste nor xclip is installed.",
            "Install wl-clipboard or xclip, or give the file: /image PATH.",
        )
    else:
        raise ImageError(
            "There is no clipboard here: this terminal runs without a desktop (over SSH, perhaps).",
            "Give the picture's file: /image PATH, or drop it onto the terminal.",
        )
    types = _output(list_types).decode("utf-8", "replace").split()
    for kind in TYPES:
        if kind in types:
            return [keep_picture(_output([*ask, kind]), folder)]
    if "text/uri-list" in types:
        lines = _output([*ask, "text/uri-list"]).decode("utf-8", "replace").splitlines()
        if paths := [path for line in lines if not line.startswith("#") for path in dropped_paths(line)]:
            return paths
    raise ImageError("There is no picture in the clipboard.", HINT)


def _output(command: list[str]) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ImageError(f"The clipboard does not answer ({command[0]}).", HINT) from error
    if done.returncode != 0:  # an empty clipboard, most likely
        raise ImageError("There is no picture in the clipboard.", HINT)
    if len(done.stdout) > MOST_BYTES:
        raise ImageError("The picture in the clipboard is too large.", HINT)
    return done.stdout


def keep_picture(data: bytes, folder: Path) -> Path:
    """The file of a picture that came without one; the same picture has the same file. Of many the oldest go."""
    open_image(data)  # says what is wrong, if anything is
    with Image.open(io.BytesIO(data)) as image:
        suffix = (image.format or "png").lower().replace("jpeg", "jpg")
    path = folder / f"pasted-{hashlib.sha256(data).hexdigest()[:12]}.{suffix}"
    try:
        if not path.exists():
            write_bytes(path, data, mode=0o600)
        kept = sorted(folder.glob("pasted-*"), key=lambda file: file.stat().st_mtime)
        for old in kept[:-MOST_KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        raise ImageError(f"The picture can't be kept in {folder}: {reason(error)}.", HINT) from error
    return path
