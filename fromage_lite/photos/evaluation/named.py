"""What a reply about a picture says, read back from its words."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from fromage_lite.photos.world.classes import CLASSES, KINDS
from fromage_lite.photos.world.nouns import with_article
from fromage_lite.photos.world.saying import CANT_TELL

_KIND = "some kind of "


@dataclass(frozen=True)
class Said:
    """What a reply claims.

    Attributes:
        names: the classes that it names; -1 for words that are no name.
        kind: the kind that it names; None for none.
        nothing: whether it says that it can't tell.
    """

    names: tuple[int, ...] = ()
    kind: str | None = None
    nothing: bool = False


@functools.cache
def _classes() -> dict[str, int]:
    return {with_article(row.name): number for number, row in enumerate(CLASSES)}


def read(reply: str) -> Said:
    """A reply to what a picture shows: `a tabby or a tiger cat.`, `some kind of cat, maybe a tabby.`, …"""
    text = reply.strip().lower().rstrip(".")
    if text == CANT_TELL:
        return Said(nothing=True)
    kind = None
    if text.startswith(_KIND):
        kind, _, text = text.removeprefix(_KIND).partition(", ")
    parts = text.removeprefix("maybe ").split(" or ") if text else []
    return Said(tuple(_classes().get(part, -1) for part in parts), kind if kind in KINDS else None)
