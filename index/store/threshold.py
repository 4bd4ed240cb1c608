"""The score from which on a picture fits, kept with an index: for programs that read it without the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from index.store.lock import BuilderLock
from index.store.manifest import INDEX_MANIFEST, IndexManifest, storage_errors


def keep_match_score(out: Path, match_score: float | None) -> IndexManifest:
    """Write a model's calibrated threshold into the manifest of an index, atomically; returns the manifest.

    Args:
        out: the index folder.
        match_score: see `IndexManifest.match_score`; None if the model has none.

    Raises:
        StoreError: there is no index, it can't be written to, or a builder is at work.
    """
    with BuilderLock(out):
        manifest = IndexManifest.read(out / INDEX_MANIFEST)
        known = max(match_score or 0.0, 0.0)
        if manifest.match_score != known:
            manifest = replace(manifest, match_score=known)
            with storage_errors(out, "write to"):
                manifest.write(out / INDEX_MANIFEST)
    return manifest
