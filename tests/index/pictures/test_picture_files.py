"""Opening files that nobody vouches for."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index.errors import ImageError
from index.pictures import images
from index.pictures.images import (
    PICTURE_SUFFIXES,
    bound_short_side,
    is_picture_name,
    is_url,
    make_thumbnail,
    one_line,
    open_image,
    sanitize,
)


def encoded(image, format="PNG", **options):
    data = io.BytesIO()
    image.save(data, format, **options)
    return data.getvalue()


def huge_png(width, height):
    """A PNG whose header promises width x height and whose pixels were never made."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def test_a_path_and_bytes_give_the_same_rgb_picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    for source in (path, str(path), path.read_bytes()):
        image = open_image(source)
        assert image.mode == "RGB"
        assert (np.asarray(image) == pixels).all()


def test_exif_orientation_is_applied():
    image = Image.new("RGB", (30, 10), "red")
    image.paste("blue", (0, 0, 10, 10))  # the left third
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    upright = open_image(encoded(image, exif=exif))
    assert upright.size == (10, 30)
    assert upright.getpixel((5, 2)) == (0, 0, 255)  # left has become top
    assert upright.getpixel((5, 27)) == (255, 0, 0)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_transparency_lies_over_white(format):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((0, 0), (255, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 51))  # a fifth black over white: 204
    options = {"lossless": True} if format == "WEBP" else {}
    shown = open_image(encoded(image, format, **options))
    assert [shown.getpixel((x, 0)) for x in range(3)] == [(255, 0, 0), (204, 204, 204), (255, 255, 255)]


def test_a_transparent_palette_colour_is_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    shown = open_image(encoded(image, "PNG", transparency=0))
    assert [shown.getpixel((x, 0)) for x in range(2)] == [(255, 255, 255), (200, 100, 50)]


def test_sixteen_bit_grey_keeps_its_middle():
    image = Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16))
    assert [open_image(encoded(image)).getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]
    assert [open_image(encoded(image, "TIFF")).getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "I", "F"])
def test_every_mode_becomes_rgb(mode):
    source = Image.new("RGB", (5, 5), "white")
    shown = open_image(encoded(source.convert(mode), "PNG" if mode in ("1", "L", "LA", "P") else "TIFF"))
    assert (shown.mode, shown.size) == ("RGB", (5, 5))
    if mode not in ("F",):  # one value over a whole floating point picture has no brightness of its own
        assert min(shown.getpixel((2, 2))) > 250


def test_cmyk_jpeg_keeps_its_colours():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # magenta and yellow make red
    red, green, blue = open_image(encoded(image, "JPEG", quality=95)).getpixel((8, 8))
    assert red > 240 and green < 20 and blue < 20


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame(format):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    shown = open_image(encoded(frames[0], format, save_all=True, append_images=frames[1:]))
    red, green, blue = shown.getpixel((4, 4))
    assert red > 240 and green < 15 and blue < 15


def damaged_files():
    photo = encoded(Image.effect_noise((200, 200), 80).convert("RGB"), "JPEG")
    png = encoded(Image.effect_noise((200, 200), 80))
    return {
        "empty": (b"", "is empty"),
        "text": (b"this is a letter, not a picture\n" * 20, "is not a picture"),
        "truncated jpeg": (photo[: len(photo) // 2], "is truncated"),
        "truncated png": (png[: len(png) // 2], "is truncated"),
        "header only": (png[:30], "is"),
        "huge": (huge_png(20_000, 20_000), "is too large"),
        "absurd": (huge_png(2**31 - 1, 2**31 - 1), "is too large"),
        "thread": (huge_png(1, 60_000), "long and thin"),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "is not a picture"),
    }


@pytest.mark.parametrize("name", damaged_files())
def test_a_damaged_file_is_a_clear_error(name, tmp_path):
    data, reason = damaged_files()[name]
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=reason) as raised:
        open_image(path)
    assert "bad.png" in raised.value.message
    with pytest.raises(ImageError, match=reason):
        open_image(data)


def test_what_is_no_file_is_a_clear_error(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    cases = [
        (tmp_path / "missing.png", "There is no file"),
        (tmp_path, "is a folder"),
        (tmp_path / "pipe.png", "not a regular file"),  # reading it would wait for ever
        ("/dev/zero", "not a regular file"),
        ("https://example.org/cat.png", "web address"),
        ("a\0b.png", "can't be read"),
        ("x" * 5000, "can't be read"),
        ("", "is a folder"),
    ]
    for source, reason in cases:
        with pytest.raises(ImageError, match=reason):
            open_image(source)


def test_a_missing_file_is_told_with_what_is_there(tmp_path):
    (tmp_path / "link.png").symlink_to("gone/away.png")
    cases = [
        ("cat.png", f"There is no file {tmp_path}/cat.png. The folder is there: check the file's name."),
        ("pics/cat.png", f"There is no file {tmp_path}/pics/cat.png. There is no folder {tmp_path}/pics either."),
        ("link.png", f"{tmp_path}/link.png is a link to gone/away.png, which does not exist."),
    ]
    for name, said in cases:
        with pytest.raises(ImageError) as raised:
            open_image(tmp_path / name)
        assert str(raised.value) == said


def ftyp(brand):
    """How files of the ISO's base format begin."""
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + b"mif1" + brand + bytes(100)


@pytest.fixture
def without_plugins(monkeypatch):
    """A Pillow without HEIF and AVIF, whatever is installed here."""
    formats = tuple(name for name in images._formats() if name not in ("HEIF", "AVIF"))
    monkeypatch.setattr(images, "_formats", lambda: formats)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("IMG_1.HEIC", ftyp(b"heic"), "is a HEIC picture, which needs the plugin pillow-heif. Install it (pip install"),
        (
            "renamed.jpg",
            ftyp(b"heix"),
            "is a HEIC picture, which needs the plugin pillow-heif. Install it (pip install",
        ),
        ("a.heif", ftyp(b"mif1"), "is a HEIC picture, which needs the plugin pillow-heif. Install it (pip install"),
        ("a.avif", ftyp(b"avif"), "is an AVIF picture, which this build of Pillow can't read. Install a newer one"),
        ("a.cr3", ftyp(b"crx "), "is a camera's raw file, which can't be read. Save the picture as JPEG or TIFF."),
        ("a.NEF", b"MM\0*" + bytes(100), "is a camera's raw file, which can't be read. Save the picture as JPEG"),
        ("a.raf", b"FUJIFILMCCD-RAW " + bytes(100), "is a camera's raw file, which can't be read. Save the picture"),
        ("film.jpg", ftyp(b"isom"), "is not a picture that can be read."),
        ("text.heic", b"no picture at all", "is not a picture that can be read."),
    ],
)
def test_what_phones_and_cameras_make_is_named_with_what_reads_it(tmp_path, without_plugins, name, data, said):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError) as raised:
        open_image(tmp_path / name)
    assert str(raised.value).startswith(f"{tmp_path / name} {said}")


def test_a_heic_is_read_if_the_plugin_is_installed(tmp_path):
    """In a process of its own: Pillow's plugins can't be taken back. The plugin here reads one colour from a file."""
    (tmp_path / "pillow_heif.py").write_text(
        "from PIL import Image, ImageFile\n"
        "class File(ImageFile.ImageFile):\n"
        "    format = 'HEIF'\n"
        "    def _open(self):\n"
        "        self._size, self._mode = (2, 2), 'RGB'\n"
        "        self.colour = self.fp.read()[24:27]\n"
        "    def load(self):\n"
        "        self.im = Image.new('RGB', (2, 2), tuple(self.colour)).im\n"
        "        return super(ImageFile.ImageFile, self).load()\n"
        "def register_heif_opener():\n"
        "    Image.register_open('HEIF', File, lambda start: start[4:12] == b'ftypheic')\n"
    )
    data = ftyp(b"heic")[:24] + bytes([10, 200, 30])
    code = (
        "from index.pictures.images import PICTURE_SUFFIXES, open_image; import numpy\n"
        f"print({{'.heic', '.heif'}} <= PICTURE_SUFFIXES, numpy.asarray(open_image({data!r}))[1, 1].tolist())"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(images.__file__).parents[2])])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "True [10, 200, 30]\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission_is_a_clear_error(tmp_path, painter):
    path = painter(tmp_path / "secret.png", 0.1)
    path.chmod(0)
    with pytest.raises(ImageError, match="permission"):
        open_image(path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_damage_never_raises_anything_else():
    rng = np.random.default_rng(7)
    for format in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
        sound = encoded(Image.effect_noise((40, 30), 60).convert("RGB"), format)
        for _ in range(60):
            data = bytearray(sound)
            for place in rng.integers(0, len(data), 8):
                data[place] = rng.integers(256)
            try:
                assert open_image(bytes(data)).mode == "RGB"
            except ImageError as error:
                assert error.message.endswith((".", ")."))


def test_thumbnails_fit_and_are_never_enlarged():
    for size, wanted in [((1000, 500), (256, 128)), ((40, 30), (40, 30)), ((1, 400), (1, 256))]:
        thumbnail = Image.open(io.BytesIO(make_thumbnail(Image.new("RGB", size, "red"))))
        assert thumbnail.size == wanted
        assert len(thumbnail.getexif()) == 0


def test_large_photos_are_shrunk_by_their_short_side():
    assert bound_short_side(Image.new("RGB", (3000, 2048))).size == (1500, 1024)
    assert bound_short_side(Image.new("RGB", (5000, 700))).size == (5000, 700)


def test_sanitize_removes_what_could_act_on_a_terminal():
    assert sanitize("\x1b[31mred\x1b[0m \x1b]0;title\x07plain\x1b]8;;http://x\x1b\\link") == "red plainlink"
    assert sanitize("a\x00b\x07c\x9b2Jd\x85e\x7f") == "abcde"
    assert sanitize("cat\u202egnp.exe\u2066 \u200fx") == "catgnp.exe x"
    assert sanitize("tab\tline\nend") == "tab\tline\nend"
    assert sanitize("Füße 猫 👩\u200d🚀 مرحبا") == "Füße 猫 👩\u200d🚀 مرحبا"
    assert sanitize("bad\udcffname").encode() == "bad\ufffdname".encode()
    assert one_line("  a\n b\t\x1b[1mc  ") == "a b c"
    assert len(one_line("x" * 50_000)) == 10_000


SAVED_AS = {
    **dict.fromkeys([".jpg", ".jpe", ".jfif"], "JPEG"),
    **dict.fromkeys([".tif", ".tiff"], "TIFF"),
    **{f".{name.lower()}": name for name in ("PNG", "WEBP", "GIF", "BMP", "PPM", "ICO")},
    ".jp2": "JPEG2000",
}


@pytest.mark.parametrize("suffix", SAVED_AS)
def test_a_picture_is_told_by_its_suffix_and_such_a_file_can_be_opened(suffix, tmp_path):
    path = tmp_path / f"photo{suffix}"
    Image.new("RGB", (16, 16), "red").save(path, SAVED_AS[suffix])
    assert suffix in PICTURE_SUFFIXES and is_picture_name(path) and is_picture_name(f"A{suffix.upper()}")
    red, green, blue = open_image(path).getpixel((8, 8))
    assert red > 240 and green < 15 and blue < 15


@pytest.mark.parametrize("suffix", [".tga", ".eps", ".psd", ".pdf", ".txt", ""])
def test_what_cannot_be_opened_is_not_offered(suffix):
    assert suffix not in PICTURE_SUFFIXES


def test_a_picture_of_a_phone_or_a_camera_is_meant_as_one_though_it_cannot_be_opened():
    assert all(map(is_picture_name, ["IMG_0001.HEIC", "a.heif", "DSC_0001.NEF", "a.cr3", "a.dng", "a.avif"]))
    assert not any(map(is_picture_name, ["notes.txt", "jpg", ".jpg", "a.jpg.txt", ""]))


def test_a_web_address_is_told_from_a_file():
    assert all(map(is_url, ["http://example.org/a.png", "https://example.org", "HTTPS://EXAMPLE.ORG/A.PNG"]))
    assert not any(
        map(is_url, ["/http://a.png", "ftp://example.org/a.png", "file:///a.png", "http:/a.png", "", "a.png"])
    )
