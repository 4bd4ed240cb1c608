"""The pictures of a report's examples, small."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from fromage_lite.evaluate.report.document import Report, Samples
from index.errors import FromageError
from index.pictures.images import make_thumbnail, open_image

SIDE = 160  # pixels


def thumbnails(report: Report, path_of: Callable[[str], Path | None]) -> dict[str, bytes]:
    """A small JPEG of every picture that an example shows, by id; those that can't be read are left out."""
    made: dict[str, bytes] = {}
    for id in dict.fromkeys(_ids(report)):
        path = path_of(id)
        if path is not None:
            try:
                made[id] = make_thumbnail(open_image(path), SIDE)
            except FromageError:
                continue
    return made


def _ids(report: Report) -> Iterable[str]:
    for section in report.sections:
        for block in section.blocks:
            if isinstance(block, Samples):
                for sample in block.samples:
                    yield from (*sample.shown, *filter(None, [sample.wanted_picture]), *sample.found)
