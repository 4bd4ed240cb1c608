"""A conversation as Markdown in which nothing that was said can be taken for markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from fromage_lite.chat.events import TextDelta
from index.pictures.images import one_line, sanitize
from tui.conversation import PicturesFound
from tui.pictures.thumbnails import GONE, Picture
from tui.sessions.restore import Drawn, DrawnSearch, DrawnTurn, title_of_search, unreadable

# Each of these can begin markup somewhere in a line; CommonMark takes a backslash before any of them.
_SPECIAL = re.compile(r"([\\`*_\[\]<|~$&#])")
# These only where a line begins: lists, quotes, underlines of headings.
_AT_START = re.compile(r"^([-+=>])")
_NUMBERED = re.compile(r"^(\d+)([.)])")

Link = Callable[[Picture], str | None]


def escape(text: str) -> str:
    """Words as Markdown that shows them as they are; line breaks stay."""
    lines = []
    for line in sanitize(text).strip().splitlines():
        line = " ".join(line.split())
        line = _SPECIAL.sub(r"\\\1", line)
        lines.append(_AT_START.sub(r"\\\1", _NUMBERED.sub(r"\1\\\2", line)))
    # A backslash at the end of a line is a line break; an empty line would end the paragraph, so it is one.
    paragraphs = "\n".join(lines).split("\n\n")
    return "\n\n".join(paragraph.strip("\n").replace("\n", "\\\n") for paragraph in paragraphs if paragraph.strip())


def markdown_page(title: str, facts: str, drawn: Sequence[Drawn], link: Link) -> str:
    """The whole file.

    Args:
        title, facts: heading, and a line under it.
        drawn: turns and searches with their pictures.
        link: where a picture's file is, relative and quoted; None where it has none.
    """
    blocks = [f"# {escape(one_line(title))}", f"*{escape(facts)}*"]
    for turn in drawn:
        if isinstance(turn, DrawnSearch):
            blocks += ["---", f"*{escape(title_of_search(turn.search))}*"]
            blocks += [_picture(picture, link) for picture in turn.pictures]
            continue
        blocks += ["---", "**You**", *_message(turn, link), "**Reply**", *_reply(turn, link)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _message(turn: DrawnTurn, link: Link) -> Iterator[str]:
    for part in turn.parts:
        yield _picture(part, link) if isinstance(part, Picture) else escape(part)


def _reply(turn: DrawnTurn, link: Link) -> Iterator[str]:
    for item in turn.items:
        if isinstance(item, TextDelta):
            yield escape(item.text)
        elif isinstance(item, PicturesFound):
            yield from (_picture(picture, link) for picture in item.pictures)
    if turn.turn.problem:
        yield f"*{escape(unreadable(turn.turn))}*"
    elif turn.turn.reason is None:
        yield "*(interrupted)*"
    elif turn.turn.reason == "cancelled":
        yield "*(stopped)*"


def _picture(picture: Picture, link: Link) -> str:
    caption = escape(one_line(picture.caption))
    score = f" (match {picture.score:.2f})" if picture.score is not None else ""
    target = link(picture)
    if target is None:
        return f"▣ {caption}{score}: {escape(one_line(picture.problem or 'this picture is gone'))}"
    gone = f" ({GONE})" if picture.gone else ""
    return f"![{caption}]({target})\\\n*{caption}*{score}{gone}"
