"""Pictures from untrusted files: opening them, thumbnails, and text that is safe on a screen."""

from __future__ import annotations

import io
import re
import stat
import warnings
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from index.errors import ImageError, reason

MAX_PIXELS = 178_956_970
"""Pillow's own bound (twice `Image.MAX_IMAGE_PIXELS`), checked on the header, before anything is decoded."""
MAX_ASPECT = 500
"""A picture of 1 x 60,000 pixels is a small file, but an encoder that scales up its short side would need gigabytes."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "PPM", "AVIF", "ICO", "QOI")
"""The only decoders tried. Pillow has more, and some of them (EPS) start other programs."""
PICTURE_SUFFIXES = frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS)
"""Of the files that can be opened here, lower case with the dot: what to offer. A build of Pillow may lack some."""
UNREADABLE_SUFFIXES = frozenset({".heic", ".heif"})
"""Of pictures as phones make them, which Pillow can't open: better refused in words than passed over."""

# Pillow's warnings (odd tags, half of MAX_PIXELS) would only clutter the screen: what matters is raised below.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.simplefilter("ignore", Image.DecompressionBombWarning)

_ESCAPE_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, modes
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS and their like
    r"|\x1b[ -/]*[0-~]"  # the short ones
)
# C0 (but tab and newline), DEL, C1, line separators, bidi marks, overrides and isolates, byte order mark.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def sanitize(text: str) -> str:
    """Make text from data (captions, file names) safe for a terminal.

    Escape sequences and control characters go, bidi overrides too (they make a name read as another); tabs and
    newlines stay; lone surrogates, which can't be printed, become U+FFFD.
    """
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", _ESCAPE_SEQUENCE.sub("", text)))


def one_line(text: str, limit: int = 10_000) -> str:
    """Sanitised text on one line, cut to `limit` characters: how captions are kept."""
    return " ".join(sanitize(text[: 2 * limit]).split())[:limit]


def is_picture_name(name: str | Path) -> bool:
    """Whether a file's name is that of a picture, even of one that can't be opened here."""
    suffix = Path(name).suffix.lower()
    return suffix in PICTURE_SUFFIXES or suffix in UNREADABLE_SUFFIXES


def is_url(source: str) -> bool:
    """Whether a picture's source is a web address, not a file."""
    return source[:8].lower().startswith(("http://", "https://"))


def open_image(source: str | Path | bytes) -> Image.Image:
    """Read a picture as RGB, upright, transparency over white, the first frame of an animation.

    Args:
        source: a file's path, or the bytes of a file.

    Returns:
        A fully decoded image of mode RGB.

    Raises:
        ImageError: the file is missing, not a regular file, empty, truncated, too large or not a picture.
    """
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), "The picture", len(source))
    name = sanitize(str(source))
    if is_url(str(source)):
        raise ImageError(f"{name} is a web address.", "Save the picture to a file first.")
    try:
        status = Path(source).stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{name} is a folder.", "Name a picture file.")
        if not stat.S_ISREG(status.st_mode):
            # Reading a pipe or a device could block, or go on, for ever.
            raise ImageError(f"{name} is not a regular file.")
        with Path(source).open("rb") as file:
            return _decode(file, name, status.st_size)
    except FileNotFoundError:
        raise ImageError(f"There is no file {name}.") from None
    except PermissionError:
        raise ImageError(f"You have no permission to read {name}.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL or a surrogate in the path
        raise ImageError(f"{name} can't be read: {reason(error)}.") from error


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)  # a build of Pillow may lack some


def _decode(file: BinaryIO, name: str, size: int) -> Image.Image:
    if size == 0:
        raise ImageError(f"{name} is empty.")
    try:
        with Image.open(file, formats=_formats()) as image:
            _check_size(image, name)
            image.load()
            return _flatten(_upright(image))
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} is not a picture that can be read.", "JPEG, PNG, WebP, GIF and TIFF can.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise ImageError(f"{name} is too large.", f"The limit is {MAX_PIXELS // 10**6} million pixels.") from error
    except Exception as error:  # given hostile bytes, decoders raise nearly every type there is
        truncated = "truncated" in str(error).lower() or isinstance(error, EOFError)
        what = "is truncated" if truncated else "is a damaged picture"
        raise ImageError(f"{name} {what}.") from error


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels.")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name} is too large ({width} x {height}).", f"The limit is {MAX_PIXELS // 10**6} million pixels."
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(f"{name} is too long and thin ({width} x {height}).")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF, sound pixels: show them as they are
        return image


def _flatten(image: Image.Image) -> Image.Image:
    """Any mode to RGB."""
    if image.mode.startswith(("I", "F")):
        image = _to_8_bit(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layer)
    return image.convert("RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Deep grey to 8 bits: Pillow's own conversion clips at 255, which makes 16-bit pictures white."""
    values = np.asarray(image)
    if image.mode == "F":
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        low, high = float(values.min()), float(values.max())
        scaled = (values - low) * (255.0 / (high - low)) if high > low else values * 0.0
    elif image.mode == "I" and values.max() <= 255:
        scaled = values.clip(0, 255)
    else:
        scaled = values.clip(0, 65_535) / 257.0
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def bound_short_side(image: Image.Image, limit: int = 1024) -> Image.Image:
    """Scale down a picture whose short side exceeds `limit` pixels: no encoder sees more, and many are in memory."""
    short = min(image.size)
    if short <= limit:
        return image
    width, height = (max(1, round(side * limit / short)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


def make_thumbnail(image: Image.Image, size: int = 256) -> bytes:
    """The picture as a JPEG file within `size` x `size` pixels, never enlarged.

    JPEG rather than WebP: 0.1 ms against 2 to 5 ms, which is hours over millions of pictures.
    """
    small = image.convert("RGB")
    small.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=3.0)
    data = io.BytesIO()
    Image.fromarray(np.asarray(small)).save(data, "JPEG", quality=88)  # a fresh image: no EXIF, no profile
    return data.getvalue()
