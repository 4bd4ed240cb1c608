"""`search --html`: what was found as one page with its small pictures inside. It loads nothing, and runs nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from fromage_lite.chat.lookup import date_of
from fromage_lite.errors import ConfigError
from index.errors import reason
from index.files import write_bytes
from index.pictures.containers import container_of, picture_name
from index.pictures.facts import Facts
from index.pictures.images import is_url, make_thumbnail, one_line
from tui.pictures.thumbnails import GONE, Picture, more_alike

SIDE = 320  # pixels; some 15 kB a picture
SUFFIXES = (".html", ".htm")

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #2b2317; --ground: #fbf6ea; --panel: #f1e7cf; --mark: #8f5400; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #ede4d3; --ground: #16130f; --panel: #241f17; --mark: #f4b942; }}
}}
body {{ font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); margin: 2rem; }}
h1 {{ font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; }}
.facts {{ opacity: .75; font-size: .875rem; margin: .25rem 0 1.5rem; }}
.sheet {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1rem; }}
figure {{ margin: 0; padding: .75rem; border-radius: 6px; background: var(--panel); }}
a {{ color: var(--mark); overflow-wrap: anywhere; }}
img {{ display: block; width: 100%; height: 12rem; object-fit: contain; }}
figcaption {{ margin-top: .5rem; font-size: .875rem; overflow-wrap: anywhere; }}
.gone {{ height: 12rem; display: grid; place-items: center; border: 1px dashed; border-radius: 4px; }}
.about {{ opacity: .75; }}
</style>
</head>
<body>
"""


@dataclass(frozen=True)
class Entry:
    """A found picture, and what is known of it."""

    picture: Picture
    facts: Facts


def contact_sheet(title: str, entries: Sequence[Entry]) -> str:
    """The whole page.

    Args:
        title: what was looked for.
        entries: in the order in which they are shown.
    """
    title = escape(one_line(title)) or "pictures"
    count = "1 picture" if len(entries) == 1 else f"{len(entries)} pictures"
    lines = [_HEAD.format(title=title), f'<h1>{title}</h1>\n<p class="facts">{count}</p>\n<main class="sheet">']
    return "\n".join([*lines, *map(_figure, entries), "</main>\n</body>\n</html>\n"])


def check_target(path: Path) -> None:
    """Refuses a file that the page can't be written to, or that is hardly meant: before a model loads.

    Raises:
        ConfigError: it has no suffix of a page, or there is no such folder.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"The page's file must end in .html, unlike {one_line(str(path))}.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"There is no folder {one_line(str(path.absolute().parent))}.", "Make it first.")


def write_sheet(path: Path, page: str) -> None:
    """Writes the page, whole or not at all.

    Raises:
        ConfigError: it can't be written.
    """
    try:
        write_bytes(path, page.encode("utf-8", "replace"))
    except OSError as error:
        raise ConfigError(f"{one_line(str(path))} can't be written: {reason(error)}.") from error


def _figure(entry: Entry) -> str:
    picture = entry.picture
    caption = escape(one_line(picture.caption))
    if picture.image is None:
        body = f'<div class="gone">{escape(one_line(picture.problem) or "This picture is gone.")}</div>'
    else:
        data = base64.b64encode(make_thumbnail(picture.image, SIDE)).decode("ascii")
        body = f'<img src="data:image/jpeg;base64,{data}" alt="{caption}">'
    if address := _address(picture.path):
        body = f'<a href="{escape(address)}" rel="noreferrer">{body}</a>'
    about = escape(" · ".join(_about(entry)))
    return f'<figure>{body}<figcaption>{caption}<br><span class="about">{about}</span></figcaption></figure>'


def _about(entry: Entry) -> list[str]:
    picture, facts = entry.picture, entry.facts
    parts = [f"match {picture.score:.3f}"] if picture.score is not None else []
    parts.append(one_line(picture.detail))
    parts.append(f"{facts.width} × {facts.height}" if facts.width else "")  # noqa: RUF001
    parts.append((date_of(facts) or "")[:10])
    parts.append(more_alike(picture.hit) if picture.hit is not None else "")
    parts.append(GONE if picture.gone else "")
    return [part for part in parts if part]


def _address(source: str) -> str:
    """Where a click leads; nowhere for a picture inside a container."""
    if is_url(source):
        return source if urlsplit(source).netloc else ""
    if container_of(source) != source or not Path(source).is_absolute() or not picture_name(source):
        return ""
    return Path(source).as_uri()
