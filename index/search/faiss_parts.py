"""Opening an index's files: mapped, checked, ready to be searched."""

from __future__ import annotations

import os
from pathlib import Path

import faiss
import numpy as np

from index.errors import StoreError
from index.search.changes_file import Changes
from index.search.faiss_build import INDEX_FILE
from index.search.finding import DiskRows, Finder, Rows
from index.search.layers import Layers, take_apart
from index.search.selection import Part
from index.store.manifest import IndexManifest, storage_errors

READ_FACTOR = 100
"""With up to so many candidates for each result, exact vectors are read from the file; with more they are mapped."""


def open_parts(path: Path, manifest: IndexManifest, rebuild: str) -> list[Part]:
    """The FAISS file of an index folder, and beside it what was added since.

    Args:
        path: the folder.
        manifest: its manifest.
        rebuild: the hint of an error.

    Raises:
        StoreError: a file is missing or damaged.
    """
    layers = _read_faiss(path, manifest, rebuild)
    # Few are read sooner than the pages of a mapped file are touched, and take no memory.
    is_read = manifest.is_compact or manifest.factor <= READ_FACTOR
    rows = _disk_rows(path / INDEX_FILE, layers) if is_read else None
    finder = Finder(layers, manifest.probes, manifest.factor, rows)
    if not manifest.changes:
        return [Part(finder)]
    changes = Changes.read(path, manifest.changes, manifest.changes_crc, manifest.dim)
    kept = None
    if len(changes.removed):
        kept = np.full(finder.end, True)
        kept[layers.positions_of(changes.removed)] = False
    parts = [Part(finder, kept)]
    if len(changes.ids):
        beside = faiss.index_factory(manifest.dim, "IDMap,Flat", faiss.METRIC_INNER_PRODUCT)
        beside.add_with_ids(changes.vectors.astype(np.float32), changes.ids)
        parts.append(Part(Finder(take_apart(beside))))
    return parts


def _read_faiss(path: Path, manifest: IndexManifest, rebuild: str) -> Layers:
    file = path / INDEX_FILE
    damaged = StoreError(f"{file} is damaged.", rebuild)
    with storage_errors(file, "read"):
        # Checked before mapping: touching a page missing at the end would kill the process.
        if file.stat().st_size != manifest.file_bytes:
            raise damaged
    try:
        index = faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC if os.name == "posix" else 0)
    except RuntimeError as error:
        raise damaged from error
    if (index.d, index.ntotal) != (manifest.dim, manifest.count - manifest.added + manifest.removed):
        raise damaged
    return take_apart(index)


def _disk_rows(file: Path, layers: Layers) -> Rows | None:
    """The exact vectors of a file of the layout `IDMap(Refine(…, exact vectors))`; None if they aren't where they are
    expected."""
    if layers.matrix is None or layers.lists is None or os.name != "posix" or not len(layers.matrix):
        return None
    # Behind them are the factor of `Refine`, a float, and the map of ids with its length.
    offset = file.stat().st_size - layers.matrix.nbytes - 4 - 8 * (1 + layers.whole.ntotal)
    if offset < 0:
        return None
    rows = DiskRows(os.open(file, os.O_RDONLY), offset, layers.matrix)
    ends = np.array([0, len(layers.matrix) - 1])
    return rows if np.array_equal(rows[ends], layers.matrix[ends]) else None
