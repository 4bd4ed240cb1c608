"""Held-out pictures of the playground that a dialogue is asked about."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fromage_lite.playground.world.render import render
from fromage_lite.playground.world.scene import Scene
from fromage_lite.text.message import ImageSegment


class Pictures:
    """Held-out pictures as real image files, in a folder that goes away."""

    def __enter__(self) -> Pictures:
        self._folder = tempfile.TemporaryDirectory()
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def save(self, scene: Scene, seed: int) -> ImageSegment:
        path = Path(self._folder.name) / f"{seed}.png"
        render(scene, seed).save(path, compress_level=1)
        return ImageSegment(str(path))
