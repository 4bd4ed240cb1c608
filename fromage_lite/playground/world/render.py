"""Scenes to pixels: deterministic from (scene, seed), at any resolution, without a font."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from fromage_lite.playground.world.atlas import sprite
from fromage_lite.playground.world.scene import Scene

DEFAULT_SIZE = 224
_SCALE = {"big": (0.36, 0.42), "small": (0.19, 0.23)}
"""Side of a pictogram as a share of the picture's side."""

Colour = tuple[int, int, int]


def render(scene: Scene, seed: int, size: int = DEFAULT_SIZE) -> Image.Image:
    """Draw a scene.

    Args:
        scene: what to draw.
        seed: decides places, sizes within their range, and the background's details.
        size: side of the square picture in pixels.

    Returns:
        An RGB image of `size` x `size`. Groups stand from left to right, the copies of a group side by side.
    """
    rng = random.Random(f"{seed}:{scene}")
    image = background(scene.setting, size, rng)
    copies = [group for group in scene.groups for _ in range(group.count)]
    high_first = rng.random() < 0.5
    n = len(copies)
    for i, group in enumerate(copies):
        side = rng.uniform(*_SCALE[group.size])
        # Neighbours stand alternately high and low, so that four big things have room.
        centre = rng.uniform(0.24, 0.76) if n == 1 else 0.21 + 0.58 * i / (n - 1) + rng.uniform(-0.03, 0.03)
        if n <= 2:
            middle = rng.uniform(0.3, 0.74)
        else:
            middle = rng.uniform(0.24, 0.32) if (i % 2 == 0) == high_first else rng.uniform(0.68, 0.76)
        pixels = max(4, round(side * size))
        picture = sprite(group.thing, pixels, group.colour)
        image.paste(picture, (round(centre * size) - pixels // 2, round(middle * size) - pixels // 2), picture)
    return image


def _gradient(size: int, top: Colour, bottom: Colour) -> Image.Image:
    image = Image.new("RGB", (1, 2))
    image.putpixel((0, 0), top)
    image.putpixel((0, 1), bottom)
    return image.resize((size, size), Image.Resampling.BILINEAR)


def _jitter(rng: random.Random, colour: Colour, amount: int = 12) -> Colour:
    shift = rng.randint(-amount, amount)
    red, green, blue = (min(255, max(0, c + shift)) for c in colour)
    return red, green, blue


class _Canvas:
    """Drawing in units of the picture's side."""

    def __init__(self, size: int, rng: random.Random, top: Colour, bottom: Colour) -> None:
        self.image = _gradient(size, _jitter(rng, top), _jitter(rng, bottom))
        self.draw = ImageDraw.Draw(self.image)
        self.size = size
        self.rng = rng

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        s = self.size
        self.draw.rectangle((left * s, top * s, right * s, bottom * s), fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour, flat: float = 1.0) -> None:
        s = self.size
        self.draw.ellipse(
            ((x - radius) * s, (y - radius * flat) * s, (x + radius) * s, (y + radius * flat) * s), fill=colour
        )

    def shape(self, points: list[tuple[float, float]], colour: Colour) -> None:
        self.draw.polygon([(x * self.size, y * self.size) for x, y in points], fill=colour)

    def hills(self, base: float, height: float, colour: Colour) -> None:
        phase, pace = self.rng.uniform(0, 6.3), self.rng.uniform(3, 7)
        ridge = [(i / 16, base - height * (0.5 + 0.5 * math.sin(phase + pace * i / 16))) for i in range(17)]
        self.shape([*ridge, (1, 1), (0, 1)], colour)


def _beach(size: int, rng: random.Random) -> _Canvas:
    c = _Canvas(size, rng, (142, 208, 248), (206, 236, 252))
    horizon = rng.uniform(0.36, 0.44)
    c.disc(rng.uniform(0.1, 0.9), 0.12, 0.08, (255, 240, 170))
    c.box(0, horizon, 1, 1, _jitter(rng, (38, 142, 196)))
    for i in range(3):
        y = horizon + 0.05 + 0.06 * i
        c.disc(rng.random(), y, 0.16, (120, 196, 226), 0.06)
    c.hills(rng.uniform(0.66, 0.72), 0.06, _jitter(rng, (240, 216, 158)))
    return c


def _snow(size: int, rng: random.Random) -> _Canvas:
    c = _Canvas(size, rng, (176, 196, 222), (226, 236, 246))
    c.hills(0.5, 0.2, _jitter(rng, (206, 220, 236)))
    c.hills(0.66, 0.1, (246, 250, 254))
    for _ in range(26):
        c.disc(rng.random(), rng.random(), rng.uniform(0.006, 0.012), (255, 255, 255))
    return c


def _forest(size: int, rng: random.Random) -> _Canvas:
    c = _Canvas(size, rng, (120, 176, 128), (66, 120, 70))
    for i in range(9):
        x = (i + rng.uniform(0.1, 0.9)) / 9
        trunk, crown = rng.uniform(0.4, 0.62), _jitter(rng, (34, 92, 48), 16)
        c.box(x - 0.012, trunk - 0.05, x + 0.012, 0.72, (84, 58, 40))
        for step in range(3):
            y, w = trunk - 0.12 * step, 0.085 - 0.018 * step
            c.shape([(x - w, y), (x + w, y), (x, y - 0.2)], crown)
    c.hills(0.74, 0.06, _jitter(rng, (52, 84, 44)))
    return c


def _night(size: int, rng: random.Random) -> _Canvas:
    c = _Canvas(size, rng, (10, 14, 44), (40, 44, 98))
    for _ in range(34):
        c.disc(rng.random(), rng.uniform(0, 0.75), rng.uniform(0.003, 0.008), (250, 246, 214))
    x, y = rng.uniform(0.12, 0.88), rng.uniform(0.1, 0.2)
    c.disc(x, y, 0.075, (246, 240, 200))
    c.disc(x + 0.035, y - 0.015, 0.065, (18, 22, 54))
    c.hills(0.84, 0.08, (14, 18, 36))
    return c


def _city(size: int, rng: random.Random) -> _Canvas:
    c = _Canvas(size, rng, (198, 206, 216), (232, 226, 218))
    x = -0.05
    while x < 1:
        width, top = rng.uniform(0.1, 0.19), rng.uniform(0.1, 0.5)
        c.box(x, top, x + width, 0.82, _jitter(rng, (128, 132, 146), 28))
        for row in range(int((0.78 - top) / 0.09)):
            for column in range(2):
                left, high = x + width * (0.2 + 0.4 * column), top + 0.04 + 0.09 * row
                c.box(left, high, left + width * 0.2, high + 0.035, (250, 226, 150))
        x += width + rng.uniform(0.0, 0.02)
    c.box(0, 0.82, 1, 1, (84, 86, 92))
    for i in range(5):
        c.box(0.05 + 0.2 * i, 0.9, 0.15 + 0.2 * i, 0.92, (236, 232, 214))
    return c


def _desert(size: int, rng: random.Random) -> _Canvas:
    c = _Canvas(size, rng, (250, 206, 138), (252, 232, 190))
    c.disc(rng.uniform(0.15, 0.85), 0.16, 0.1, (255, 246, 206))
    c.hills(0.6, 0.16, _jitter(rng, (226, 158, 88)))
    c.hills(0.78, 0.14, _jitter(rng, (208, 134, 66)))
    return c


def _kitchen(size: int, rng: random.Random) -> _Canvas:
    c = _Canvas(size, rng, (246, 238, 222), (238, 226, 206))
    tile = _jitter(rng, (216, 228, 226))
    for row in range(5):
        for column in range(8):
            if (row + column) % 2:
                c.box(column / 8, row * 0.11, (column + 1) / 8, (row + 1) * 0.11, tile)
    c.box(0, 0.55, 1, 0.6, (112, 78, 56))
    c.box(0, 0.6, 1, 1, _jitter(rng, (186, 140, 98)))
    for i in range(4):
        c.box(0.02 + 0.25 * i, 0.64, 0.23 + 0.25 * i, 0.97, (204, 160, 116))
        c.box(0.11 + 0.25 * i, 0.67, 0.14 + 0.25 * i, 0.7, (110, 80, 60))
    return c


def _field(size: int, rng: random.Random) -> _Canvas:
    c = _Canvas(size, rng, (110, 184, 246), (200, 230, 252))
    for _ in range(3):
        x, y = rng.random(), rng.uniform(0.06, 0.26)
        for shift in (-0.06, 0.0, 0.06):
            c.disc(x + shift, y, 0.06, (252, 252, 254), 0.6)
    c.hills(0.52, 0.1, _jitter(rng, (130, 204, 92)))
    c.hills(0.7, 0.08, _jitter(rng, (104, 182, 70)))
    for _ in range(12):
        c.disc(rng.random(), rng.uniform(0.74, 0.98), 0.009, rng.choice(((255, 255, 255), (252, 222, 80))))
    return c


_SETTINGS: dict[str, Callable[[int, random.Random], _Canvas]] = {
    "beach": _beach,
    "snow": _snow,
    "forest": _forest,
    "night": _night,
    "city": _city,
    "desert": _desert,
    "kitchen": _kitchen,
    "field": _field,
}


def background(setting: str, size: int, rng: random.Random) -> Image.Image:
    """A setting without things in it, RGB, `size` x `size`."""
    return _SETTINGS[setting](size, rng).image
