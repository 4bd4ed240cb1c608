"""A conversation as one HTML page with its pictures inside. It loads nothing, and runs nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape

from fromage_lite.chat.events import TextDelta
from index.pictures.images import make_thumbnail, one_line, sanitize
from tui.conversation import PicturesFound
from tui.pictures.thumbnails import GONE, Picture
from tui.sessions.restore import Drawn, DrawnSearch, DrawnTurn, title_of_search, unreadable

INSIDE_SIDE = 512  # pixels; some 50 kB a picture

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: #2b2317; --ground: #fbf6ea; --panel: #f1e7cf; --mark: #8f5400; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #ede4d3; --ground: #16130f; --panel: #241f17; --mark: #f4b942; }}
}}
body {{ font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
        max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; margin-bottom: 0; overflow-wrap: anywhere; }}
.facts, figcaption, .end {{ opacity: .75; font-size: .875rem; }}
.message {{ border-left: 4px solid var(--mark); background: var(--panel); padding: .5rem 1rem; margin-top: 2rem; }}
.reply {{ padding: .25rem 1rem; }}
p {{ white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0; }}
figure {{ margin: .5rem 0; }}
img {{ max-width: 100%; height: auto; border-radius: 4px; }}
.gone {{ border: 1px dashed; border-radius: 4px; padding: 1rem; display: inline-block; }}
</style>
</head>
<body>
"""


def html_page(title: str, facts: str, drawn: Sequence[Drawn]) -> str:
    """The whole page.

    Args:
        title, facts: heading, and a line under it.
        drawn: turns and searches with their pictures.
    """
    title = escape(one_line(title))
    lines = [_HEAD.format(title=title), f'<h1>{title}</h1>\n<p class="facts">{escape(facts)}</p>']
    for turn in drawn:
        if isinstance(turn, DrawnSearch):
            lines += ['<section class="reply" aria-label="Search">', *_search(turn), "</section>"]
            continue
        lines += ['<section class="message" aria-label="You">', *_message(turn), "</section>"]
        lines += ['<section class="reply" aria-label="Reply">', *_reply(turn), "</section>"]
    return "\n".join([*lines, "</body>\n</html>\n"])


def _message(turn: DrawnTurn) -> Iterator[str]:
    for part in turn.parts:
        yield _figure(part) if isinstance(part, Picture) else _words(part)


def _reply(turn: DrawnTurn) -> Iterator[str]:
    for item in turn.items:
        if isinstance(item, TextDelta):
            yield _words(item.text)
        elif isinstance(item, PicturesFound):
            yield from map(_figure, item.pictures)
    if turn.turn.problem:
        yield f'<p class="end">{escape(unreadable(turn.turn))}</p>'
    elif turn.turn.reason is None:
        yield '<p class="end">(interrupted)</p>'
    elif turn.turn.reason == "cancelled":
        yield '<p class="end">(stopped)</p>'


def _search(found: DrawnSearch) -> Iterator[str]:
    yield f'<p class="end">{escape(title_of_search(found.search))}</p>'
    yield from map(_figure, found.pictures)


def _words(text: str) -> str:
    text = sanitize(text).strip()
    return f"<p>{escape(text)}</p>" if text else ""


def _figure(picture: Picture) -> str:
    caption = escape(one_line(picture.caption))
    details = [one_line(picture.detail)] if picture.detail else []
    if picture.score is not None:
        details.insert(0, f"match {picture.score:.2f}")
    if picture.gone and picture.image is not None:
        details.append(GONE)
    about = escape(" · ".join(details))
    if picture.image is None:
        body = f'<div class="gone">{escape(one_line(picture.problem) or "This picture is gone.")}</div>'
    else:
        data = base64.b64encode(make_thumbnail(picture.image, INSIDE_SIDE)).decode("ascii")
        body = f'<img src="data:image/jpeg;base64,{data}" alt="{caption}">'
    return f"<figure>{body}<figcaption>{caption}{'<br>' if about else ''}{about}</figcaption></figure>"
