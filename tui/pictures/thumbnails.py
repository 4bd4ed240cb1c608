"""Pictures made ready for the screen: small, with clean texts. Used off the UI thread; knows no widget."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from PIL import Image

from fromage_lite.errors import FromageError
from index.pictures.containers import picture_name
from index.pictures.images import is_url, open_image, sanitize
from index.search.hits import Hit

# Enough for the largest box that the transcript draws; a full picture would cost time at every repaint.
MAX_SIDE = 512
STRIP_SIDE = 160  # of the next best, which are drawn small; there are eight to a reply

GONE = "its file is gone"


def more_alike(hit: Hit) -> str:
    """Says how many pictures a hit stands for besides itself; empty for none."""
    return f"+{len(hit.alike)} alike" if hit.alike else ""


@dataclass(frozen=True)
class Picture:
    """What a picture card shows.

    Attributes:
        image: RGB, no side longer than MAX_SIDE; None where the picture can't be shown.
        caption: what the picture shows, or its file name.
        detail: where it is from, or its size.
        path: the file or URL, as the agent wants it.
        score: cosine with the query; None for the user's own pictures.
        problem: why there is no image.
        hit: the search result that this is; None for the user's own pictures.
    """

    image: Image.Image | None = field(compare=False)
    caption: str
    detail: str
    path: str
    score: float | None = None
    problem: str = ""
    hit: Hit | None = None

    @property
    def hit_id(self) -> int | None:
        """The number in the open index; None for the user's own pictures and for those of another index."""
        return self.hit.id if self.hit is not None and self.hit.id >= 0 else None

    @property
    def gone(self) -> bool:
        """Whether the file was missing when it was found; what is drawn is the small copy in the index."""
        return self.hit is not None and self.hit.gone


class Thumbnails(Protocol):
    """What has the pictures of hits (the agent)."""

    def thumbnail(self, hit: Hit) -> bytes: ...


def load_file(path: Path) -> Picture:
    """The user's picture.

    Raises:
        ImageError: it is missing or no readable picture.
    """
    image = open_image(path)
    width, height = image.size
    return Picture(_shrunk(image), sanitize(path.name), f"{width} × {height}", str(path))


def load_hit(thumbnails: Thumbnails, hit: Hit, side: int = MAX_SIDE) -> Picture:
    """A retrieved picture, no side longer than `side`; one that can't be read becomes a card that says so."""
    place = urlsplit(hit.source).path if is_url(hit.source) else hit.source
    name = sanitize(picture_name(place) or hit.source)
    caption = sanitize(hit.caption) or name
    detail = name if name != caption else ""
    try:
        image = _shrunk(open_image(thumbnails.thumbnail(hit)), side)
    except (FromageError, OSError, LookupError) as error:
        problem = sanitize(error.message) if isinstance(error, FromageError) else "This picture can't be read any more."
        return Picture(None, caption, detail, hit.source, hit.score, problem, hit)
    return Picture(image, caption, detail, hit.source, hit.score, hit=hit)


def _shrunk(image: Image.Image, side: int = MAX_SIDE) -> Image.Image:
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side))
    return image


def fit_box(size: tuple[int, int], limit: tuple[int, int], ratio: float = 2.0) -> tuple[int, int]:
    """The largest box of cells (columns, rows) that a picture of `size` pixels fills without being stretched.

    Args:
        size: width and height in pixels.
        limit: columns and rows that there is room for.
        ratio: height of a cell in widths.
    """
    width, height = size
    columns, rows = limit
    scale = min(columns / width, rows * ratio / height)
    return max(1, min(columns, round(width * scale))), max(1, min(rows, round(height * scale / ratio)))
