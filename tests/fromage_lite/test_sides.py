"""The figures of telling the worlds apart."""

from __future__ import annotations

import random
from pathlib import Path

from fromage_lite import sides
from fromage_lite.playground.world.render import render
from fromage_lite.playground.world.scene import HELD_OUT_SEED, sample_scene

PICTURES = Path(__file__).parents[1] / "photos" / "pictures"


def test_scenes_and_photographs_on_the_right_side_are_counted(tmp_path, monkeypatch):
    render(sample_scene(random.Random(1), "any"), HELD_OUT_SEED + 7).save(tmp_path / "scene.png")
    pictures = [PICTURES / "chelsea.webp", PICTURES / "coffee.webp", tmp_path / "scene.png"]
    monkeypatch.setattr(sides, "fetched", lambda folder: [(None, path) for path in pictures])
    assert sides.side_figures(tmp_path, 50) == {"photo_side_scenes": 1.0, "photo_side": 2 / 3}
    assert sides.side_figures(None, 5) == {"photo_side_scenes": 1.0}
