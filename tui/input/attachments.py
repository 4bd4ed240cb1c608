"""Finds pictures in what the user typed, pasted or dropped. Pure functions over text and the file system."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fromage_lite.chat.search import is_meant_as_path
from fromage_lite.errors import ImageError
from index.pictures.images import is_picture_name, is_url, sanitize

_MAX_PATH = 4096  # longer texts are no paths, and must not reach the file system
# A quoted text, or a run of non-spaces in which a backslash escapes a space.
_WORD = re.compile(r"""'[^'\n]+'|"[^"\n]+"|(?:\\.|[^\s\\])+""")
_TAG = re.compile(r"<image:[^>]*>")


def to_path(text: str) -> Path:
    """The path that a text means: unquoted, unescaped, `file://` and `~` resolved."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    elif "\\" in text:
        text = re.sub(r"\\(.)", r"\1", text)
    if text.startswith("file://"):
        text = unquote(urlsplit(text).path)
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:  # "~nobody"
        return path


def exists(text: str) -> bool:
    """Whether a text is the path of something that is there."""
    try:
        return len(text) <= _MAX_PATH and to_path(text).exists()
    except (OSError, ValueError):
        return False


def refuse_folder(path: Path) -> None:
    """Raises an `ImageError` that says what can be done with a folder, if the path is one."""
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError):
        return
    if is_folder:
        raise ImageError(
            f"{sanitize(str(path))} is a folder, not a picture.",
            "/image FOLDER looks for a picture in it; fromage-lite index FOLDER OUT makes its pictures ones that "
            "replies are illustrated with.",
        )


def is_picture_path(text: str) -> bool:
    """Whether a text looks like the path of a picture, there or not."""
    return 0 < len(text) <= _MAX_PATH and "\n" not in text.strip() and is_picture_name(to_path(text))


def is_picture(text: str) -> bool:
    """Whether a text is the path of an existing file with a picture's suffix."""
    try:
        return is_picture_path(text) and to_path(text).is_file()
    except (OSError, ValueError):
        return False


def dropped_paths(text: str) -> list[Path]:
    """The pictures of a paste that consists of nothing but paths of pictures; else an empty list.

    A terminal hands over a dropped file as a pasted path: quoted, escaped or as it is, several with spaces between.
    """
    if not text.strip() or len(text) > 64 * _MAX_PATH:
        return []
    if is_picture(text):  # a path with plain spaces
        return [to_path(text)]
    for words in (text.strip().splitlines(), _split(text)):
        if words and all(is_picture(word) for word in words):
            return [to_path(word) for word in words]
    return []


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an apostrophe, for example
        return []


def paths_of_argument(text: str) -> list[Path]:
    """The paths of a command's argument: one path that may hold spaces, or several."""
    text = text.strip()
    if not text:
        return []
    try:
        whole_exists = len(text) <= _MAX_PATH and to_path(text).exists()
    except (OSError, ValueError):
        whole_exists = False
    words = _split(text)
    return [to_path(text)] if whole_exists or not words else [to_path(word) for word in words]


def refuse_missing(text: str) -> None:
    """Raises an `ImageError` where words of a message name a picture that isn't there: read as words, they would get an
    answer about nothing."""
    for match in _WORD.finditer(_TAG.sub(" ", text)):
        word = match.group().rstrip(".,;:!?)")
        if is_picture_path(word) and not is_url(word) and not exists(word):
            raise ImageError(
                f"There is no picture {sanitize(str(to_path(word)))}.",
                "Check its name and folder; put a path with blanks in quotes.",
            )


def extract_pictures(text: str) -> tuple[list[Path], str]:
    """Pictures named in a message, and the message without them.

    A path at the beginning or the end is taken out and becomes an attachment; one inside a sentence, where a gap
    would make no sense, becomes an `<image:PATH>` at its place. Texts inside `<image:...>` are left alone.
    """
    if is_picture(text):
        return [to_path(text)], ""
    attached: list[Path] = []
    tags = [match.span() for match in _TAG.finditer(text)]
    out: list[str] = []
    position = 0
    for match in _WORD.finditer(text):
        start, end = match.span()
        if any(first <= start < last for first, last in tags):
            continue
        word = match.group()
        bare = word if is_picture(word) else word.rstrip(".,;:!?)")
        if not is_picture(bare):
            continue
        before, after = text[:start].strip(), text[start + len(bare) :].strip()
        out.append(text[position:start])
        position = start + len(bare)
        outermost = not before or not after or not "".join(out).strip()
        if outermost or set(bare) & set("<>"):
            attached.append(to_path(bare))
        else:
            out.append(f"<image:{to_path(bare)}>")
    out.append(text[position:])
    return attached, "".join(out).strip()


def with_pictures(text: str) -> str:
    """A message in which every picture that it names by its path stands as `<image:PATH>`.

    Raises:
        ImageError: a picture that it names isn't there, or all that it names is a folder.
    """
    if is_meant_as_path(text):
        refuse_folder(to_path(text))
    attached, rest = extract_pictures(text)
    refuse_missing(rest)
    return " ".join([*(f"<image:{path}>" for path in attached), rest]).strip()
