"""Facts of a picture: what cameras write, what makes two pictures look the same."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, TiffImagePlugin

from index.pictures.facts import Facts, facts_of, perceptual_hash
from index.pictures.images import open_dated, open_header, open_image

EXIF, TAKEN, OFFSET, ORIENTATION = 0x8769, 0x9003, 0x9011, 0x0112  # of the standard


def photograph(format: str = "JPEG", taken: object = None, offset: object = None, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    for tag, value in ((TAKEN, taken), (OFFSET, offset)):
        if value is not None:
            exif.get_ifd(EXIF)[tag] = value
    data = io.BytesIO()
    if format == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[ORIENTATION], tags[EXIF] = orientation, exif.get_ifd(EXIF)
        Image.new("RGB", (60, 40), "red").save(data, format, tiffinfo=tags)
    else:
        Image.new("RGB", (60, 40), "red").save(data, format, exif=exif)
    return data.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_the_date_is_that_of_the_camera_whatever_the_format(format):
    data = photograph(format, "2024:05:03 14:22:05", "+02:00", orientation=6)
    image, taken = open_dated(data)
    assert (image.size, taken) == ((40, 60), "2024-05-03T14:22:05+02:00")
    assert open_header(data) == ((40, 60), "2024-05-03T14:22:05+02:00")


@pytest.mark.parametrize(
    ("taken", "offset", "expected"),
    [
        ("2024:05:03 14:22:05", None, "2024-05-03T14:22:05"),
        ("2024-05-03 14:22:05", None, "2024-05-03T14:22:05"),
        ("2024:05:03 14:22:05", "around noon", "2024-05-03T14:22:05"),
        ("0000:00:00 00:00:00", None, None),
        ("2023:02:31 10:00:00", "+01:00", None),
        ("    :  :     :  :  ", None, None),
        ("yesterday", None, None),
        (None, "+02:00", None),
    ],
)
def test_what_cameras_without_a_clock_write_is_no_date(taken, offset, expected):
    assert open_dated(photograph(taken=taken, offset=offset)).taken == expected


def test_damaged_exif_costs_the_date_alone():
    data = photograph(taken="2024:05:03 14:22:05")
    at = data.index(b"Exif\0\0") + 6
    image, taken = open_dated(data[:at] + b"\xff" * 40 + data[at + 40 :])
    assert image.size == (60, 40) and taken is None


def scene(seed: int) -> Image.Image:
    """Clouds: noise of low frequency."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC)


def different_bits(one: Image.Image, other: Image.Image) -> int:
    return ((perceptual_hash(one) ^ perceptual_hash(other)) & (2**64 - 1)).bit_count()


def test_the_hash_outlasts_what_happens_to_copies_and_tells_others_apart():
    image = scene(1)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=30)
    assert different_bits(image, open_image(data.getvalue())) <= 4
    assert different_bits(image, image.resize((160, 120))) <= 4
    assert different_bits(image, ImageEnhance.Brightness(image).enhance(1.1)) <= 6
    assert different_bits(image, image.crop((6, 5, 634, 475))) <= 10
    assert min(different_bits(image, scene(seed)) for seed in range(2, 12)) > 14


def test_the_hash_is_that_of_its_definition():
    """By the cosine transform as its definition sums it, of a picture that needs no scaling."""
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    n = np.arange(32)
    basis = [np.cos(np.pi * (2 * n + 1) * k / 64) for k in range(8)]
    values = [float((grey * np.outer(basis[row], basis[column])).sum()) for row in range(8) for column in range(8)]
    middle = sum(sorted(values)[31:33]) / 2
    expected = sum(1 << place for place, value in enumerate(values) if value > middle)
    assert perceptual_hash(Image.fromarray(grey).convert("RGB")) & (2**64 - 1) == expected


def test_a_hash_fits_into_a_signed_number_of_64_bits():
    hashes = [perceptual_hash(scene(seed)) for seed in range(8)]
    assert all(-(2**63) <= value < 2**63 for value in hashes) and min(hashes) < 0


def test_facts_are_of_the_picture_as_it_is_shown(tmp_path: Path):
    file = tmp_path / "a.jpg"
    file.write_bytes(photograph(orientation=8))
    found = facts_of(*open_dated(file))
    assert (found.width, found.height, found.taken) == (40, 60, None)
    assert Facts() == Facts(None, None, None, None, None, None, None)
