"""What one does with the file of a picture: find it, copy it, show it in another program. Used off the UI thread."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import webbrowser
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image

from fromage_lite.errors import FromageError, ImageError
from index.errors import reason
from index.files import write_bytes
from index.paths import cache_folder
from index.pictures.containers import container_of, picture_name, read_inside
from index.pictures.images import is_url, open_image, sanitize
from tui.pictures.thumbnails import Picture

PATIENCE_SECONDS = 3  # a viewer that fails does so at once; one that works may stay open for hours
LARGE_SIDE = 1600


def source_file(picture: Picture) -> Path | None:
    """The file that the picture is from, if it is there."""
    if is_url(picture.path):
        return None
    try:
        path = Path(picture.path).expanduser()
        return path.resolve() if path.is_file() else None
    except (OSError, RuntimeError, ValueError):
        return None


def file_of(picture: Picture) -> Path:
    """A file with the picture: its own, else a copy in the cache folder, of the whole picture where it is in a tar.

    Raises:
        ImageError: its file is gone and there is no small picture either, or the copy can't be written.
    """
    if (path := source_file(picture)) is not None:
        return path
    data = _copy(picture)
    name = hashlib.sha256(data).hexdigest()[:16]
    copy = cache_folder() / "pictures" / f"{name}{Path(suggested_name(picture)).suffix}"
    try:
        if not copy.exists():
            write_bytes(copy, data)
    except OSError as error:
        raise ImageError(f"The picture can't be written to {copy}: {reason(error)}.") from error
    return copy


def _copy(picture: Picture) -> bytes:
    """The bytes of a picture in a tar; the small copy of any other that has no file."""
    try:
        if _is_in_tar(picture) and (data := read_inside(picture.path)) is not None:
            return data
    except ImageError:  # the small copy is better than nothing
        pass
    return _small_copy(picture)


def _is_in_tar(picture: Picture) -> bool:
    container = container_of(picture.path)
    return container != picture.path and Path(container).is_file()


def _small_copy(picture: Picture) -> bytes:
    if picture.image is None:
        raise ImageError(f"{sanitize(picture.path)} is gone, and there is no copy of it.")
    data = io.BytesIO()
    picture.image.save(data, "PNG")
    return data.getvalue()


def suggested_name(picture: Picture) -> str:
    """A file name to save the picture under."""
    name = sanitize(picture_name(urlsplit(picture.path).path if is_url(picture.path) else picture.path))
    if source_file(picture) is not None or _is_in_tar(picture):
        return name
    return f"{Path(name).stem.replace(':', '-') or 'picture'}.png"  # the small copy is a PNG


def save_copy(picture: Picture, target: Path, *, overwrite: bool = False) -> Path:
    """Writes the picture to a file, or into a folder under its own name; the small copy where the original is gone.

    Returns:
        Where it is now.

    Raises:
        FileExistsError: there is such a file and `overwrite` is not set.
        ImageError: it can't be read or written.
    """
    try:
        target = target.expanduser()
        if target.is_dir():
            target /= suggested_name(picture)
        if "\0" in str(target):
            raise ValueError("there is a NUL in it")
        if not target.absolute().parent.is_dir():
            folder = sanitize(str(target.absolute().parent))
            raise ImageError(f"There is no folder {folder}.", "Make it first, or name another one.")
        if target.exists() and not overwrite:
            raise FileExistsError(str(target))
        source = source_file(picture)
        write_bytes(target, source.read_bytes() if source is not None else _copy(picture))
    except FileExistsError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise ImageError(f"The picture can't be saved as {sanitize(str(target))}: {reason(error)}.") from error
    return target


def open_outside(picture: Picture) -> None:
    """Shows the picture in the system's own viewer, or its page in the browser.

    Raises:
        FromageError: there is none, or it fails.
    """
    if is_url(picture.path):
        if not webbrowser.open(picture.path):
            raise FromageError("No browser could be started.")
        return
    path = file_of(picture)
    if sys.platform == "win32":
        os.startfile(path)
        return
    command = "open" if sys.platform == "darwin" else "xdg-open"
    if shutil.which(command) is None:
        raise FromageError(f"There is no {command} here to open the picture with.", "y copies its path.")
    quiet = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            [command, str(path)], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
        code = process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        return  # it is showing the picture
    except OSError as error:
        raise FromageError(f"{command} can't be started: {reason(error)}.") from error
    if code:
        raise FromageError(f"{command} found no program that shows pictures.", "y copies the path.")


def load_large(picture: Picture) -> Image.Image | None:
    """The picture as large as a screen can use it; what there is of it where its file is gone."""
    path = source_file(picture)
    if path is None and container_of(picture.path) == picture.path:
        return picture.image
    try:
        image = open_image(path or picture.path)
    except ImageError:
        return picture.image
    if max(image.size) > LARGE_SIDE:
        image.thumbnail((LARGE_SIDE, LARGE_SIDE))
    return image
