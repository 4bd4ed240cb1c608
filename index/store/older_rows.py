"""Rows of stores that an earlier version made: what is known of their pictures by now, without embedding them again."""

from __future__ import annotations

from index.errors import FromageError
from index.pictures.containers import read_inside, stamp_of
from index.pictures.facts import Facts, perceptual_hash
from index.pictures.images import is_url, open_header, open_image
from index.store.writer import FeatureStoreWriter

BLOCK = 1024
"""Rows looked at between two commits."""


def complete_facts(writer: FeatureStoreWriter) -> None:
    """Look at the pictures of older rows: at the headers of their files, where those are the ones that were embedded,
    and at their thumbnails. About 1 ms a picture, once; an interruption costs one block.

    Raises:
        StoreError: the store can't be read or written to.
    """
    while rows := writer.without_facts(BLOCK):
        writer.set_facts((id, _facts(writer, source, (start, end), stamp)) for id, source, start, end, stamp in rows)
    writer.set_facts_known()


def _facts(
    writer: FeatureStoreWriter, source: str, thumbnail: tuple[int, int], stamp: tuple[int | None, int | None]
) -> Facts:
    width = height = size = taken = None
    try:
        if not is_url(source) and stamp_of(source) == stamp:
            data = read_inside(source)
            (width, height), taken = open_header(source if data is None else data)
            size = stamp[0] if data is None else len(data)
    except FromageError:
        pass
    try:
        phash = perceptual_hash(open_image(writer.read_thumbnail(*thumbnail)))
    except FromageError:
        phash = 0  # a damaged thumbnail: it must not be looked at for ever
    return Facts(width, height, size, taken, phash)
