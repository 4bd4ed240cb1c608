"""What is kept of a picture besides its embedding: size, date, and a hash that pictures which look the same share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

_SIDE, _LOW = 32, 8
_DATE = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_OFFSET = re.compile(r"[+-](?:0\d|1[0-4]):[0-5]\d")


@dataclass(frozen=True)
class Facts:
    """Facts of a picture; None is not known.

    Attributes:
        width: in pixels, of the picture as it is shown, upright.
        height: likewise.
        file_bytes: size of the picture's file, also of one inside a tar or a data set.
        taken: when the camera took it, by the clock on the spot: ISO 8601, with the offset from UTC where the camera
            knew it: `2024-05-03T14:22:05` or `2024-05-03T14:22:05+02:00`.
        phash: `perceptual_hash`.
        modified_ns: when its file was changed, in ns since 1970 UTC; of one inside a container, when that was.
        content: SHA-256 of the file's bytes.
    """

    width: int | None = None
    height: int | None = None
    file_bytes: int | None = None
    taken: str | None = None
    phash: int | None = None
    modified_ns: int | None = None
    content: bytes | None = None


def facts_of(image: Image.Image, taken: str | None = None) -> Facts:
    """What a picture itself says.

    Args:
        image: RGB, upright, not scaled down yet.
        taken: its `date_taken`.
    """
    return Facts(*image.size, taken=taken, phash=perceptual_hash(image))


def perceptual_hash(image: Image.Image) -> int:
    """64 bits that hardly change when a picture is scaled or compressed: which of the low frequencies of its grey
    values (8 x 8 of the cosine transform of 32 x 32 pixels) are above their median, row by row, the first as the lowest
    bit; as SQLite keeps them, a signed number.

    The hash is Zauner's, 2010, as the library imagehash has it; own code because that brings SciPy and PyWavelets for
    these few lines.
    """
    grey = image.resize((_SIDE, _SIDE), Image.Resampling.BOX, reducing_gap=2.0).convert("L")
    cosines = _cosines()
    low = cosines @ np.asarray(grey, dtype=np.float64) @ cosines.T
    bits = np.packbits((low > np.median(low)).ravel(), bitorder="little")
    return int.from_bytes(bits.tobytes(), "little", signed=True)


@cache
def _cosines() -> npt.NDArray[np.float64]:
    """The first rows of the discrete cosine transform (type II), (_LOW, _SIDE)."""
    return np.cos(np.pi / _SIDE * np.outer(np.arange(_LOW), np.arange(_SIDE) + 0.5))


def date_taken(image: Image.Image) -> str | None:
    """When a picture was taken, by its EXIF `DateTimeOriginal` and `OffsetTimeOriginal`; see `Facts.taken`.

    Args:
        image: just opened: turning and converting it loses the date.
    """
    try:
        tags = image.getexif().get_ifd(ExifTags.IFD.Exif)
        found = _DATE.match(_text(tags.get(ExifTags.Base.DateTimeOriginal)))
        offset = _text(tags.get(ExifTags.Base.OffsetTimeOriginal))
        if found is None:
            return None
        date = datetime(*map(int, found.groups())).isoformat()  # type: ignore[arg-type]
    except Exception:  # given hostile bytes, Pillow's reader raises nearly every type; and there is no 31 February
        return None
    return date + offset if _OFFSET.fullmatch(offset) else date


def _text(value: object) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return text.strip(" \0") if isinstance(text, str) else ""
