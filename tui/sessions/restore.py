"""Saved turns made ready to be drawn again: their pictures read anew, off the screen's thread."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from fromage_lite.chat.events import Done, Statistics, TextDelta
from fromage_lite.chat.protocol import ChatAgent
from fromage_lite.chat.turns import Turn
from fromage_lite.errors import ImageError
from index.hits import FOREIGN, Hit
from index.images import is_url, make_thumbnail, open_image, sanitize
from tui.conversation import PicturesFound, ReplyItem
from tui.pictures.thumbnails import MAX_SIDE, Picture, load_file, load_hit
from tui.sessions.records import SavedTurn

MORE_DRAWN = 30  # the last turns whose next best pictures are read again


@dataclass(frozen=True)
class DrawnTurn:
    """What a turn's view needs.

    Attributes:
        turn: the turn itself.
        parts: the message, its pictures read.
        items: the events of its reply; without an end where it has none.
    """

    turn: SavedTurn
    parts: tuple[str | Picture, ...]
    items: tuple[ReplyItem, ...]


class _Files:
    """Pictures of hits from the files they were made of: for an index that isn't the one at hand."""

    def thumbnail(self, hit: Hit) -> bytes:
        return make_thumbnail(open_image(hit.source), MAX_SIDE)


def draw_turns(agent: ChatAgent | None, turns: Sequence[SavedTurn]) -> list[DrawnTurn]:
    """Turns for the screen: the last ones with their next best pictures, too."""
    first = len(turns) - MORE_DRAWN
    return [draw_turn(agent, turn, more=place >= first) for place, turn in enumerate(turns)]


def draw_turn(agent: ChatAgent | None, turn: SavedTurn, *, more: bool = False) -> DrawnTurn:
    """A turn with its pictures.

    Args:
        agent: whose index has pictures of hits; None as long as there is none.
        turn: the saved turn.
        more: with the next best pictures, as far as they can be had without the web.
    """
    following = iter(turn.more if more else ())
    parts = tuple(s if isinstance(s, str) else user_picture(s.path) for s in turn.message)
    items: list[ReplyItem] = []
    for part in turn.reply:
        if isinstance(part, str):
            items.append(TextDelta(part))
        else:
            items.append(PicturesFound(hit_pictures(agent, part), _at_hand(agent, next(following, ()) if part else ())))
    if turn.reason is not None:
        if isinstance(turn.statistics, Statistics):
            items.append(turn.statistics)
        items.append(Done("", turn.reason))
    return DrawnTurn(turn, parts, tuple(items))


def user_picture(path: str) -> Picture:
    """The user's picture from its file; a card that says so where it is gone."""
    try:
        return load_file(Path(path))
    except ImageError as error:
        return Picture(None, sanitize(Path(path).name), "", path, problem=sanitize(error.message))


def hit_pictures(agent: ChatAgent | None, hits: Sequence[Hit]) -> tuple[Picture, ...]:
    """Retrieved pictures: from the index where it has the same ones, else from their files."""
    files = _Files()
    return tuple(load_hit(agent if agent is not None and _has(agent, hit) else files, hit) for hit in hits)


def _at_hand(agent: ChatAgent | None, hits: Sequence[Hit]) -> tuple[Picture, ...]:
    def is_near(hit: Hit) -> bool:
        return not is_url(hit.source) or (agent is not None and _has(agent, hit) and agent.is_at_hand(hit))

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
