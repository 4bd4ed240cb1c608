"""What a reply about a picture says, read back from its words."""

from __future__ import annotations

import functools

from fromage_lite.photos.world.classes import CLASSES, KINDS
from fromage_lite.photos.world.nouns import with_article
from fromage_lite.photos.world.saying import CANT_TELL, Saying

NO_NAME = -1
"""In the place of a class where the words are no name."""
_KIND, _MAYBE = "some kind of ", "maybe "


@functools.cache
def _classes() -> dict[str, int]:
    return {with_article(row.name): number for number, row in enumerate(CLASSES)}


def read(reply: str) -> Saying:
    """A reply to what a picture shows: `a tabby or a tiger cat.`, `some kind of cat, maybe a tabby.`, …

    What is none of the forms counts as a name that is none.
    """
    text = reply.strip().lower().rstrip(".")
    if text == CANT_TELL:
        return Saying()
    kind: str | None = None
    if text.startswith(_KIND):
        kind, _, text = text.removeprefix(_KIND).partition(", ")
        if kind not in KINDS:
            return Saying((NO_NAME,))
        if not text:
            return Saying((), kind)
    names = tuple(_classes().get(part, NO_NAME) for part in text.removeprefix(_MAYBE).split(" or "))
    return Saying(names, kind, sure=len(names) == 1 and not text.startswith(_MAYBE))
