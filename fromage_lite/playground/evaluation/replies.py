"""Replies of a dialogue as an evaluation reads them, and the pictures it is asked about."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from fromage_lite.chat.dialogue import Dialogue
from fromage_lite.chat.events import Done, Failed, ImagesFound
from fromage_lite.playground.world.render import render
from fromage_lite.playground.world.scene import Scene
from fromage_lite.text.message import ImageSegment, Segment
from index.hits import Hit


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


class Pictures:
    """Held-out pictures as real image files, in a folder that goes away."""

    def __enter__(self) -> Pictures:
        self._folder = tempfile.TemporaryDirectory()
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def save(self, scene: Scene, seed: int) -> ImageSegment:
        path = Path(self._folder.name) / f"{seed}.png"
        render(scene, seed).save(path, compress_level=1)
        return ImageSegment(str(path))
