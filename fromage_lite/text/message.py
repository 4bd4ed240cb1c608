"""Messages of text and pictures, in their order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from index.pictures.images import sanitize


@dataclass(frozen=True)
class ImageSegment:
    """A picture inside a message, by the place it is read from."""

    path: str


Segment = str | ImageSegment

_IMAGE_TAG = re.compile(r"<image:([^<>\n]+)>")


def parse_message(text: str, attachments: Iterable[str] = ()) -> tuple[Segment, ...]:
    """Splits a typed message into texts and images.

    Attachments come first, in their order; `<image:PATH>` stands for an image at its own place. Texts lose the blanks
    at both ends; empty ones are dropped.
    """
    segments: list[Segment] = [ImageSegment(path) for path in attachments]
    for position, piece in enumerate(_IMAGE_TAG.split(text)):  # odd pieces are the paths
        if not (piece := piece.strip()):
            continue
        segments.append(ImageSegment(piece) if position % 2 else piece)
    return tuple(segments)


def clean(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Segments without control characters and lone surrogates (no tokenizer takes them), and without empty texts."""
    cleaned = (sanitize(segment) if isinstance(segment, str) else segment for segment in segments)
    return tuple(segment for segment in cleaned if not isinstance(segment, str) or segment.strip())


def join_texts(segments: Iterable[Segment]) -> list[Segment]:
    """Joins neighbouring texts and drops empty ones, so that a tokenizer sees each stretch of text whole."""
    joined: list[Segment] = []
    for segment in segments:
        if isinstance(segment, str) and joined and isinstance(joined[-1], str):
            joined[-1] += segment
        elif segment != "":
            joined.append(segment)
    return joined
