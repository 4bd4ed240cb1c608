"""Pictures from untrusted files: opening them, and thumbnails."""

from __future__ import annotations

import io
import stat
import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from index.errors import ImageError, reason
from index.pictures.colour import add_tiff_kinds, read_header, to_srgb
from index.pictures.containers import container_of, read_inside
from index.pictures.facts import date_taken
from index.text import one_line as one_line
from index.text import sanitize as sanitize

MAX_PIXELS = 178_956_970
"""Pillow's own bound (twice `Image.MAX_IMAGE_PIXELS`), checked on the header, before anything is decoded."""
MAX_ASPECT = 500
"""A picture of 1 x 60,000 pixels is a small file, but an encoder that scales up its short side would need gigabytes."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "PPM", "AVIF", "ICO", "QOI", "HEIF")
"""The only decoders tried. Pillow has more, and some of them (EPS) start other programs."""
HEIF_PLUGIN = "pillow_heif"
HEIF_SUFFIXES = frozenset({".heic", ".heif"})
RAW_SUFFIXES = frozenset(f".{name}" for name in "3fr arw cr2 cr3 dng nef nrw orf pef raf raw rw2 srw".split())
PICTURE_SUFFIXES = frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS) | (
    HEIF_SUFFIXES if find_spec(HEIF_PLUGIN) else frozenset()
)
"""Of the files that can be opened here, lower case with the dot: what to offer. A build of Pillow may lack some."""
UNREADABLE_SUFFIXES = (HEIF_SUFFIXES | RAW_SUFFIXES | {".avif"}) - PICTURE_SUFFIXES
"""Of pictures as phones and cameras make them: better refused in words than passed over."""

_HEAD = 16  # bytes, by which a file is told
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# Pillow's warnings (odd tags, half of MAX_PIXELS) would only clutter the screen: what matters is raised below.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def is_picture_name(name: str | Path) -> bool:
    """Whether a file's name is that of a picture, even of one that can't be opened here."""
    suffix = Path(name).suffix.lower()
    return suffix in PICTURE_SUFFIXES or suffix in UNREADABLE_SUFFIXES


def is_url(source: str) -> bool:
    """Whether a picture's source is a web address, not a file."""
    return source[:8].lower().startswith(("http://", "https://"))


def is_gone(source: str) -> bool:
    """Whether a source names a file, or a picture inside one, and there is no such file."""
    if "://" in source[:16]:  # a web address, or a row of a data set elsewhere
        return False
    try:
        Path(container_of(source)).stat()
    except (OSError, ValueError):
        return True
    return False


class Opened(NamedTuple):
    """A picture, and when it was taken (`index.pictures.facts.Facts.taken`)."""

    image: Image.Image
    taken: str | None


def open_image(source: str | Path | bytes, name: str = "The picture") -> Image.Image:
    """Read a picture as RGB, upright, transparency over white, the first frame of an animation.

    Args:
        source: a file's path, the place of a picture inside a tar or a data set (`pictures.containers`), or the bytes
            of a file.
        name: what errors call the picture whose bytes these are.

    Returns:
        A fully decoded image of mode RGB.

    Raises:
        ImageError: the file is missing, not a regular file, empty, truncated, too large or not a picture.
    """
    return open_dated(source, name).image


def open_dated(source: str | Path | bytes, name: str = "The picture") -> Opened:
    """As `open_image`, with the date that the picture's file holds.

    Raises: as `open_image`.
    """
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), sanitize(name), len(source))
    name = sanitize(str(source))
    if is_url(str(source)):
        raise ImageError(f"{name} is a web address.", "Save the picture to a file first.", "a web address")
    try:
        status = Path(source).stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{name} is a folder.", "Name a picture in it.", "not a file")
        if not stat.S_ISREG(status.st_mode):
            # Reading a pipe or a device could block, or go on, for ever.
            raise ImageError(f"{name} is not a regular file.", cause="not a file")
        with Path(source).open("rb") as file:
            return _decode(file, name, status.st_size)
    except FileNotFoundError:
        if (data := read_inside(str(source))) is not None:
            return _decode(io.BytesIO(data), name, len(data))
        raise _missing(Path(source), name) from None
    except PermissionError:
        raise ImageError(f"You have no permission to read {name}.", cause="no permission") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL or a surrogate in the path
        raise ImageError(f"{name} can't be read: {reason(error)}.", cause=reason(error)) from error


def open_header(source: str | Path | bytes) -> tuple[tuple[int, int], str | None]:
    """Width and height of a picture as it is shown, upright, and when it was taken; no pixel is decoded but
    those of a TIFF.

    Raises:
        ImageError: it can't be read, or is no picture.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=_formats()) as image:
            taken = date_taken(image)
            is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            if image.format == "TIFF":
                _check_size(image, "It")
                image.load()  # turns it
                is_turned = False
            width, height = image.size
            return ((height, width) if is_turned else (width, height)), taken
    except Exception as error:  # as in `_decode`
        raise ImageError(f"The header of the picture can't be read: {reason(error)}.") from error


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    add_tiff_kinds()
    if find_spec(HEIF_PLUGIN):
        try:
            import_module(HEIF_PLUGIN).register_heif_opener()
        except ImportError:  # a library that it needs is missing
            pass
    return tuple(name for name in FORMATS if name in Image.OPEN)  # a build of Pillow may lack some


def _decode(file: BinaryIO, name: str, size: int) -> Opened:
    if size == 0:
        raise ImageError(f"{name} is empty.", cause="empty")
    try:
        with Image.open(file, formats=_formats()) as image:
            _check_size(image, name)
            samples = read_header(image)
            taken = date_taken(image)  # before the picture is loaded (a TIFF), turned and converted, which lose it
            image.load()
            return Opened(to_srgb(_upright(image), samples), taken)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        file.seek(0)
        raise _unidentified(name, file.read(_HEAD)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        limit = f"The limit is {MAX_PIXELS // 10**6} million pixels."
        raise ImageError(f"{name} is too large.", limit, "too large") from error
    except Exception as error:  # given hostile bytes, decoders raise nearly every type there is
        truncated = "truncated" in str(error).lower() or isinstance(error, EOFError)
        what = "is truncated" if truncated else "is a damaged picture"
        raise ImageError(f"{name} {what}.", cause="truncated" if truncated else "damaged") from error


def _missing(path: Path, name: str) -> ImageError:
    if path.is_symlink():
        target = sanitize(str(path.readlink()))
        return ImageError(f"{name} is a link to {target}, which does not exist.", cause="missing")
    if path.parent.is_dir():
        return ImageError(f"There is no file {name}.", "The folder is there: check the file's name.", "missing")
    return ImageError(
        f"There is no file {name}.", f"There is no folder {sanitize(str(path.parent))} either.", "missing"
    )


def _unidentified(name: str, head: bytes) -> ImageError:
    """What a file is that no decoder knows, by its first bytes and its name."""
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if brand in _HEIC_BRANDS and "HEIF" not in _formats():
        return ImageError(
            f"{name} is a HEIC picture, which needs the plugin pillow-heif.",
            "Install it (pip install pillow-heif), or save the picture as JPEG.",
            "HEIC without the plugin pillow-heif",
        )
    if brand in _AVIF_BRANDS and "AVIF" not in _formats():
        return ImageError(
            f"{name} is an AVIF picture, which this build of Pillow can't read.",
            "Install a newer one (pip install -U pillow), or save the picture as JPEG.",
            "AVIF without a Pillow that reads it",
        )
    if brand == b"crx " or Path(name).suffix.lower() in RAW_SUFFIXES:
        hint = "Save the picture as JPEG or TIFF."
        return ImageError(f"{name} is a camera's raw file, which can't be read.", hint, "raw file of a camera")
    if head.startswith(_TIFF_STARTS):
        return ImageError(
            f"{name} is a TIFF that is damaged or of a kind that can't be read.",
            "Save the picture as PNG or JPEG.",
            "damaged",
        )
    return ImageError(
        f"{name} is not a picture that can be read.", "JPEG, PNG, WebP, GIF and TIFF can.", "not a picture"
    )


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"{name} has no pixels.", cause="damaged")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name} is too large ({width} x {height}).",
            f"The limit is {MAX_PIXELS // 10**6} million pixels.",
            "too large",
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(f"{name} is too long and thin ({width} x {height}).", cause="too long and thin")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF, sound pixels: show them as they are
        return image


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
    small.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=2.0)
    data = io.BytesIO()
    Image.fromarray(np.asarray(small)).save(data, "JPEG", quality=88)  # a fresh image: no EXIF, no profile
    return data.getvalue()
