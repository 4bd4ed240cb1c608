"""Whether a store and its index still say what they should: counts, checksums, and a sample of pictures read again."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
from PIL import Image

from index.building.build import Embed
from index.commands import index_command
from index.errors import ImageError, StoreError
from index.files import crc_of
from index.pictures.containers import stamp_of
from index.pictures.images import bound_short_side, is_gone, is_url, make_thumbnail, open_image, sanitize
from index.search.faiss_build import INDEX_FILE
from index.search.faiss_index import ImageIndex
from index.store.feature_store import FeatureStore
from index.store.manifest import storage_errors
from index.store.unfinished import resuming

TOLERANCE = 0.05
"""Largest distance of two features of one picture, over their norm. fp16 keeps 0.0002, an encoder in bf16 is within
0.01 of one in fp32; the most alike of different pictures are about 0.04 apart, most of them 0.5 and more."""
SPREAD_TOLERANCE = 0.25
"""The same, over the root mean square distance of the sample's features from their mean: for encoders whose features
are all much alike. Precision sets a limit to it, `LEAST_TOLERANCE` of the norm."""
LEAST_TOLERANCE = 0.012
THUMBNAIL_TOLERANCE = 24.0  # mean difference of pixels, of 255: two pictures, not two ways to scale one down
CHECKSUM_BYTES = 256_000_000  # features read for their checksums; of a larger store blocks spread evenly over it
THUMBNAILS = 256  # decoded


@dataclass(frozen=True)
class Comparison:
    """What came of reading a sample of pictures again.

    Attributes:
        compared: pictures that were embedded again.
        gone: files that are missing.
        changed: files that are not those that were embedded, by size and date: the next build embeds them.
        unreadable: files that can't be opened any more.
        differing: sources whose feature or thumbnail in the store is not that of the file.
    """

    compared: int
    gone: int
    changed: int
    unreadable: int
    differing: tuple[str, ...]


def verify_index(index: ImageIndex) -> list[str]:
    """What is wrong with an index and its store, a sentence each; empty if nothing is. No picture file is opened."""
    faults = verify_store(index.store)
    file, crc = index.path / INDEX_FILE, index.manifest.file_crc
    with storage_errors(file, "read"):
        if crc >= 0 and crc_of(file) != crc:
            command = index_command(index.path)
            faults.append(f"{file} is damaged: its bytes are not those written. Make it again: {command}")
    live = len(index.store.live_ids())
    if len(index) != live:
        faults.append(
            f"The index at {index.path} has {len(index):,} pictures and its store {live:,}: an update is unfinished. "
            f"Go on with it: {index_command(index.path)}"
        )
    return faults


def verify_store(store: FeatureStore) -> list[str]:
    """What is wrong with a store, a sentence each: rows that are missing, features that are not those that were
    written (of up to `CHECKSUM_BYTES`), thumbnails that are no pictures (of up to `THUMBNAILS`)."""
    faults = []
    for look in (FeatureStore.row_faults, _feature_faults, _thumbnail_faults):
        try:
            faults += look(store)
        except StoreError as error:
            faults.append(str(error))
    return faults


def compare_pictures(store: FeatureStore, embed: Embed, sample: int = 64, batch_size: int = 16) -> Comparison:
    """Read pictures again, spread evenly over a store, and compare them with what it keeps.

    Args:
        store: one of an encoder's features.
        embed: n RGB images -> features (n, dim), floating, by the encoder that made the store.
        sample: how many pictures.
        batch_size: images per call of `embed`.

    Raises:
        StoreError: the store can't be read.
    """
    missed = {"gone": 0, "changed": 0, "unreadable": 0}
    sources: list[str] = []
    has_thumbnail: list[bool] = []
    kept, fresh = [], []
    pictures = _pictures(store, _spread(store.live_ids(), sample), missed)
    while batch := list(islice(pictures, batch_size)):
        fresh.append(np.asarray(embed([image for _, _, image in batch]), dtype=np.float32))
        kept.append(np.asarray(store.features[[id for id, _, _ in batch]], dtype=np.float32))
        sources += [source for _, source, _ in batch]
        has_thumbnail += [_is_thumbnail(store.thumbnail(id), image) for id, _, image in batch]
    differing: tuple[str, ...] = ()
    if sources:
        sound = _are_same(np.concatenate(kept), np.concatenate(fresh)) & np.array(has_thumbnail)
        differing = tuple(source for source, is_sound in zip(sources, sound, strict=True) if not is_sound)
    return Comparison(len(sources), missed["gone"], missed["changed"], missed["unreadable"], differing)


def _are_same(kept: npt.NDArray[np.float32], fresh: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Which of the features (n, dim) are those of the same picture; NaN never is."""
    norms = np.linalg.norm(fresh, axis=1)
    spread = np.sqrt(np.square(fresh - fresh.mean(axis=0)).sum(axis=1).mean())
    limits = np.maximum(np.minimum(SPREAD_TOLERANCE * spread, TOLERANCE * norms), LEAST_TOLERANCE * norms)
    same: npt.NDArray[np.bool_] = np.linalg.norm(kept - fresh, axis=1) <= limits
    return same


def _pictures(
    store: FeatureStore, ids: npt.NDArray[np.int64], missed: dict[str, int]
) -> Iterator[tuple[int, str, Image.Image]]:
    """(id, source, picture) of the rows whose file is the one that was embedded; the others are counted."""
    for id in map(int, ids):
        source, _ = store.row(id)
        if is_url(source):
            continue
        if (stamp := stamp_of(source)) is None:
            missed["gone"] += is_gone(source)
            continue
        if store.stamp(id) not in (stamp, (None, None)):
            missed["changed"] += 1
            continue
        try:
            yield id, source, bound_short_side(open_image(source))
        except ImageError:
            missed["unreadable"] += 1


def _is_thumbnail(kept: bytes, image: Image.Image) -> bool:
    if not kept:
        return True
    try:
        found, wanted = open_image(kept), open_image(make_thumbnail(image))
    except ImageError:
        return False
    # One made of a picture before it was scaled down for the encoder may be a pixel larger or smaller.
    if max(abs(a - b) for a, b in zip(found.size, wanted.size, strict=True)) > 1:
        return False
    pixels = (np.asarray(picture.resize((32, 32)), dtype=np.float32) for picture in (found, wanted))
    return float(np.abs(np.subtract(*pixels)).mean()) <= THUMBNAIL_TOLERANCE


def _feature_faults(store: FeatureStore) -> list[str]:
    blocks = [block for block in store.blocks() if block[0] + block[1] <= len(store)]
    row_bytes = store.dim * store.features.dtype.itemsize
    size = max((count * row_bytes for _, count, _ in blocks), default=1)
    for first, count, crc in (blocks[number] for number in _spread(np.arange(len(blocks)), CHECKSUM_BYTES // size)):
        if zlib.crc32(store.features[first : first + count].tobytes()) != crc:
            rows = f"{first} to {first + count - 1}"
            what = f"The store at {store.path} is damaged: the features of rows {rows} are not those written."
            return [f"{what} Embed them again: {resuming(store.path)}"]
    return []


def _thumbnail_faults(store: FeatureStore) -> list[str]:
    for id in map(int, _spread(store.live_ids(), THUMBNAILS)):
        if not (thumbnail := store.thumbnail(id)):
            continue
        try:
            open_image(thumbnail)
        except ImageError:
            source = sanitize(store.row(id)[0])
            return [f"The store at {store.path} is damaged: the thumbnail of {source} is not a picture."]
    return []


def _spread(values: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """At most `count` of the values, spread evenly over them."""
    if len(values) <= count:
        return values
    return values[np.linspace(0, len(values) - 1, max(count, 1)).astype(np.int64)]
