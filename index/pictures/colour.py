"""What the numbers of a picture mean: deep, signed and float samples, colour profiles and gamma, all to 8-bit sRGB."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

WIDEST_IDENTITY = 2
"""Of 255: a profile that moves no colour further is sRGB in other words, and its pictures stay as they are."""

_ENDS = (b"II", b"MM")
_BITS, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 258, 262, 284, 339  # tags of TIFF 6.0
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3  # values of the last
_NATIVE = {
    "I;16BS": "I;16NS",
    "I;32B": "I;32N",
    "I;32BS": "I;32NS",
    "F;32BF": "F;32NF",
    "F;64BF": "F;64NF",
}
_SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}  # what a profile calls a mode
_SRGB_GAMMA = 1 / 2.2


@dataclass(frozen=True)
class Samples:
    """How the samples of a file are to be read, as its header says.

    Attributes:
        bits: of a deep integer sample.
        is_signed: whether integers are.
        is_inverted: whether zero is white, where Pillow has not turned it round itself.
        gamma: the exponent of a PNG that has neither a profile nor the mark of sRGB; None for sRGB.
    """

    bits: int = 16
    is_signed: bool = False
    is_inverted: bool = False
    gamma: float | None = None


def add_tiff_kinds() -> None:
    """Teach Pillow the TIFFs of one channel that it could decode and does not know: white is zero, 32 and 64 bits."""
    for prefix, end in zip(_ENDS, ("", "B"), strict=True):
        kinds = {
            (_UNSIGNED, 12): ("I;16", "I;12"),
            (_UNSIGNED, 16): ("I;16" + end, "I;16" + end),
            (_SIGNED, 16): ("I", f"I;16{end}S"),
            (_UNSIGNED, 32): ("I", f"I;32{end or 'N'}"),
            (_SIGNED, 32): ("I", f"I;32{end}S"),
            (_FLOAT, 32): ("F", f"F;32{end}F"),
            (_FLOAT, 64): ("F", f"F;64{end}F"),
            (_SIGNED, 8): ("L", "L"),
        }
        for (format, bits), kind in kinds.items():
            for photometric in (0, 1):
                TiffImagePlugin.OPEN_INFO.setdefault((prefix, photometric, (format,), 1, (bits,), ()), kind)


def read_header(image: Image.Image) -> Samples:
    """What is known before the pixels are loaded; puts right what Pillow would get wrong while it loads them."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _mend_byte_order(image)
        tags = image.tag_v2
        is_signed = tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _SIGNED
        is_deep = image.mode.startswith(("I", "F")) or is_signed
        return Samples(tags.get(_BITS, (1,))[0], is_signed, is_deep and tags.get(_PHOTOMETRIC) == 0)
    if isinstance(image, PngImagePlugin.PngImageFile):
        _mend_transparency(image)
        gamma = image.info.get("gamma")
        if gamma and "srgb" not in image.info and abs(gamma / _SRGB_GAMMA - 1) > 0.05:
            return Samples(gamma=gamma)
    return Samples()


def _mend_byte_order(image: TiffImagePlugin.TiffImageFile) -> None:
    """libtiff gives samples in the machine's byte order, which Pillow knows for the commonest kinds only; and where
    each channel lies by itself, uncompressed, Pillow takes 16 bits for 8."""
    planes = image.tag_v2.get(_PLANAR, 1) == 2 and image.tag_v2.get(_BITS, (1,))[0] == 16
    for number, tile in enumerate(image.tile):
        rawmode, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        if tile.codec_name == "libtiff":
            rawmode = _NATIVE.get(rawmode, rawmode)
        elif planes and len(rawmode) == 1:
            rawmode += ";16B" if image.tag_v2.prefix.startswith(b"MM") else ";16L"
        image.tile[number] = tile._replace(args=(rawmode, *rest))


def _mend_transparency(image: PngImagePlugin.PngImageFile) -> None:
    """The transparent colour of a PNG is written in its own depth, but Pillow compares it with 8 bits."""
    colour = image.info.get("transparency")
    rawmode = image.tile[0].args if image.tile else None
    if isinstance(colour, int) and rawmode in ("L;2", "L;4"):
        image.info["transparency"] = colour * (85 if rawmode == "L;2" else 17)
    elif isinstance(colour, tuple) and rawmode == "RGB;16B":
        image.info["transparency"] = tuple(part >> 8 for part in colour)


def to_srgb(image: Image.Image, samples: Samples) -> Image.Image:
    """A loaded picture as RGB, over white where it is transparent.

    Args:
        image: of any mode, with its profile in `info`.
        samples: what its header said.

    Returns:
        Mode RGB in sRGB, with an empty `info`: no profile that would be applied once more.
    """
    profile = image.info.get("icc_profile")
    if image.mode.startswith(("I", "F")) or samples.is_signed:
        image = _to_8_bit(image, samples)
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    rgb = _converted(_without_alpha(image), profile if isinstance(profile, bytes) else None)
    if samples.gamma is not None and not profile:
        rgb = rgb.point(_gamma_table(samples.gamma) * 3)
    if alpha is not None:
        rgb.putalpha(alpha)
        rgb = Image.alpha_composite(Image.new("RGBA", rgb.size, (255, 255, 255, 255)), rgb).convert("RGB")
    rgb.info = {}
    return rgb


def _to_8_bit(image: Image.Image, samples: Samples) -> Image.Image:
    """Deep, signed and float grey to 8 bits; Pillow's own conversion clips at 0 and 255."""
    values = np.asarray(image)
    if image.mode == "L":
        values = values.view(np.int8)
    elif image.mode == "I" and samples.bits == 32 and not samples.is_signed:
        values = values.view(np.uint32)
    black, white = _range(values, samples)
    with np.errstate(all="ignore"):  # of floats there are all kinds
        scaled = np.nan_to_num((values - black) * (255.0 / (white - black)), nan=0.0, posinf=255.0, neginf=0.0)
    grey = np.rint(scaled.clip(0, 255)).astype(np.uint8)
    shown = Image.fromarray(255 - grey if samples.is_inverted else grey)
    if isinstance(transparent := image.info.get("transparency"), int):
        shown.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return shown


def _range(values: npt.NDArray[np.number], samples: Samples) -> tuple[float, float]:
    """The values that black and white have.

    Unsigned integers of up to 16 bits use them all. Others have no white that everybody keeps to: it is that of the
    range in whose upper half the highest value lies. What fits none (elevations, temperatures) is stretched.
    """
    if not samples.is_signed and values.dtype.kind in "iu" and samples.bits <= 16:
        return 0.0, 2.0**samples.bits - 1
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    widest = 2 ** (samples.bits - 1) - 1 if samples.is_signed else 2**samples.bits - 1
    for white in (1, 255, 65535) if values.dtype.kind == "f" else (255, 65535, widest):
        if low >= 0 and (white / 2 <= high <= white or low == high <= white):
            return 0.0, white
    return low, max(high, np.nextafter(low, np.inf))


def _without_alpha(image: Image.Image) -> Image.Image:
    """In a mode that a profile can be for: L, RGB or CMYK."""
    if image.mode in _SPACES:
        return image
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("1", "LA"):
        return image.convert("L")
    return (image.convert("RGBA") if image.has_transparency_data else image).convert("RGB")


def _converted(image: Image.Image, profile: bytes | None) -> Image.Image:
    """To sRGB by the profile that is embedded; as Pillow does it where there is none, or none that is sound."""
    if profile and (transform := _transform(profile, image.mode)):
        return transform.apply(image)
    return image.convert("RGB")


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None if it is damaged, for another kind of picture, or sRGB itself."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _SPACES[mode]:
            return None
        # Perceptual, as browsers do it. Profiles of monitors and cameras are the same by any intent.
        transform = ImageCms.buildTransform(source, _srgb(), mode, "RGB", ImageCms.Intent.PERCEPTUAL)
        return None if mode != "CMYK" and _is_identity(transform, mode) else transform
    except (ImageCms.PyCMSError, ImportError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    steps = np.linspace(0, 255, 16 if mode == "RGB" else 256).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3) if mode == "RGB" else steps[None]
    probe = Image.fromarray(np.ascontiguousarray(colours))
    moved = np.asarray(transform.apply(probe)).astype(int) - np.asarray(probe.convert("RGB"))
    return int(np.abs(moved).max()) <= WIDEST_IDENTITY


def _gamma_table(gamma: float) -> list[int]:
    """256 values encoded as `light ** gamma` to sRGB (IEC 61966-2-1)."""
    light = (np.arange(256) / 255) ** (1 / gamma)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return [int(value) for value in np.rint(255 * encoded)]
