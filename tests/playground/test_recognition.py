"""Scenes of the playground and photographs are told apart by their pixels."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fromage_lite.playground.world.recognition import is_scene
from fromage_lite.playground.world.render import render
from fromage_lite.playground.world.scene import HELD_OUT_SEED, sample_scene

PICTURES = Path(__file__).parents[1] / "photos/pictures"


def scenes(count, size=224):
    rng = random.Random(size)
    for i in range(count):
        yield render(sample_scene(rng, "any"), HELD_OUT_SEED + i, size)


def jpeg(image, quality):
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(io.BytesIO(data.getvalue()))


@pytest.mark.parametrize("size", [96, 224, 500])
def test_scenes_of_every_size_are_scenes(size):
    assert np.mean([is_scene(image) for image in scenes(200, size)]) >= 0.99


def test_scenes_are_scenes_after_jpeg_and_resizing():
    assert np.mean([is_scene(jpeg(image, 60)) for image in scenes(100)]) >= 0.99
    assert np.mean([is_scene(image.resize((340, 300), Image.Resampling.LANCZOS)) for image in scenes(100)]) >= 0.99


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_photographs_and_parts_of_them_are_none(name, mode):
    with Image.open(PICTURES / f"{name}.webp") as image:
        whole = image.convert(mode)
    width, height = whole.size
    parts = [whole.crop((x, y, x + width // 2, y + height // 2)) for x in (0, width // 2) for y in (0, height // 2)]
    assert not any(is_scene(picture) for picture in (whole, *parts, whole.resize((64, 64))))


def test_neither_blank_pages_nor_noise_are_scenes():
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    blank = [Image.new("RGB", (60, 40), colour) for colour in ("white", "black", "skyblue", "beige", "green", "navy")]
    assert not any(is_scene(picture) for picture in (Image.fromarray(noise), *blank))
