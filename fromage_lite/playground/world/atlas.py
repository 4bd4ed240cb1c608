"""The sprite atlas: every pictogram of the playground in one image, made once from the Noto Color Emoji font.

The font is needed only by `make_atlas`; the renderer reads the committed `atlas.webp`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from fromage_lite.playground.world.things import COLOURS, EMOJI, THINGS

ATLAS_FILE = Path(__file__).with_name("atlas.webp")
SPRITE_SIZE = 96
"""Pixels along one side of an atlas cell."""
_COLUMNS = 10
_FONT_SIZE = 109  # the only bitmap size that the font holds


def make_atlas(font_file: Path, out: Path = ATLAS_FILE) -> None:
    """Draw all pictograms with the font and write the atlas (RGBA, WebP)."""
    font = ImageFont.truetype(str(font_file), _FONT_SIZE)
    rows = -(-len(THINGS) // _COLUMNS)
    atlas = Image.new("RGBA", (_COLUMNS * SPRITE_SIZE, rows * SPRITE_SIZE), (0, 0, 0, 0))
    for i, thing in enumerate(THINGS):
        glyph = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
        ImageDraw.Draw(glyph).text((20, 20), EMOJI[thing], font=font, embedded_color=True)
        glyph = glyph.crop(glyph.getbbox())
        glyph.thumbnail((SPRITE_SIZE, SPRITE_SIZE), Image.Resampling.LANCZOS)
        left = i % _COLUMNS * SPRITE_SIZE + (SPRITE_SIZE - glyph.width) // 2
        top = i // _COLUMNS * SPRITE_SIZE + (SPRITE_SIZE - glyph.height) // 2
        atlas.paste(glyph, (left, top))
    atlas.save(out, "WEBP", quality=90, method=6, exact=False)


@cache
def _atlas() -> Image.Image:
    with Image.open(ATLAS_FILE) as image:
        return image.convert("RGBA")


@cache
def _cell(thing: str) -> Image.Image:
    i = THINGS.index(thing)
    left, top = i % _COLUMNS * SPRITE_SIZE, i // _COLUMNS * SPRITE_SIZE
    return _atlas().crop((left, top, left + SPRITE_SIZE, top + SPRITE_SIZE))


def _tinted(sprite: Image.Image, colour: str) -> Image.Image:
    """The sprite with its hues replaced by shades of one colour; light and shadow stay."""
    alpha = sprite.getchannel("A")
    value = sprite.convert("L")
    # The commonest shade becomes the pure colour, whatever the pictogram's own colour was.
    histogram = value.histogram(mask=alpha.point(lambda a: 255 if a > 127 else 0))
    total, midpoint = 0, 0
    while total < sum(histogram) / 2:
        total += histogram[midpoint]
        midpoint += 1
    midpoint = min(max(midpoint, 60), 200)
    shade = ImageOps.colorize(value, black=(16, 16, 20), mid=COLOURS[colour], white=(255, 252, 248), midpoint=midpoint)
    shade.putalpha(alpha)
    return shade


@cache
def sprite(thing: str, size: int, colour: str = "") -> Image.Image:
    """One pictogram as an RGBA image of `size` x `size` pixels; tinted if a colour is named."""
    image = _cell(thing)
    if colour:
        image = _tinted(image, colour)
    return image.resize((size, size), Image.Resampling.LANCZOS, reducing_gap=2.0)
