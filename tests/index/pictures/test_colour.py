"""Colour and depth of pictures; expected are numbers by hand, closed forms, and what was put in before encoding."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from index.errors import ImageError
from index.pictures.images import make_thumbnail, open_image


def encoded(image, format="PNG", **options):
    data = io.BytesIO()
    image.save(data, format, **options)
    return data.getvalue()


def opened(image, format="PNG", **options):
    return np.asarray(open_image(encoded(image, format, **options))).astype(int)


# --- profiles, written by the ICC's own rules ---


def profile(space, tags):
    """A version 2 profile of a monitor: `tags` by name, as bytes."""
    head = bytearray(128)
    head[4:8], head[8:12], head[12:16] = b"lcms", bytes([2, 0x10, 0, 0]), b"mntr"
    head[16:20], head[20:24], head[36:40] = space, b"XYZ ", b"acsp"
    head[68:80] = struct.pack(">iii", 63190, 65536, 54061)
    tags = {b"desc": text(b"desc"), b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz(0.9642, 1, 0.8249), **tags}
    table, body = b"", b""
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data
    whole = bytes(head) + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def text(kind):
    return kind + b"\0\0\0\0" + struct.pack(">I", 2) + b"p\0" + b"\0" * 78


def xyz(*values):
    return b"XYZ \0\0\0\0" + struct.pack(">iii", *(round(value * 65536) for value in values))


def curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def rgb_profile(red, green, blue, gamma):
    """Primaries as XYZ, adapted to D50."""
    names = {b"rXYZ": red, b"gXYZ": green, b"bXYZ": blue}
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma))
    return profile(b"RGB ", {name: xyz(*values) for name, values in names.items()} | curves)


def gray_profile(gamma):
    return profile(b"GRAY", {b"kTRC": curve(gamma)})


# Adobe RGB (1998), and sRGB (IEC 61966-2-1): primaries adapted to D50.
ADOBE = np.array([(0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)]).T
SRGB = np.array([(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)]).T
ADOBE_PROFILE = rgb_profile(*ADOBE.T, 2.2)
SWAPPED_PROFILE = rgb_profile(SRGB.T[1], SRGB.T[0], SRGB.T[2], 2.2)  # what it calls red is green


def linear(srgb):
    value = np.asarray(srgb) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def srgb(light):
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


MEANT = np.array([(0, 200, 0), (200, 0, 0), (0, 120, 200), (255, 255, 255), (128, 128, 128), (30, 60, 90)])


def in_adobe(colours):
    """sRGB colours as Adobe RGB writes them."""
    light = linear(colours) @ (np.linalg.inv(ADOBE) @ SRGB).T
    return np.rint(255 * light.clip(0, 1) ** (256 / 563)).astype(np.uint8)  # 2.2 in the profile is 563/256


def stripes(colours, mode="RGB"):
    return Image.fromarray(np.repeat(np.repeat(np.asarray(colours, np.uint8)[None], 16, 1), 16, 0), mode)


@pytest.mark.parametrize(
    ("format", "options", "tolerance"),
    [
        ("PNG", {}, 2),
        ("TIFF", {}, 2),
        ("TIFF", {"compression": "tiff_lzw"}, 2),
        ("WEBP", {"lossless": True}, 2),
        ("JPEG", {"quality": 100, "subsampling": 0}, 10),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 10),
    ],
)
def test_a_wide_gamut_is_converted(format, options, tolerance):
    if format not in {name for name in Image.registered_extensions().values() if name in Image.OPEN}:
        pytest.skip(f"this build of Pillow has no {format}")
    got = opened(stripes(in_adobe(MEANT)), format, icc_profile=ADOBE_PROFILE, **options)[8, 8::16]
    assert np.abs(got - MEANT).max() <= tolerance
    assert np.abs(in_adobe(MEANT).astype(int) - MEANT).max() > 30  # so far off it would be without


def test_palettes_and_transparency_are_converted_too():
    image = Image.new("P", (3, 1))
    image.putpalette(in_adobe(MEANT)[:3].tobytes())
    for place in range(3):
        image.putpixel((place, 0), place)
    got = opened(image, icc_profile=ADOBE_PROFILE, transparency=bytes([255, 255, 0]))[0]
    assert np.abs(got[:2] - MEANT[:2]).max() <= 2 and got[2].tolist() == [255, 255, 255]
    half = np.concatenate([in_adobe(MEANT[:1]), [[51]]], axis=1)  # a fifth of green over white
    got = opened(Image.fromarray(half[None].astype(np.uint8), "RGBA"), icc_profile=ADOBE_PROFILE)[0, 0]
    assert np.abs(got - (MEANT[0] * 0.2 + 255 * 0.8)).max() <= 2


def test_an_upright_picture_keeps_its_profile():
    exif = Image.Exif()
    exif[0x0112] = 6
    got = opened(stripes(in_adobe(MEANT)), icc_profile=ADOBE_PROFILE, exif=exif)
    assert got.shape == (96, 16, 3) and np.abs(got[8::16, 8] - MEANT).max() <= 2


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2, 3.0])
@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_a_gray_profile(gamma, mode):
    values = np.arange(0, 256, 15, dtype=np.uint8)
    image = Image.fromarray(np.repeat(values[None], 2, 0))
    if mode == "LA":
        image.putalpha(255)
    elif mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    got = opened(image, icc_profile=gray_profile(gamma))[0]
    assert np.abs(got - srgb((values / 255) ** gamma)[:, None]).max() <= 2


def cmyk_profile():
    """Output is Lab by a table of two steps an ink: black wherever there is K, else lightness by what cyan leaves."""
    grid = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4)
    lightness = np.where(grid[:, 3], 0, np.where(grid[:, 0], 50, 100))
    lab = np.stack([lightness / 100 * 0xFF00, np.full(16, 0x8000), np.full(16, 0x8000)], -1).astype(">u2")
    head = b"mft2\0\0\0\0" + bytes([4, 3, 2, 0]) + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    ramp = np.array([0, 65535], ">u2").tobytes()
    table = head + struct.pack(">HH", 2, 2) + ramp * 4 + lab.tobytes() + ramp * 3
    made = bytearray(profile(b"CMYK", {b"A2B0": table}))
    made[12:16], made[20:24] = b"prtr", b"Lab "
    return bytes(made)


@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
def test_a_cmyk_profile(format):
    inks = [(0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 255, 0), (0, 0, 0, 255)]
    got = opened(stripes(inks, "CMYK"), format, icc_profile=cmyk_profile())[8, 8::16]
    # L* 50 is a luminance of ((50 + 16) / 116) ** 3 = 0.184, sRGB 119.
    assert np.abs(got - [[255] * 3, [119] * 3, [255] * 3, [0] * 3]).max() <= 4


@pytest.mark.parametrize(
    "bad",
    [b"", b"no profile", ADOBE_PROFILE[:200], ADOBE_PROFILE[:128] + bytes(500), gray_profile(1.0), cmyk_profile()],
    ids=["empty", "text", "cut", "zeros", "of grey", "of inks"],
)
def test_a_profile_that_is_damaged_or_of_another_kind_is_ignored(bad):
    assert (opened(stripes(MEANT), icc_profile=bad)[8, 8::16] == MEANT).all()


def test_other_modes_ignore_the_profile_of_a_colour_picture():
    grey = Image.new("L", (4, 4), 100)
    assert (opened(grey, icc_profile=ADOBE_PROFILE) == 100).all()
    assert (opened(Image.new("CMYK", (4, 4)), "TIFF", icc_profile=ADOBE_PROFILE) == 255).all()


def test_srgb_under_any_name_leaves_pictures_as_they_are():
    colours = np.random.default_rng(3).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert (opened(Image.fromarray(colours), icc_profile=icc) == colours).all()


def test_a_converted_picture_is_not_converted_again():
    shown = open_image(encoded(stripes(in_adobe(MEANT)), icc_profile=ADOBE_PROFILE))
    assert (opened(shown) == np.asarray(shown)).all()  # saved and opened
    thumbnail = np.asarray(open_image(make_thumbnail(shown))).astype(int)[8, 8::16]
    assert np.abs(thumbnail - MEANT).mean() < 8


def test_profiles_are_told_apart():
    green = stripes([(0, 200, 0)])
    for _ in range(2):
        assert np.argmax(opened(green, icc_profile=ADOBE_PROFILE)[8, 8]) == 1
        assert np.argmax(opened(green, icc_profile=SWAPPED_PROFILE)[8, 8]) == 0
        assert opened(green)[8, 8].tolist() == [0, 200, 0]


# --- PNG without a profile ---


def png(width, depth, colour_type, row, *chunks):
    """One row of a PNG; `row` is packed already."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, colour_type, 0, 0, 0))
    body = b"".join(chunk(name, data) for name, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")


def grey_row(data):
    shown = np.asarray(open_image(data)).astype(int)[0]
    assert (shown == shown[:, :1]).all()
    return shown[:, 0].tolist()


def gamma_chunk(gamma):
    return b"gAMA", struct.pack(">I", round(gamma * 100_000))


def test_gamma_of_a_png():
    row = bytes([0, 55, 128, 255])
    assert grey_row(png(4, 8, 0, row)) == [0, 55, 128, 255]
    # Linear light: 128/255 is 0.50196, in sRGB 1.055 * 0.50196 ** (1 / 2.4) - 0.055 = 0.73670, of 255 that is 187.9.
    assert grey_row(png(4, 8, 0, row, gamma_chunk(1.0))) == [0, 128, 188, 255]
    assert grey_row(png(4, 8, 0, row, gamma_chunk(0.45455))) == [0, 55, 128, 255]
    assert grey_row(png(4, 8, 0, row, (b"sRGB", b"\0"), gamma_chunk(1.0))) == [0, 55, 128, 255]
    assert grey_row(png(4, 8, 0, row, gamma_chunk(0.0))) == [0, 55, 128, 255]
    assert grey_row(png(2, 16, 0, struct.pack(">2H", 0, 0x8080), gamma_chunk(1.0))) == [0, 188]


def test_sixteen_bit_pngs():
    assert grey_row(png(3, 16, 0, struct.pack(">3H", 0, 0x8000, 0xFFFF))) == [0, 128, 255]
    assert grey_row(png(2, 16, 4, struct.pack(">4H", 0, 0xFFFF, 0, 0x3333))) == [0, 204]
    colour = open_image(png(2, 16, 2, struct.pack(">6H", 0xFFFF, 0x8080, 0, 0x2020, 0x4040, 0xC0C0)))
    assert np.asarray(colour)[0].tolist() == [[255, 128, 0], [32, 64, 192]]


def test_the_transparent_colour_of_a_png_is_in_its_own_depth():
    assert grey_row(png(3, 16, 0, struct.pack(">3H", 0, 0x1234, 0xFFFF), (b"tRNS", b"\x12\x34"))) == [0, 255, 255]
    assert grey_row(png(3, 8, 0, bytes([0, 7, 9]), (b"tRNS", b"\0\7"))) == [0, 255, 9]
    assert grey_row(png(4, 2, 0, bytes([0b00011011]), (b"tRNS", b"\0\2"))) == [0, 85, 255, 255]
    assert grey_row(png(2, 4, 0, bytes([0x1A]), (b"tRNS", b"\0\1"))) == [255, 170]
    assert grey_row(png(8, 1, 0, bytes([0b10100000]), (b"tRNS", b"\0\0"))) == [255] * 8
    pixels = struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0, 0, 0)
    shown = open_image(png(2, 16, 2, pixels, (b"tRNS", bytes.fromhex("123456789abc"))))
    assert np.asarray(shown)[0].tolist() == [[255, 255, 255], [0, 0, 0]]


# --- TIFF ---

UNSIGNED, SIGNED, FLOAT = 1, 2, 3


def tiff(values, format, is_white_zero=False, order="<", is_packed=False, is_planar=False, photometric=2):
    """A TIFF 6.0 of one strip, or of three where each channel lies by itself; `values` (height, width[, 3])."""
    values = np.asarray(values)
    height, width = values.shape[:2]
    planes = [values[..., channel] for channel in range(3)] if is_planar else [values]
    strips = [plane.astype(values.dtype.newbyteorder(order)).tobytes() for plane in planes]
    strips = [zlib.compress(strip) if is_packed else strip for strip in strips]
    channels = 1 if values.ndim == 2 else 3
    offsets = [8 + sum(map(len, strips[:number])) for number in range(len(strips))]
    data = b"".join(strips)
    data += bytes(len(data) % 2)
    entries = {
        256: ("I", [width]),
        257: ("I", [height]),
        258: ("H", [8 * values.dtype.itemsize] * channels),
        259: ("H", [8 if is_packed else 1]),
        262: ("H", [photometric if channels == 3 else int(not is_white_zero)]),
        273: ("I", offsets),
        277: ("H", [channels]),
        278: ("I", [height]),
        279: ("I", [len(strip) for strip in strips]),
        284: ("H", [2 if is_planar else 1]),
        339: ("H", [format] * channels),
    }
    ifd, more = struct.pack(order + "H", len(entries)), b""
    after = 8 + len(data) + 2 + 12 * len(entries) + 4
    for tag, (kind, numbers) in entries.items():
        field = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        if len(field) > 4:
            field, more = struct.pack(order + "I", after + len(more)), more + field
        ifd += struct.pack(order + "HHI", tag, {"H": 3, "I": 4}[kind], len(numbers)) + field.ljust(4, b"\0")
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(order + "I", 8 + len(data)) + data + ifd + bytes(4) + more


RAMP = np.arange(0, 256, 5)  # what is meant, 52 shades
KINDS = {  # the same ramp in the whole range of every kind of sample
    "u8": (RAMP.astype(np.uint8), UNSIGNED),
    "s8": ((RAMP - 128).astype(np.int8), SIGNED),
    "u16": ((RAMP * 257).astype(np.uint16), UNSIGNED),
    "s16": ((RAMP * 257 - 32768).astype(np.int16), SIGNED),
    "u32": ((RAMP * 0x01010101).astype(np.uint32), UNSIGNED),
    "s32": ((RAMP * 0x01010101 - 2**31).astype(np.int32), SIGNED),
    "f32": ((RAMP / 255).astype(np.float32), FLOAT),
    "f64": (RAMP / 255, FLOAT),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("is_white_zero", [False, True])
def test_a_ramp_in_every_kind_of_sample(kind, order, is_packed, is_white_zero):
    values, format = KINDS[kind]
    data = tiff(np.stack([values] * 3), format, is_white_zero, order, is_packed)
    assert grey_row(data) == (255 - RAMP if is_white_zero else RAMP).tolist()


@pytest.mark.parametrize(
    ("values", "dtype", "format", "wanted"),
    [
        ([0, 13_107, 65_535], np.uint32, UNSIGNED, [0, 51, 255]),  # 16 bits in 32
        ([0, 51, 255], np.uint32, UNSIGNED, [0, 51, 255]),  # 8 bits in 32
        ([0, 51, 255], np.int32, SIGNED, [0, 51, 255]),
        ([0, 2**31 - 1, 2**32 - 1], np.uint32, UNSIGNED, [0, 127, 255]),
        ([0, 2**30, 2**31 - 1], np.int32, SIGNED, [0, 128, 255]),
        ([0, 16_384, 32_767], np.int16, SIGNED, [0, 128, 255]),
        ([-12_000, 750, 13_500], np.int16, SIGNED, [0, 128, 255]),  # depth and height: stretched
        ([-400, 1_700, 8_000], np.int32, SIGNED, [0, 64, 255]),
        ([0.0, 0.2, 0.8], np.float32, FLOAT, [0, 51, 204]),
        ([0.0, 51.0, 200.0], np.float32, FLOAT, [0, 51, 200]),
        ([0.0, 13_107.0, 65_535.0], np.float32, FLOAT, [0, 51, 255]),
        ([-1.0, 0.0, 1.0], np.float32, FLOAT, [0, 128, 255]),
        ([270.0, 280.0, 320.0], np.float32, FLOAT, [0, 51, 255]),  # temperatures
        ([np.nan, 0.4, 1.0], np.float32, FLOAT, [0, 102, 255]),
        ([-np.inf, 0.4, np.inf], np.float32, FLOAT, [0, 102, 255]),
        ([0.4, 0.4, 0.4], np.float32, FLOAT, [102, 102, 102]),
        ([0, 0, 0], np.int16, SIGNED, [0, 0, 0]),
        ([100, 1_000, 4_095], np.uint16, UNSIGNED, [0, 4, 16]),  # unsigned 16 bits have their range
    ],
)
def test_ranges_that_samples_have_in_use(values, dtype, format, wanted):
    assert grey_row(tiff(np.array([values], dtype), format)) == pytest.approx(wanted, abs=1)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("is_planar", [False, True])
def test_colour_in_sixteen_bits(order, is_packed, is_planar):
    colours = np.array([[(255, 0, 10), (0, 128, 200), (77, 66, 55)]] * 2)
    data = tiff((colours * 257).astype(np.uint16), UNSIGNED, False, order, is_packed, is_planar)
    assert np.asarray(open_image(data)).tolist() == colours.tolist()


def test_lab():
    """Colours of sRGB as CIE 1976 L*a*b* under D50; a and b are signed in a TIFF."""
    colours = np.array([(200, 60, 60), (90, 180, 70), (60, 80, 200), (119, 119, 119), (0, 0, 0)])
    ratio = linear(colours) @ SRGB.T / (0.9642, 1, 0.8249)
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root.T
    lab = np.stack([255 / 100 * (116 * y - 16), 500 * (x - y), 200 * (y - z)], -1)
    data = tiff(np.rint(lab).astype(int).astype(np.uint8)[None], UNSIGNED, photometric=8)
    assert np.abs(np.asarray(open_image(data)).astype(int)[0] - colours).max() <= 4


def test_a_deep_pgm_has_its_whole_range():
    assert grey_row(b"P5 3 1 65535\n" + struct.pack(">3H", 0, 257, 514)) == [0, 1, 2]


def test_a_tiff_of_another_kind_is_named():
    data = tiff(np.zeros((2, 2, 3), np.float32), FLOAT)
    with pytest.raises(ImageError, match="is a TIFF that is damaged or of a kind that can't be read. Save"):
        open_image(data)
