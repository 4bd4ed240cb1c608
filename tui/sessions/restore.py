"""Saved turns made ready to be drawn again: their pictures read anew, off the screen's thread."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from fromage_lite.chat.events import Done, Notice, TextDelta
from fromage_lite.chat.protocol import ChatAgent
from fromage_lite.chat.turns import Turn
from fromage_lite.errors import ImageError
from fromage_lite.text.message import Segment
from index.pictures.images import is_gone, is_url, make_thumbnail, one_line, open_image, sanitize
from index.search.hits import FOREIGN, Hit
from tui.conversation import PicturesFound, ReplyItem
from tui.pictures.thumbnails import MAX_SIDE, Picture, load_file, load_hit
from tui.sessions.records import UNREADABLE, SavedSearch, SavedTurn

log = logging.getLogger(__name__)

MORE_DRAWN = 30  # the last turns whose next best pictures are read again


@dataclass(frozen=True)
class DrawnTurn:
    """What a turn's view needs.

    Attributes:
        turn: the turn itself.
        parts: the message, its pictures read; empty where a damaged turn has lost it.
        items: the events of its reply; without an end where it has none. Those of a damaged one end with a notice that
            says so.
    """

    turn: SavedTurn
    parts: tuple[str | Picture, ...]
    items: tuple[ReplyItem, ...]


@dataclass(frozen=True)
class DrawnSearch:
    """A search outside the dialogue with its pictures, best first."""

    search: SavedSearch
    pictures: tuple[Picture, ...]


Drawn = DrawnTurn | DrawnSearch


class _Files:
    """Pictures of hits from the files they were made of: for an index that isn't the one at hand."""

    def thumbnail(self, hit: Hit) -> bytes:
        return make_thumbnail(open_image(hit.source), MAX_SIDE)


def draw(agent: ChatAgent | None, items: Sequence[SavedTurn | SavedSearch], *, more: bool = False) -> list[Drawn]:
    """Turns and searches with their pictures.

    Args:
        agent: whose index has pictures of hits; None as long as there is none.
        items: what is to be drawn, as it followed each other.
        more: the last turns with their next best pictures, too.
    """
    first = len(items) - MORE_DRAWN if more else len(items)
    return [_drawn(agent, item, place >= first) for place, item in enumerate(items)]


def _drawn(agent: ChatAgent | None, item: SavedTurn | SavedSearch, more: bool) -> Drawn:
    try:
        if isinstance(item, SavedSearch):
            return DrawnSearch(item, hit_pictures(agent, item.hits))
        return draw_turn(agent, item, more=more)
    except Exception:  # whatever is wrong with one, the others are to be seen
        log.exception("a part of a conversation can't be drawn")
    if isinstance(item, SavedSearch):
        return DrawnSearch(item, ())
    damaged = dataclasses.replace(item, message=(), reply=(), reason=None, problem="it can't be drawn")
    return draw_turn(None, damaged)


def draw_turn(agent: ChatAgent | None, turn: SavedTurn, *, more: bool = False) -> DrawnTurn:
    """A turn with its pictures.

    Args:
        agent: whose index has pictures of hits; None as long as there is none.
        turn: the saved turn.
        more: with the next best pictures, as far as they can be had without the web.
    """
    following = iter(turn.more if more else ())
    items: list[ReplyItem] = []
    for part in turn.reply:
        if isinstance(part, str):
            items.append(TextDelta(part))
        else:
            items.append(PicturesFound(hit_pictures(agent, part), _at_hand(agent, next(following, ()) if part else ())))
    if turn.problem:
        items += [Notice(unreadable(turn)), Done("", "stop")]
    elif turn.reason is not None:
        if turn.statistics is not None:
            items.append(turn.statistics)
        items.append(Done("", turn.reason))
    return DrawnTurn(turn, parts_of(turn.message), tuple(items))


def unreadable(turn: SavedTurn) -> str:
    """What is said in place of a damaged turn."""
    return f"{UNREADABLE[:-1]} ({turn.problem})."


def title_of_search(search: SavedSearch) -> str:
    """What was looked for, in a file."""
    words = one_line(search.words)
    what = f"“{words}”" if words else "pictures like one's own"
    return f"Searched for: {'more like ' if search.like else ''}{what}"


def parts_of(message: Sequence[Segment]) -> tuple[str | Picture, ...]:
    """A message with its pictures read."""
    return tuple(segment if isinstance(segment, str) else user_picture(segment.path) for segment in message)


def draft_of(parts: Sequence[str | Picture]) -> tuple[str, tuple[Picture, ...]]:
    """A message as it was written: the words, and the pictures attached before them. A picture between the words is
    written as `<image:PATH>`, so that sending it again gives the same message."""
    attached = 0
    while attached < len(parts) and isinstance(parts[attached], Picture):
        attached += 1
    words = " ".join(part if isinstance(part, str) else f"<image:{part.path}>" for part in parts[attached:])
    return words, tuple(part for part in parts[:attached] if isinstance(part, Picture))


def user_picture(path: str) -> Picture:
    """The user's picture from its file; a card that says so where it is gone."""
    try:
        return load_file(Path(path))
    except ImageError as error:
        return Picture(None, sanitize(Path(path).name), "", path, problem=sanitize(error.message))


def hit_pictures(agent: ChatAgent | None, hits: Sequence[Hit]) -> tuple[Picture, ...]:
    """Retrieved pictures: from the index where it has the same ones, else from their files."""
    return tuple(_hit_picture(agent, hit) for hit in hits)


def _hit_picture(agent: ChatAgent | None, hit: Hit) -> Picture:
    hit = dataclasses.replace(hit, gone=is_gone(hit.source))  # as it is now, not as it was when it was found
    try:
        return load_hit(agent if agent is not None and _has(agent, hit) else _Files(), hit)
    except ValueError:  # a source that looks like an address and is none
        return Picture(None, sanitize(hit.caption or hit.source), "", hit.source, hit.score, "This is no address.", hit)


def _at_hand(agent: ChatAgent | None, hits: Sequence[Hit]) -> tuple[Picture, ...]:
    def is_near(hit: Hit) -> bool:
        from_file = not (is_url(hit.source) or is_gone(hit.source))
        return from_file or (agent is not None and _has(agent, hit) and agent.is_at_hand(hit))

    near = [hit for hit in hits if is_near(hit)]
    return tuple(picture for picture in hit_pictures(agent, near) if picture.image is not None)


def known_ids(agent: ChatAgent, hits: Sequence[Hit]) -> set[int]:
    """Numbers of those pictures that the agent's index has under the same number."""
    return {hit.id for hit in _numbered(agent, hits) if hit.id >= 0}


def described(agent: ChatAgent, ids: Collection[int]) -> tuple[Hit, ...]:
    """Pictures of the agent's index by what tells them from those of another index."""
    rows = {id: agent.row(id) for id in sorted(ids)}
    return tuple(Hit(id, 0.0, row[0] if row is not None else "?") for id, row in rows.items())


def turns_for(agent: ChatAgent, turns: Sequence[Turn]) -> list[Turn]:
    """Turns as a dialogue of this agent has them: a picture that its index doesn't have gets no number, which would
    keep another one from being shown."""
    return [
        dataclasses.replace(turn, reply=tuple(p if isinstance(p, str) else _numbered(agent, p) for p in turn.reply))
        for turn in turns
    ]


def _numbered(agent: ChatAgent, hits: Sequence[Hit]) -> tuple[Hit, ...]:
    if not agent.index_size:
        return tuple(hits)  # there is none to know better
    return tuple(hit if _has(agent, hit) else dataclasses.replace(hit, id=FOREIGN) for hit in hits)


def _has(agent: ChatAgent, hit: Hit) -> bool:
    """Whether the agent's index has this picture under this number: another index has another one there."""
    row = agent.row(hit.id) if hit.id >= 0 else None
    return row is not None and row[0] == hit.source
