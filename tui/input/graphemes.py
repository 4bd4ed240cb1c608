"""What people take for one character: an emoji with its selector, skin tone or family, a flag, a letter with accents.

The rules are those of Unicode's annex 29, as the `regex` package has them.
"""

from __future__ import annotations

from collections.abc import Iterator

WINDOW = 512  # code points either side of a place that are looked at; no grapheme that is meant as one is as long


def grapheme_at(text: str, place: int) -> tuple[int, int]:
    """Where the grapheme begins and ends that the code point at `place` is part of."""
    for start, end in _graphemes(text, place):
        if place < end:
            return start, end
    return place, place + 1


def snap(text: str, place: int) -> int:
    """The place itself where it is between two graphemes; else the end of the one that it is in."""
    if 0 < place < len(text):
        start, end = grapheme_at(text, place)
        return place if start == place else end
    return place


def _graphemes(text: str, place: int) -> Iterator[tuple[int, int]]:
    first = max(0, place - WINDOW)
    near = text[first : place + WINDOW]
    if near.isascii():  # most are, and the package need not be loaded
        yield from ((first + number, first + number + 1) for number in range(len(near)))
        return
    import regex

    for match in regex.finditer(r"\X", near):
        yield first + match.start(), first + match.end()
