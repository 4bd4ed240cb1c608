"""Replies of a dialogue as an evaluation reads them."""

from __future__ import annotations

from collections.abc import Sequence

from fromage_lite.chat.dialogue import Dialogue
from fromage_lite.chat.events import Done, Failed, ImagesFound
from fromage_lite.text.message import Segment
from index.search.hits import Hit


def reply(dialogue: Dialogue, message: Sequence[Segment]) -> tuple[str, list[Hit]]:
    """The text and the pictures of a reply.

    Raises:
        FromageError: the reply failed.
    """
    hits: list[Hit] = []
    for event in dialogue.reply(message):
        if isinstance(event, ImagesFound):
            hits += event.hits
        elif isinstance(event, Failed):
            raise event.error
        elif isinstance(event, Done):
            return event.text, hits
    return "", hits


def same_answer(said: str, right: str) -> bool:
    """Whether two answers are the same words; case, blanks and the end mark do not count."""
    return " ".join(said.lower().split()).rstrip(".!") == " ".join(right.lower().split()).rstrip(".!")
