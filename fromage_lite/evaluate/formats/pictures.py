"""Where the pictures of a data set lie: its ids and names to files in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from index.pictures.images import PICTURE_SUFFIXES

SUFFIXES = sorted(PICTURE_SUFFIXES, key=lambda suffix: (suffix != ".jpg", suffix))  # nearly all are JPEG

_SETS = re.compile(r"(?:train|val|test)20\d\d")


@dataclass(frozen=True)
class PictureRef:
    """A picture of a data set.

    Attributes:
        id: what the data set calls it.
        names: file names that it may have, relative to a folder of pictures, the likeliest first; the id with any
            suffix of a picture is always one.
        url: where it was published; may be empty.
    """

    id: str
    names: tuple[str, ...] = ()
    url: str = ""

    def find(self, folders: Sequence[Path]) -> Path | None:
        """Its file in the first of the folders that has one; None if none has."""
        for folder in folders:
            for name in self._candidates():
                if _is_file(path := folder / name):
                    return path
        return None

    def _candidates(self) -> Iterator[str]:
        bare = [self.id + suffix for suffix in SUFFIXES]
        yield from (name for name in (*self.names, *bare) if is_inside(name))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for any file
        return False


def is_inside(name: str) -> bool:
    """Whether a file name from a foreign file stays in its folder."""
    path = Path(name)
    return bool(name) and "\0" not in name and not path.is_absolute() and ".." not in path.parts


def coco_names(image_id: str, source: str) -> tuple[str, ...]:
    """The file names that COCO and the sets upon it give a picture.

    Args:
        image_id: its number.
        source: the name of the file that names it; COCO's year and split are in it (`val2014`), VisDial's, too
            (`visdial_1.0_val.json`).
    """
    if not (image_id.isdecimal() and len(image_id) <= 12):
        return ()
    number = f"{int(image_id):012}"
    stems = [f"COCO_{name}_{number}" for name in _SETS.findall(source)]
    if "visdial" in source:
        stems += [f"VisualDialog_{name}2018_{number}" for name in ("val", "test") if name in source]
        stems += [f"COCO_{name}2014_{number}" for name in ("train", "val")]
    return tuple(stem + ".jpg" for stem in (*stems, number))
