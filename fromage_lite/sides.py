"""How well pictures of the two shipped worlds are told apart, by which `choice` lets a model follow them."""

from __future__ import annotations

import random
from pathlib import Path

from fromage_lite.evaluate.metrics import mean
from fromage_lite.photos.evaluation.photographs import fetched
from fromage_lite.playground.world.recognition import is_scene
from fromage_lite.playground.world.render import render
from fromage_lite.playground.world.scene import HELD_OUT_SEED, sample_scene
from index.pictures.images import open_image


def side_figures(photographs: Path | None, n: int, seed: int = 1) -> dict[str, float]:
    """`photo_side_scenes`: held-out scenes that are taken for scenes; `photo_side`: photographs that are not.

    Args:
        photographs: a folder of real ones, filled by `scripts/fetch_photographs.py`; None leaves their figure out.
        n: how many scenes are drawn.
        seed: of the scenes.
    """
    rng = random.Random(f"sides {seed}")
    drawn = (render(sample_scene(rng, "any"), HELD_OUT_SEED + 900_000_000 + i) for i in range(n))
    figures = {"photo_side_scenes": mean([is_scene(image) for image in drawn])}
    if photographs is not None:
        figures["photo_side"] = mean([not is_scene(open_image(path)) for _, path in fetched(photographs)])
    return figures
