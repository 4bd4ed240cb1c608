"""Stories of pictures: Visual Storytelling's annotations `SPLIT.story-in-sequence.json`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fromage_lite.errors import DataError
from fromage_lite.evaluate.formats.nodes import Node, read_json
from fromage_lite.evaluate.formats.pictures import PictureRef

STORY_LENGTH = 5


@dataclass(frozen=True)
class Story:
    """Five captions that make a story, each about one picture.

    Attributes:
        id: its number.
        captions: in the order of the story.
        pictures: one for each caption; the same picture may come twice.
    """

    id: str
    captions: tuple[str, ...]
    pictures: tuple[PictureRef, ...]


@dataclass(frozen=True)
class Stories:
    """The stories of a file.

    Attributes:
        stories: those that are whole.
        incomplete: how many have not five captions, each with a picture.
    """

    stories: tuple[Story, ...]
    incomplete: int


def read_vist(path: str | Path) -> Stories:
    """Reads Visual Storytelling's stories in sequence (Huang et al. 2016), in the order of the file.

    The captions are put into the order that their annotator arranged; the original evaluation trusts the file's.

    Raises:
        DataError: the file is missing or has another form, or has no whole story.
    """
    node = read_json(path)
    urls = {image["id"].id(): _url(image) for image in node["images"].items()}
    parts: dict[str, list[tuple[int, str, str]]] = {}
    for entry in node["annotations"].items():
        pieces = list(entry.items())  # each annotation is a list of one
        if len(pieces) != 1:
            raise DataError(f"{entry.file}: {entry.place} has {len(pieces)} parts instead of one.")
        piece = pieces[0]
        place = piece["worker_arranged_photo_order"].integer()
        line = (place, piece["text"].text(), piece["photo_flickr_id"].id())
        parts.setdefault(piece["story_id"].id(), []).append(line)
    stories = []
    for id, lines in parts.items():
        lines.sort(key=lambda line: line[0])
        if [place for place, _, _ in lines] == list(range(STORY_LENGTH)) and all(text for _, text, _ in lines):
            pictures = tuple(PictureRef(picture, (), urls.get(picture, "")) for _, _, picture in lines)
            stories.append(Story(id, tuple(text for _, text, _ in lines), pictures))
    if not stories:
        raise DataError(f"{node.file} has no story of {STORY_LENGTH} captions.")
    return Stories(tuple(stories), len(parts) - len(stories))


def _url(image: Node) -> str:
    for key in ("url_o", "url_m"):
        if (found := image.get(key)) is not None:
            return found.text()
    return ""
