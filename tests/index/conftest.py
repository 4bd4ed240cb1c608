"""Folders of small pictures, and an encoder that anybody can check by hand."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from PIL import Image


def mean_colour(images):
    """The "encoder" of these tests: mean red, green, blue and the share of the width, in 0 to 1. (n, 4)."""
    rows = []
    for image in images:
        assert image.mode == "RGB"
        red, green, blue = np.asarray(image, dtype=np.float64).reshape(-1, 3).mean(axis=0) / 255
        rows.append((red, green, blue, image.width / (image.width + image.height)))
    return np.array(rows)


def unit(vectors):
    """Rows of unit norm, float32."""
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def paint(path, hue, size=(24, 16)):
    """A picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 1, 1))).save(path)
    return path


@pytest.fixture
def album(tmp_path):
    """23 pictures in nested folders, four with captions, beside hidden files and files that are no pictures."""
    root = tmp_path / "album"
    for number in range(23):
        folder = root / ("one" if number % 2 else "two/deep")
        paint(folder / f"{number:02d}.png", number / 23, (20 + number, 18))
        if number < 4:
            (folder / f"{number:02d}.txt").write_text(f"picture\tnumber\n{number}\x1b[31m", encoding="utf-8")
    paint(root / ".hidden" / "no.png", 0.5)
    paint(root / "one" / ".no.png", 0.5)
    (root / "notes.md").write_text("no picture")
    return root


@pytest.fixture
def encode():
    return mean_colour


@pytest.fixture
def normalise():
    return unit


@pytest.fixture
def painter():
    return paint
