"""A conversation as a file: Markdown with its pictures beside it, one HTML page, or JSON."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from fromage_lite.errors import FromageError
from index.errors import reason
from index.files import write_bytes
from index.pictures.images import make_thumbnail, open_image
from tui.conversation import PicturesFound
from tui.pictures.thumbnails import Picture
from tui.sessions.html_page import html_page
from tui.sessions.markdown import markdown_page
from tui.sessions.records import SavedTurn, Session, SessionError, message_data, pictures_data, reply_data, search_data
from tui.sessions.restore import Drawn, DrawnTurn
from tui.sessions.rows import SEARCH

FORMAT = "fromage-lite session"
FORMAT_VERSION = 1
BESIDE_SIDE = 1600  # pixels of a picture beside a Markdown file
FORMATS = "Name a file that ends in .md, .html or .json."


def check_target(path: Path) -> None:
    """Refuses a place where no export can go, before anything is made.

    Raises:
        SessionError: saying why.
    """
    try:
        if path.suffix.lower() not in WRITERS:
            raise SessionError(f"{path.name or path} is no kind of export.", FORMATS)
        if path.is_dir():
            raise SessionError(f"{path} is a folder.", FORMATS)
        if path.exists() and not path.is_file():
            raise SessionError(f"{path} is no regular file.", FORMATS)
        if not path.absolute().parent.is_dir():
            raise SessionError(f"There is no folder {path.absolute().parent}.", "Make it first, or name another one.")
    except (OSError, ValueError) as error:  # too long a name, a NUL in it
        raise SessionError(f"{path} can't be written: {reason(error)}.", FORMATS) from error


def export(session: Session, drawn: Sequence[Drawn], path: Path) -> None:
    """Writes a conversation; whole or not at all, and in place of what was there.

    Args:
        session: what was said.
        drawn: its items with their pictures.
        path: the file; its suffix says what kind.

    Raises:
        SessionError: it can't be written.
    """
    check_target(path)
    text = WRITERS[path.suffix.lower()](session, drawn, path)
    _write(path, text.encode("utf-8", errors="replace"))


def _write(path: Path, data: bytes) -> None:
    try:
        write_bytes(path, data)
    except OSError as error:
        raise SessionError(f"{path} can't be written: {reason(error)}.", "Name another place.") from error


def _json(session: Session, drawn: Sequence[Drawn], path: Path) -> str:
    return json.dumps(session_data(session), indent=2) + "\n"  # ASCII: whatever it was, it comes back the same


def session_data(session: Session) -> dict[str, Any]:
    """The whole conversation as plain JSON data; `importing` reads it.

    A turn whose message can't be read is left out, one whose reply can't be read counts as interrupted.
    """
    info = session.info
    is_kept = [bool(turn.message) or not turn.problem for turn in session.turns]
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "title": info.title,
        "created": info.created,
        "updated": info.updated,
        "model": info.model,
        "index": info.index,
        "hidden": pictures_data([session.hidden])[0],
        "turns": [_turn_data(turn) for turn, kept in zip(session.turns, is_kept, strict=True) if kept],
        "items": [
            {"kind": SEARCH, "after": sum(is_kept[: s.after]), "created": s.created, **search_data(s)}
            for s in session.searches
        ],
    }


def _turn_data(turn: SavedTurn) -> dict[str, Any]:
    return {
        "message": message_data(turn.message),
        "reply": reply_data(turn.reply),
        "reason": turn.reason,
        "created": turn.created,
        "statistics": dataclasses.asdict(turn.statistics) if turn.statistics is not None else None,
        "more": pictures_data(turn.more),
    }


def _html(session: Session, drawn: Sequence[Drawn], path: Path) -> str:
    return html_page(_title(session), _facts(session), drawn)


def _markdown(session: Session, drawn: Sequence[Drawn], path: Path) -> str:
    folder = path.with_name(f"{path.stem}-pictures")
    links: dict[int, str] = {}  # by the picture's identity: two of the same path may differ
    for picture in pictures_of(drawn):
        if picture.image is not None and id(picture) not in links:
            name, data = _file_of(picture)
            _put(folder, name, data)
            links[id(picture)] = quote(f"{folder.name}/{name}")
    return markdown_page(_title(session), _facts(session), drawn, lambda picture: links.get(id(picture)))


def pictures_of(drawn: Sequence[Drawn]) -> Iterator[Picture]:
    """Every picture, in the order of the transcript."""
    for item in drawn:
        if isinstance(item, DrawnTurn):
            yield from (part for part in item.parts if isinstance(part, Picture))
            yield from (p for event in item.items if isinstance(event, PicturesFound) for p in event.pictures)
        else:
            yield from item.pictures


def _file_of(picture: Picture) -> tuple[str, bytes]:
    """A picture file and its name. Made anew from the pixels: what else a camera writes into a file (where it was
    taken, for one) stays here, and no other file of the disk can be copied under a picture's name."""
    assert picture.image is not None
    image: Image.Image = picture.image
    try:
        image = open_image(picture.path)  # larger than the one on the screen
    except FromageError:
        pass  # an index has it, its file is gone
    data = make_thumbnail(image, BESIDE_SIDE)
    # Named by what is in it, so that nothing else is ever overwritten.
    return f"{hashlib.sha256(data).hexdigest()[:16]}.jpg", data


def _put(folder: Path, name: str, data: bytes) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise SessionError(f"The folder {folder} can't be made: {reason(error)}.") from error
    if not (folder / name).exists():
        _write(folder / name, data)


def _title(session: Session) -> str:
    return session.info.title or "Conversation"


def _facts(session: Session) -> str:
    info, count = session.info, len(session.turns)
    when = datetime.fromtimestamp(info.created).strftime("%Y-%m-%d %H:%M") if info.created > 0 else ""
    return " · ".join(filter(None, (when, info.model, f"{count} turn{'s' if count != 1 else ''}")))


WRITERS: dict[str, Callable[[Session, Sequence[Drawn], Path], str]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".html": _html,
    ".htm": _html,
    ".json": _json,
}
